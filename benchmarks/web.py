"""How fast pages, API and commands answer with a large journal and many viewers, on this machine.

    python -m benchmarks.web [TASKS EVENTS VIEWERS [PART]]

PART is one of alone, viewers, commands and daemon. A state folder with so many tasks (10,000 unless said) and events (1,000,000), as `benchmarks.big` makes it. Server,
writer, viewers and the client that is timed are processes of their own, over HTTP on loopback. VIEWERS (50) hold the live
stream of the Now page and as many a stream of all events, while the journal's own writer commits ten events a second and
a run's record grows.

Times of pages are the server's own (`Server-Timing`), from the request's head to the answer's; CPU is what the server's
process took for each, with nobody else there. Events are timed from their commit's beginning to the viewer's line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.big import large
from benchmarks.table import head, row
from overnight.api.access import Access
from overnight.durable.client import Client
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal, connect
from overnight.report.rundir import EVENTS, folder_of
from overnight.web_process import served

ROUNDS, APART_S = 300, 0.03
PAGES = (
    "/", "/tasks", "/tasks/{ended}", "/tasks/{running}", "/tasks/{held}", "/night", "/usage", "/guard", "/system", "/api/status", "/api/now",
    "/api/tasks", "/api/tasks?q=settings&offset=5000", "/metrics",
)  # fmt: skip
COMMANDS = (
    ("status",), ("status", "--plain"), ("status", "--json"), ("inbox",), ("show", "{held}"), ("log", "{running}"), ("report",), ("--help",),
)  # fmt: skip
_MARK = re.compile(rb"mark (\d+\.\d+)")


def percentile(values: list[float], percent: float) -> float:
    """The value that so many in a hundred do not pass."""
    return sorted(values)[max(0, min(len(values) - 1, round(len(values) * percent / 100) - 1))]


class Served:
    """A server over a state folder, as a person starts it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {
            "PATH": "/usr/bin:/bin", "HOME": str(home.parent), "OVERNIGHT_HOME": str(home), "LANG": "C.UTF-8",
        }  # fmt: skip
        self.command = [sys.executable, "-P", "-m", "overnight"]
        began = time.perf_counter()
        self._server = subprocess.Popen([*self.command, "web", "--port", "0"], env=self.env, stdout=subprocess.DEVNULL)
        while (at := served(home)) is None:
            if self._server.poll() is not None:
                raise RuntimeError("the server ended")
            time.sleep(0.02)
        self.started = time.perf_counter() - began
        self.url, self.process = at.url, psutil.Process(at.who.pid)
        self.token = Access(home, 60.0).token
        with contextlib.closing(connect(home / "journal.db", read_only=True)) as db:
            sql = "SELECT id FROM task WHERE {} ORDER BY updated DESC LIMIT 1"
            kinds = {
                "ended": "phase = 'landed'",
                "running": "phase = 'running' AND state = 'ready'",
                "held": "phase = 'deciding'",
            }
            self.names: dict[str, str] = {
                kind: db.execute(sql.format(where)).fetchone()[0] for kind, where in kinds.items()
            }

    def cpu(self) -> float:
        """Seconds that it took so far."""
        return sum(self.process.cpu_times()[:2])

    def memory(self) -> float:
        """MB in its own use."""
        return self.process.memory_info().rss / 1e6

    def end(self) -> None:
        self._server.terminate()
        self._server.wait()


def ask(link: HTTPConnection, token: str, path: str) -> tuple[float, float]:
    """Milliseconds: the server's own, and until the last byte was here."""
    began = time.perf_counter()
    link.request(
        "GET", path, headers={"Authorization": f"Bearer {token}", "Accept": "text/html", "Accept-Language": "en"}
    )
    answer = link.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
    took = (time.perf_counter() - began) * 1000
    own = re.search(r"dur=([\d.]+)", answer.headers.get("server-timing", ""))
    return float(own[1]) if own else took, took


