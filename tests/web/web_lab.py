"""A night as people see it in their browser: a real daemon with its server of pages, real git, an agent that is a script."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Generator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from overnight.web_process import Served, served
from testkit.computer import Computer, config, policy
from testkit.waiting import PATIENCE as HAPPENS_WITHIN_S
from testkit.waiting import soon


def rules(asks: int = 100, unclear: int = 101) -> str:
    """The policy. asks: from which risk on a person is asked. unclear: from where on a task is asked about."""
    return policy(f"[risk]\nasks_from = {asks}\n", clear=unclear)


class Lab(Computer):
    """One machine with its state folder."""

    def __init__(self, folder: Path, *, agent: str, asks: int = 100, unclear: int = 101) -> None:
        settings = config(agent, "[work]\ntotal = 4\nper_repo = 4\n[web]\nport = 0\n")
        super().__init__(folder, settings, rules(asks, unclear), name="shop", LANG="C.UTF-8")
        del self.env["OVERNIGHT_WEB"]
        self.ok("repo", "add", str(self.repo))
        self._processes = dict[str, subprocess.Popen[bytes]]()

    def start(self, name: str, *words: str) -> None:
        """A command that stays."""
        self._processes[name] = self.spawn("overnight", *words)

    def up(self) -> Served:
        """Daemon and pages; where they are."""
        self.start("daemon", "up", "--plain")
        return self.served()

    def served(self) -> Served:
        """Whoever serves, as soon as somebody does."""
        return wait(lambda: served(self.home), lambda: (self.home / "web.log").read_text())

    def kill(self, name: str) -> None:
        """End a command that stays, at once."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def end(self) -> None:
        """End everything that was started."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()
        with contextlib.suppress(AssertionError):
            other = served(self.home)
            if other is not None:
                os.kill(other.who.pid, 15)

    def token(self) -> str:
        return self.ok("web", "token")

    def login(self) -> str:
        """A one-time link."""
        return self.ok("web", "login")


def wait(look: Any, why: Any = lambda: "") -> Any:
    """What `look` gives as soon as it gives something."""
    return soon(look, why)


class Http:
    """Requests as a program sends them."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self.host, self.port, self.token = str(parts.hostname), int(parts.port or 80), token

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body). body: a value is sent as JSON, bytes as they are."""
        sent = dict(headers or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        link = HTTPConnection(self.host, self.port, timeout=HAPPENS_WITHIN_S)
        with contextlib.closing(link):
            link.request(method, path, data, sent)
            answer = link.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """An answer that must be one."""
        status, _, data = self.ask(method, path, body)
        assert status in (200, 201), (status, data)
        return json.loads(data)

    @contextlib.contextmanager
    def stream(self, path: str, headers: dict[str, str] | None = None) -> Generator[HTTPResponse]:
        """A stream of events."""
        link = HTTPConnection(self.host, self.port, timeout=HAPPENS_WITHIN_S)
        with contextlib.closing(link):
            link.request("GET", path, headers={"Authorization": f"Bearer {self.token}", **(headers or {})})
            yield link.getresponse()


def held(http: Http, task: str) -> bool:
    """Whether a task waits for a decision. task: its address."""
    return waits_for(http, task, "needs-approval")


def waits_for(http: Http, task: str, reason: str) -> bool:
    """Whether a task is held for this reason."""
    hold: Any = http.json("GET", task)["row"]["hold"]
    return hold is not None and hold["reason"] == reason
