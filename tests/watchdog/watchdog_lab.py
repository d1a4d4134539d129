"""A real daemon, real runs and the real watchdog in processes of their own, and a loopback server that hears it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import psutil

from overnight.durable.client import Client
from overnight.durable.identity import Identity, is_alive
from overnight.durable.journal import connect
from overnight.fleet.local import read_identity
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task
from overnight.watchdog.facts import Rules
from overnight.watchdog.look import read_beat
from overnight.watchdog.process import rules_to_json
from overnight.watchdog.tell import VARIABLE

T = TypeVar("T")
#: Seconds after which what must happen did not.
PATIENCE = 90.0
#: Quick enough for a test: the daemon beats every 2 s.
RULES = Rules(look=0.2, stale=7.0, warden_stale=7.0, disk=1, memory=1)
POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = "test -s seed.txt"
[limits]
attempts = 1
[box]
minimum = "none"
[judges]
families = 0
[clarify]
threshold = 101
"""
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]


def soon(look: Callable[[], T | None]) -> T:
    """What a look finds, once it finds something: nobody announces what other processes do."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it does not happen")


class Ear(ThreadingHTTPServer):
    """Hears what is posted and pinged, on loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.said: queue.Queue[dict[str, Any]] = queue.Queue()
        self.pings: queue.Queue[float] = queue.Queue()
        #: It takes no message while this is so; what it refused.
        self.refuses = False
        self.refused: queue.Queue[dict[str, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def hears(self, key: str) -> dict[str, Any]:
        """The next message about this; others are passed over."""
        until = time.monotonic() + PATIENCE
        while True:
            found = self.said.get(timeout=max(0.0, until - time.monotonic()))
            if found["key"] == key:
                return found

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """POST is a message, GET a ping."""

    server: Ear  # type: ignore[assignment] (what it is served by)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuses:
            self.server.refused.put(json.loads(body))
            self._answer(503)
            return
        self.server.said.put(json.loads(body))
        self._answer(200)

    def do_GET(self) -> None:
        self.server.pings.put(time.monotonic())
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


class Machine:
    """A state folder with a daemon, a repo and a watchdog."""

    def __init__(self, folder: Path, home: Path | None = None) -> None:
        self.folder, self.home, self.repo = folder, home or folder / "state", folder / "repo"
        self.ear, self.heard = Ear(), folder / "heard"
        self.gate = folder / "gate"
        os.mkfifo(self.gate)
        agent = f'read word < {self.gate}; echo "$OVERNIGHT_TASK" > work.txt && git add -A && git commit -q -m Work && echo done'
        config = f'[work]\ntotal = 2\n[box]\nname = "none"\ni_know = true\n[agents.command]\nargv = ["sh", "-c", {json.dumps(agent)}]\n'
        (folder / "config.toml").write_text(config)
        self.env = {
            "OVERNIGHT_WEB": "off", "OVERNIGHT_HOME": str(self.home), "OVERNIGHT_CONFIG": str(folder / "config.toml"), "HOME": str(folder),
            "PATH": os.environ["PATH"],
        }  # fmt: skip
        self._children: list[subprocess.Popen[bytes]] = []
        self.repo.mkdir()
        (self.repo / "seed.txt").write_text("seed\n")
        (self.repo / "overnight.toml").write_text(POLICY)
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Seed"]):
            subprocess.run(
                [*GIT, *words], cwd=self.repo, check=True, env={"PATH": os.environ["PATH"], "HOME": str(folder)}
            )

    def close(self) -> None:
        """End everything that lives here."""
        for child in self._children:
            child.kill()
            child.wait()
        beat = read_beat(self.home / "daemon.beat")
        if beat is not None and is_alive(Identity(beat.pid, beat.started, beat.boot)):
            os.kill(beat.pid, signal.SIGKILL)
        for process in psutil.process_iter(["cmdline"]):  # a warden may not have said yet who it is
            if any(word.startswith(f"{self.home}/runs/") for word in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.ear.close()

    def _spawn(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        log = (self.folder / "log").open("ab")
        with log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", *words], env={**self.env, **more}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )  # fmt: skip
        self._children.append(child)
        return child

    def daemon(self) -> int:
        """Start a daemon; its process, once it beats."""
        child = self._spawn("overnight", "up", "--plain")
        return soon(
            lambda: child.pid if (beat := self.beat()) is not None and beat.pid == child.pid and beat.turns else None
        )

    def beat(self) -> Any:
        return read_beat(self.home / "daemon.beat")

    def watch(self, rules: Rules = RULES) -> subprocess.Popen[bytes]:
        """Start a watchdog that tells by a command and by a webhook."""
        from dataclasses import replace

        command = ("sh", "-c", f'cat >> {self.heard}; echo "$OVERNIGHT_KEY $OVERNIGHT_SEVERITY" >> {self.heard}.keys')
        rules = replace(rules, command=command, webhook=self.ear.url("/hook"))
        child = self._spawn("overnight.watchdog", str(self.home), **{VARIABLE: rules_to_json(rules)})
        if child.poll() is None:
            self.looked(child)
        return child

    def looked(self, child: subprocess.Popen[bytes]) -> None:
        """Return once a watchdog has looked at what is there now; or has ended."""
        lock = self.home / "watchdog.lock"
        for _ in range(2):
            before = lock.stat().st_mtime_ns if lock.exists() else 0
            soon(lambda before=before: child.poll() is not None or (lock.exists() and lock.stat().st_mtime_ns > before))

    def add(self, ident: str) -> None:
        """Queue a task."""
        repo = Repo(name="repo", path=str(self.repo), target="main")
        task = Task(id=ident, repo=repo, title=ident, text=ident)
        Client(self.home).call(
            "submit", id=ident, flow="task", lane="repo", input=builtins(task), phase=Phase.QUEUED, pool="work"
        )

    def warden(self, run: str) -> Identity:
        """The warden of a run, once its agent works."""
        task, life, n = run.rsplit(".", 2)
        folder = self.home / "runs" / task / life / n
        soon(lambda: (folder / "launch.json").exists() or None)
        return soon(lambda: read_identity(folder))

    def let_go(self) -> None:
        """Let an agent that waits at the gate go on."""
        with self.gate.open("w") as gate:
            gate.write("go\n")

    def phase(self, ident: str) -> str:
        """Where a task is."""
        db = connect(self.home / "journal.db", read_only=True)
        try:
            return db.execute("SELECT phase FROM task WHERE id = ?", (ident,)).fetchone()["phase"]
        finally:
            db.close()

    def told(self) -> list[str]:
        """What the command was told: `KEY SEVERITY`."""
        path = Path(f"{self.heard}.keys")
        return path.read_text().splitlines() if path.exists() else []
