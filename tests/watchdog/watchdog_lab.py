"""A real daemon, real runs and the real watchdog in processes of their own, and a loopback server that hears it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from overnight.watchdog.facts import Rules
from overnight.watchdog.look import read_beat
from overnight.watchdog.process import rules_to_json
from overnight.watchdog.tell import VARIABLE
from testkit.computer import Computer, config, policy
from testkit.waiting import PATIENCE, soon

#: Quick enough for a test: the daemon beats every 2 s.
RULES = Rules(look=0.2, stale=7.0, warden_stale=7.0, disk=1, memory=1)


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


class Machine(Computer):
    """A state folder with a daemon, a repo and a watchdog."""

    def __init__(self, folder: Path, home: Path | None = None) -> None:
        self.ear, self.heard, self.gate = Ear(), folder / "heard", folder / "gate"
        os.mkfifo(self.gate)
        agent = f'read word < {self.gate}; echo "$OVERNIGHT_TASK" > work.txt && git add -A && git commit -q -m Work && echo done'
        settings = config(agent, "[work]\ntotal = 2\n")
        super().__init__(folder, settings, policy("[limits]\nattempts = 1\n"), home=home)

    def close(self) -> None:
        """End everything that lives here."""
        super().close()
        self.ear.close()

    def daemon(self) -> int:
        """Start a daemon; its process, once it beats."""
        child = self.spawn("overnight", "up", "--plain")
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
        child = self.spawn("overnight.watchdog", str(self.home), **{VARIABLE: rules_to_json(rules)})
        if child.poll() is None:
            self.looked(child)
        return child

    def looked(self, child: subprocess.Popen[bytes]) -> None:
        """Return once a watchdog has looked at what is there now; or has ended."""
        lock = self.home / "watchdog.lock"
        for _ in range(2):
            before = lock.stat().st_mtime_ns if lock.exists() else 0
            soon(lambda before=before: child.poll() is not None or (lock.exists() and lock.stat().st_mtime_ns > before))

    def let_go(self) -> None:
        """Let an agent that waits at the gate go on."""
        with self.gate.open("w") as gate:
            gate.write("go\n")

    def told(self) -> list[str]:
        """What the command was told: `KEY SEVERITY`."""
        path = Path(f"{self.heard}.keys")
        return path.read_text().splitlines() if path.exists() else []
