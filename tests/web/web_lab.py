"""A night as people see it in their browser: a real daemon with its server of pages, real git, an agent that is a script."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from overnight.web_process import Served, served

#: How long something may take that only needs to happen.
HAPPENS_WITHIN_S = 120.0
CONFIG = """
[work]
total = 4
per_repo = 4
[box]
name = "none"
i_know = true
[web]
port = 0
[agents.command]
argv = ["sh", "-c", {agent}]
"""
POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = "test -s seed.txt"
[box]
minimum = "none"
[judges]
families = 0
[clarify]
threshold = {unclear}
[risk]
asks_from = {asks}
"""


class Lab:
    """One machine with its state folder."""

    def __init__(self, folder: Path, *, agent: str, asks: int = 100, unclear: int = 101) -> None:
        self.folder, self.home, self.repo = folder, folder / "state", folder / "shop"
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "OVERNIGHT_HOME": str(self.home), "LANG": "C.UTF-8",
            "OVERNIGHT_CONFIG": str(folder / "config.toml"),
        }  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(CONFIG.format(agent=json.dumps(agent)))
        self.repo.mkdir()
        (self.repo / "seed.txt").write_text("seed\n")
        (self.repo / "overnight.toml").write_text(POLICY.format(asks=asks, unclear=unclear))
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Seed"]):
            subprocess.run([*git, *words], cwd=self.repo, check=True)
        self.ok("repo", "add", str(self.repo))
        self._processes = dict[str, subprocess.Popen[bytes]]()

    def ok(self, *words: str) -> str:
        """A command of the command line that must work; what it printed."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "overnight", *words], env=self.env, cwd=self.folder, capture_output=True,
            text=True, check=False, timeout=HAPPENS_WITHIN_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, name: str, *words: str) -> None:
        """A command that stays."""
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-P", "-m", "overnight", *words]
            self._processes[name] = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

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
    until = time.monotonic() + HAPPENS_WITHIN_S
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not happen: {why()}")


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
