"""How fast pages and API answer with many tasks and many viewers, on this machine.

    python -m benchmarks.web [TASKS] [EVENTS] [VIEWERS]

A journal with so many tasks (10,000 unless said) and events (1,000,000), of which a twentieth has not ended; VIEWERS (50)
hold a live stream of the Now page while another process writes ten events a second. Times are from the sent request to
the last byte, by one client on loopback, with the viewers there; events from their commit to their arrival at a viewer.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from benchmarks.table import row
from overnight.api.access import Access
from overnight.durable.chain import GENESIS, Event, digest
from overnight.durable.journal import HEAD, Journal
from overnight.missions.codec import builtins
from overnight.missions.task import Repo, Task
from overnight.web_process import served

ROUNDS, WRITES = 200, 60
_HOLD = {"reason": "needs-approval", "why": "risk 40 of 100", "releases_on": "`overnight approve`", "until": None}


def make(home: Path, tasks: int, events: int) -> None:
    """The journal, its chain of events whole."""
    journal = Journal(home)
    with contextlib.closing(journal), journal.tx("fill") as db:
        now = time.time()
        for n in range(tasks):
            kind = n % 20
            state, phase, hold = ("done", "landed", None) if kind else ("ready", "queued", None)
            if n % 400 == 0:
                state, phase, hold = "waiting", "deciding", json.dumps(_HOLD)
            task = Task(
                id=f"task-{n:06d}",
                repo=Repo(name=f"repo-{n % 10}", path="/r", target="main"),
                title=f"Task {n}",
                text="x" * 500,
            )
            db.execute(
                "INSERT INTO task(id, flow, lane, priority, state, phase, wait_for, hold, input, output, created, updated) "
                "VALUES (?, 'task', ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
                (task.id, task.repo.name, state, phase, "signal decision" if hold else None, hold, json.dumps(builtins(task)),
                 json.dumps({"phase": "landed", "why": "test passed"}) if state == "done" else None, now - n, now - n),
            )  # fmt: skip
        seq, last = 0, GENESIS
        rows = list[tuple[Any, ...]]()
        for n in range(events):
            seq += 1
            event = Event(
                seq, now - events + n, f"task-{n % tasks:06d}", "daemon", "step.done", f"step {n // tasks}", "{}"
            )
            last = digest(event, last)
            rows.append((event.seq, event.at, event.task, event.actor, event.what, event.why, event.data, last))
            if len(rows) == 10_000 or n == events - 1:
                db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                rows.clear()
        journal.put(*HEAD, json.dumps([seq, last]))


def ask(port: int, token: str, path: str, link: HTTPConnection) -> float:
    """Milliseconds of one request."""
    began = time.perf_counter()
    link.request("GET", path, headers={"Authorization": f"Bearer {token}", "Accept": "text/html"})
    answer = link.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:200]!r} at port {port}")
    return (time.perf_counter() - began) * 1000


def watch(port: int, token: str, path: str) -> socket.socket:
    """An open stream."""
    link = socket.create_connection(("127.0.0.1", port))
    link.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return link


def drain(link: socket.socket) -> None:
    """Read on, as a browser does."""
    with contextlib.suppress(OSError):
        while link.recv(1 << 16):
            pass


def p99(values: list[float]) -> float:
    """The value that one in a hundred is above."""
    return sorted(values)[max(0, round(len(values) * 0.99) - 1)]


def main(tasks: int = 10_000, events: int = 1_000_000, viewers: int = 50) -> None:
    """Print what was measured."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "state"
        make(home, tasks, events)
        sys.stdout.write(f"{tasks} tasks, {events} events, {viewers} viewers\n")
        env = {"PATH": "/usr/bin:/bin", "HOME": name, "OVERNIGHT_HOME": str(home), "LANG": "C.UTF-8"}
        command = [sys.executable, "-P", "-m", "overnight", "web", "--port", "0"]
        server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
        try:
            while (at := served(home)) is None:
                if server.poll() is not None:
                    raise RuntimeError("the server ended")
                time.sleep(0.05)
            measure(home, int(at.url.rpartition(":")[2]), at.who.pid, viewers)
        finally:
            server.terminate()
            server.wait()


def measure(home: Path, port: int, pid: int, viewers: int) -> None:
    """With the server up."""
    token = Access(home, 60.0).token
    links = [watch(port, token, "/live/now") for _ in range(viewers)]
    for link in links:
        threading.Thread(target=drain, args=(link,), daemon=True).start()
    late = list[float]()
    listener = threading.Thread(target=listen, args=(port, token, late), daemon=True)
    listener.start()
    ended = threading.Event()
    writer = threading.Thread(target=write, args=(home, ended), daemon=True)
    writer.start()
    for path, aim in (
        ("/", "<= 50 ms p99"),
        ("/api/now", "<= 50 ms p99"),
        ("/tasks", ""),
        ("/api/status?since=0", ""),
        ("/tasks/task-000400", ""),
    ):
        times = list[float]()
        with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=60)) as link:
            for _ in range(ROUNDS):
                times.append(ask(port, token, path, link))
                time.sleep(0.02)  # as many as are let through, not more
        row(f"GET {path}", times, "ms")
        row(f"GET {path}, p99", [p99(times)], "ms", aim)
    listener.join(60)
    ended.set()
    writer.join()
    row("an event, from its commit to a viewer", late, "ms")
    row("an event, p99", [p99(late)] if late else [], "ms", "<= 250 ms p99")
    row("memory of the server", [psutil.Process(pid).memory_info().rss / 1e6], "MB")
    for link in links:
        link.close()


def write(home: Path, ended: threading.Event) -> None:
    """Ten events a second, each with the time of its commit."""
    journal = Journal(home)
    try:
        while not ended.wait(0.1):
            journal.tell("bench.mark", sent=time.time())
    except sqlite3.Error as error:
        sys.stderr.write(f"{error}\n")
    finally:
        journal.close()


def listen(port: int, token: str, late: list[float]) -> None:
    """How late events are."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=60)) as link:
        link.request("GET", "/api/events", headers={"Authorization": f"Bearer {token}"})
        stream = link.getresponse()
        while len(late) < WRITES:
            line = stream.readline()
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                if event["what"] == "bench.mark":
                    late.append((time.time() - float(event["data"]["sent"])) * 1000)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