def pages(at: Served, rounds: int, *, alone: bool) -> None:
    """One client, a request after the other, as often as a client is let through."""
    for path in PAGES:
        where = path.format(**at.names)
        with contextlib.closing(
            HTTPConnection(str(urlsplit(at.url).hostname), int(at.url.rpartition(":")[2]), timeout=120)
        ) as link:
            first, _ = ask(link, at.token, where)
            found, before = list[tuple[float, float]](), at.cpu()
            for _ in range(rounds):
                found.append(ask(link, at.token, where))
                time.sleep(APART_S)
            spent = (at.cpu() - before) * 1000 / rounds
        own, whole = [each[0] for each in found], [each[1] for each in found]
        told = f"p50 {percentile(own, 50):7.1f}  p99 {percentile(own, 99):7.1f}  client p50 {percentile(whole, 50):7.1f} p99 {percentile(whole, 99):7.1f}"
        cpu = f"  cpu {spent:6.2f}" if alone else ""
        sys.stdout.write(f"GET {path:<36} {told}{cpu}  first {first:7.1f} ms\n")
        sys.stdout.flush()


# -- others -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def beside(*words: str) -> Generator[subprocess.Popen[str]]:
    """Another process of this benchmark; it ends with its input."""
    command = [sys.executable, "-m", "benchmarks.web", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        try:
            yield child
        finally:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()


def _until_input_ends() -> threading.Event:
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended


def write(home: Path, running: str) -> None:
    """Ten events a second, each with the time at which its commit began; a task that is added every second; a line in a
    run's record five times a second."""
    ended, n = _until_input_ends(), 0
    record = folder_of(home, f"{running}.1.1") / EVENTS
    journal = Journal(home)
    desk = Desk(journal)
    with contextlib.closing(journal), contextlib.closing(connect(home / "journal.db", read_only=True)) as db:
        found = json.loads(db.execute("SELECT input FROM task WHERE id = ?", (running,)).fetchone()[0])
        log, wal = home / "journal.db-wal", 0
        while not ended.wait(0.1):
            n += 1
            wal = max(wal, log.stat().st_size)
            journal.tell("bench.mark", task=running, sent=time.time())
            if n % 2 == 0:
                with record.open("a") as file:
                    words = {
                        "seq": n,
                        "at": time.time(),
                        "kind": "agent",
                        "event": "text",
                        "text": f"mark {time.time()}",
                    }
                    file.write(json.dumps(words) + "\n")
            if n % 10 == 0:
                name = f"bench-{os.getpid()}-{n}"
                desk.call("submit", {"actor": "bench", "id": name, "flow": "task", "lane": "repo-1", "phase": "queued",
                                     "pool": "work", "input": found | {"id": name}})  # fmt: skip
    print(json.dumps({"written": n, "wal": wal}))


def watch(url: str, token: str, viewers: int) -> None:
    """Hold the streams, and note how late what comes through them is."""
    late: dict[str, list[float]] = {"events": [], "pictures": []}
    bytes_ = [0]

    async def hold(path: str, note: Callable[[bytes], None] | None) -> None:
        reader, writer = await asyncio.open_connection(str(urlsplit(url).hostname), int(url.rpartition(":")[2]))
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept-Language: en\r\n\r\n"
        writer.write(head.encode())
        while data := await (reader.read(1 << 16) if note is None else reader.readline()):
            bytes_[0] += len(data)
            if note is not None:
                note(data)

    def event(line: bytes) -> None:
        if line.startswith(b"data: ") and b"bench.mark" in line:
            late["events"].append((time.time() - json.loads(line[6:])["data"]["sent"]) * 1000)

    def picture() -> Callable[[bytes], None]:
        seen = [0.0]

        def look(line: bytes) -> None:
            if (found := _MARK.search(line)) is not None and float(found[1]) > seen[0]:
                seen[0] = float(found[1])
                late["pictures"].append((time.time() - seen[0]) * 1000)

        return look

    async def all_of_them() -> None:
        ended = asyncio.to_thread(sys.stdin.read)
        # Looking for marks in all pictures would take more than making them does: a few viewers tell for the others.
        holds = [asyncio.create_task(hold("/live/now", picture() if n % 10 == 0 else None)) for n in range(viewers)]
        holds += [asyncio.create_task(hold("/api/events", event)) for _ in range(viewers)]
        print("watching", flush=True)
        await ended
        for each in holds:
            each.cancel()
        await asyncio.gather(*holds, return_exceptions=True)

    asyncio.run(all_of_them())
    print(json.dumps(late | {"bytes": bytes_[0]}))


def with_viewers(at: Served, viewers: int, rounds: int) -> None:
    """Pages and events while everybody watches and something happens."""
    before = at.memory()
    with (
        beside("--watch", at.url, at.token, str(viewers)) as others,
        beside("--write", str(at.home), at.names["running"]) as writer,
    ):
        assert others.stdout is not None
        assert writer.stdout is not None
        assert others.stdin is not None
        assert writer.stdin is not None
        others.stdout.readline()
        time.sleep(3)
        cpu, began = at.cpu(), time.perf_counter()
        time.sleep(15)
        row("the server's CPU while it is only watched", [(at.cpu() - cpu) / (time.perf_counter() - began) * 100], "%")
        pages(at, rounds, alone=False)
        writer.stdin.close()
        wrote = json.loads(writer.stdout.readline())
        time.sleep(2)  # what was written last is on its way
        others.stdin.close()
        seen = json.loads(others.stdout.readline())
    for name, aim in (("events", "aim p99 250"), ("pictures", "aim p99 1000")):
        values = seen[name]
        row(f"{name}: from commit to {viewers} viewers", values, "ms")
        row(f"{name}: p99", [percentile(values, 99)] if values else [], "ms", aim)
    row("events written, of which all viewers together were told", [len(seen["events"]) / max(1, wrote["written"])], "")
    row("the journal's write-ahead log at its largest", [wrote["wal"] / 1e6], "MB")
    row("the server's memory before and after", [before, at.memory()], "MB")


def commands(at: Served) -> None:
    """What a person waits for at the terminal."""
    for words in COMMANDS:
        given = [word.format(**at.names) for word in words]
        wall, cpu = list[float](), list[float]()
        for _ in range(5):
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*at.command, *given], env=at.env, stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            wall.append((time.perf_counter() - began) * 1000)
            cpu.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
        row(f"`overnight {' '.join(words)}`", wall, "ms")
        row("  its CPU", cpu, "ms")


