"""The server of pages in a thread of this process, over a state folder of one's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace
from web_lab import HAPPENS_WITHIN_S, Http

from overnight.api.access import Access
from overnight.api.settings import WebSettings
from overnight.config import Settings
from overnight.durable.client import Client
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task
from overnight.usage.places import UsageSettings
from overnight.web_process import listen, machine_of, serve


class Pages:
    """A context: inside, it is served."""

    def __init__(
        self, home: Path, web: WebSettings | None = None, port: int = 0, secret: str = "", logs: Path | None = None
    ) -> None:
        """secret: what webhooks are signed with. logs: Claude Code's folder; without one this machine's own are meant."""
        self.home, self.secret = home, secret
        self.usage = UsageSettings() if logs is None else UsageSettings(claude=(str(logs),), codex=(), gemini=())
        self.web = replace(web or WebSettings(), port=port)
        self.access = Access(home, 3600.0)
        self._begun = threading.Event()
        self._end: Callable[[], None] = threading.Event().set
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._link = listen(self.web)
        self.port = int(self._link.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread.start()
        assert self._begun.wait(HAPPENS_WITHIN_S)
        self.http = Http(self.url, self.access.token)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._thread.join(HAPPENS_WITHIN_S)
        self._link.close()

    def _run(self) -> None:
        def ready(end: Callable[[], None]) -> None:
            self._end = end
            self._begun.set()

        machine = replace(
            machine_of(replace(Settings(), web=self.web, usage=self.usage), self.home), webhook_secret=self.secret
        )
        asyncio.run(serve(machine, self._link, ready))

    def submit(self, name: str, title: str = "A task", text: str = "Do it.") -> None:
        """A queued task, as another process puts it there."""
        task = Task(id=name, repo=Repo(name="shop", path="/nowhere", target="main"), title=title, text=text)
        Client(self.home).call(
            "submit", id=name, flow="task", lane="shop", input=builtins(task), phase=Phase.QUEUED, pool="work"
        )

    def cookie(self) -> str:
        """A logged-in browser's."""
        import time

        return f"overnight_{self.port}={self.access.session(time.time())}"