def daemon(at: Served, wait: float = 15.0) -> None:
    """The daemon on the same folder, with everything paused."""
    (at.home / "PAUSED").write_text("drain\n")
    env = at.env | {"OVERNIGHT_WEB": "off"}
    began = time.perf_counter()
    child = subprocess.Popen(
        [*at.command, "up", "--plain"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while Client(at.home).running() is None:
            if child.poll() is not None:
                raise RuntimeError("the daemon ended")
            time.sleep(0.01)
        row("the daemon, from its start until it answers", [(time.perf_counter() - began) * 1000], "ms")
        process = psutil.Process(child.pid)
        row("its memory then", [process.memory_info().rss / 2**20], "MiB")
        time.sleep(wait)
        cpu = sum(process.cpu_times()[:2])
        time.sleep(wait)
        row("its memory later", [process.memory_info().rss / 2**20], "MiB", "aim 60")
        row("its CPU, idle", [(sum(process.cpu_times()[:2]) - cpu) / wait * 100], "%")
    finally:
        child.terminate()
        child.wait()


def main(tasks: int = 10_000, events: int = 1_000_000, viewers: int = 50, only: str = "") -> None:
    """Print what was measured."""
    home = large(tasks, events)
    try:
        size = (home / "journal.db").stat().st_size / 1e6
        load = os.getloadavg()[0]
        head(f"{tasks} tasks, {events} events ({size:.0f} MB), {viewers} viewers, load {load:.1f}")
        at = Served(home)
        try:
            row("the server, from its start until it serves", [at.started * 1000], "ms")
            row("its memory then", [at.memory()], "MB")
            parts: dict[str, Callable[[], Any]] = {
                "alone": lambda: pages(at, max(20, ROUNDS // 10), alone=True),
                "viewers": lambda: with_viewers(at, viewers, ROUNDS),
                "commands": lambda: commands(at),
                "daemon": lambda: daemon(at),
            }
            for name, part in parts.items():
                if only in ("", name):
                    head(name)
                    part()
        finally:
            at.end()
        sys.stdout.write(f"load in the end {os.getloadavg()[0]:.1f}\n")
    finally:
        shutil.rmtree(home.parent)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--write", home_, running_]:
            write(Path(home_), running_)
        case ["--watch", url_, token_, viewers_]:
            watch(url_, token_, int(viewers_))
        case [tasks_, events_, viewers_, *only_]:
            main(int(tasks_), int(events_), int(viewers_), *only_)
        case _:
            main()
