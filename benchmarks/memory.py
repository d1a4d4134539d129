"""Whether the daemon and what stands beside it grow over many nights, on this machine.

    python -m benchmarks.memory [TASKS [EVERY]]

One daemon carries out so many tiny tasks (2,000 unless said) as fast as it can, each with a run; one in ten is checked and
merged, the others become branches. The process of the pages, with a viewer of the Now page and one of all events, and a
watchdog stand beside it, as at night.
After every so many (100) it is said what each process holds, and in the end what a thousand tasks add, by least squares
over what was counted once the first quarter had ended.

The daemon is `overnight.daemon` as `overnight up` starts it, with one more thread that counts when it is asked to: objects
that Python's collector knows, blocks of Python's allocator, asyncio's tasks, what the C library gave out. All else is read
from outside.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ctypes
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.night import GIT, WORK, Bench
from benchmarks.table import head
from benchmarks.web import ask
from overnight.api.access import Access
from overnight.durable.client import Client
from overnight.durable.journal import connect
from overnight.web_process import served

TASKS, EVERY = 2000, 100
#: Tasks that wait or run while others are added: there is always one to begin.
AHEAD = 12
#: Of the tasks: so many are warm-up.
WARM = 0.25

Counts = dict[str, float]


# -- the daemon ---------------------------------------------------------------------------------------------


def be_the_daemon() -> None:
    """As `overnight up`, and on each line of the input what it holds."""
    from overnight.config import read_settings
    from overnight.config.settings import state_home
    from overnight.daemon import run

    loops = list[asyncio.AbstractEventLoop]()

    def ready() -> None:
        loops.append(asyncio.get_running_loop())
        threading.Thread(target=count, name="counting", daemon=True).start()

    def count() -> None:
        for _ in sys.stdin:
            gc.collect()
            blocks, objects = sys.getallocatedblocks(), gc.get_objects()
            kinds = collections.Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in objects)
            said = {"objects": len(objects), "blocks": blocks, "tasks": len(asyncio.all_tasks(loops[0]))} | allocated()
            del objects
            print(json.dumps([said, kinds]), flush=True)

    settings = read_settings()
    run(settings, state_home(settings), ready)


class _Allocated(ctypes.Structure):
    """As glibc's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def allocated() -> Counts:
    """What the C library has given out, and what came back to it that the system has not got back; nothing where it
    does not say."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return {}
    libc.mallinfo2.restype = _Allocated
    found = libc.mallinfo2()
    return {"malloc MiB": (found.uordblks + found.hblkhd) / 2**20, "malloc free MiB": found.fordblks / 2**20}


class Night(Bench):
    """A night whose daemon is counted."""

    #: The one that the next task is for.
    repo: Path

    def __init__(self, folder: Path) -> None:
        """Two repositories: in one of them there is nothing to check, which is most of a tiny task's time."""
        super().__init__(folder, "command", WORK)
        self.checked, self.plain = self.repo, folder / "plain"
        shutil.copytree(self.checked, self.plain)
        policy = self.plain / "overnight.toml"
        policy.write_text(policy.read_text().replace('test = "true"\n', "").replace('"merge"', '"branch"'))
        subprocess.run([*GIT, "commit", "-qam", "No checks"], cwd=self.plain, check=True)

    def put(self, n: int) -> None:
        """Queue the task of this number."""
        self.repo = self.checked if n % 10 == 0 else self.plain
        self.add(name_of(n))

    def start(self) -> float:
        config = self.folder / "config.toml"
        config.write_text(f"{config.read_text()}[web]\nport = 0\n")
        environ = {name: value for name, value in self.environ().items() if name != "OVERNIGHT_WEB"}
        command = [sys.executable, "-m", "benchmarks.memory", "--daemon"]
        self.daemon = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.until(lambda: Client(self.home).running() is not None and served(self.home) is not None)
        return 0.0

    def count(self) -> tuple[Counts, dict[str, int]]:
        """What the daemon holds, and of which kinds."""
        assert self.daemon is not None
        asked, said = self.daemon.stdin, self.daemon.stdout
        assert asked is not None
        assert said is not None
        asked.write(b"\n")
        asked.flush()
        inside, kinds = json.loads(said.readline())
        return {**outside(self.daemon.pid), **inside}, kinds

    def over(self) -> int:
        """Tasks that have ended."""
        with contextlib.closing(connect(self.home / "journal.db", read_only=True)) as db:
            return db.execute("SELECT count(*) FROM task WHERE state = 'done'").fetchone()[0]


def name_of(n: int) -> str:
    """A task's name."""
    return f"t{n:06d}"


def outside(pid: int) -> Counts:
    """What anybody can see of a process."""
    process = psutil.Process(pid)
    watches = 0
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            watches += sum(line.startswith("inotify ") for line in info.read_text().splitlines())
    children = sum(child.status() != psutil.STATUS_ZOMBIE for child in process.children())
    return {
        "rss MiB": process.memory_info().rss / 2**20, "files": process.num_fds(), "threads": process.num_threads(),
        "children": children, "watches": watches,
    }  # fmt: skip


# -- what stands beside it ----------------------------------------------------------------------------------


@contextlib.contextmanager
def watchdog(night: Bench) -> Generator[int]:
    """Its pid."""
    command = [sys.executable, "-P", "-m", "overnight.watchdog", str(night.home)]
    with subprocess.Popen(command, env=night.environ(), stderr=subprocess.DEVNULL) as child:
        try:
            yield child.pid
        finally:
            child.terminate()


@contextlib.contextmanager
def viewers(url: str, token: str) -> Generator[None]:
    """Somebody who has the Now page open, and somebody who hears of all events; both read whatever comes."""
    links = [socket.create_connection((str(urlsplit(url).hostname), int(url.rpartition(":")[2]))) for _ in range(2)]

    def hold(link: socket.socket, path: str) -> None:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept-Language: en\r\n\r\n"
        link.sendall(head.encode())
        while link.recv(1 << 16):
            pass

    held = [threading.Thread(target=hold, args=each) for each in zip(links, ("/live/now", "/api/events"), strict=True)]
    for each in held:
        each.start()
    try:
        yield
        if not all(each.is_alive() for each in held):
            raise RuntimeError("a viewer was turned away")
    finally:
        for link in links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for each, link in zip(held, links, strict=True):
            each.join()
            link.close()


# -- figures ------------------------------------------------------------------------------------------------


def slope(points: Sequence[tuple[float, float]]) -> float:
    """What one more task adds, by least squares."""
    across, up = (sum(values) / len(points) for values in zip(*points, strict=True))
    wide = sum((x - across) ** 2 for x, _ in points)
    return sum((x - across) * (y - up) for x, y in points) / wide if wide else 0.0


def growth(name: str, seen: Sequence[tuple[int, Counts]], per: int, of: str) -> None:
    """One line for each thing that a process holds: first and last after the warm-up, and what so many more add."""
    warm = [each for each in seen if each[0] >= seen[-1][0] * WARM]
    for what in seen[0][1]:
        points = [(float(n), counts[what]) for n, counts in warm]
        first, last, more = points[0][1], points[-1][1], slope(points) * per
        sys.stdout.write(
            f"{name + ': ' + what:<32} {first:>11.1f} -> {last:>11.1f}   {more:>+10.2f} per {per:,} {of}\n"
        )
    sys.stdout.flush()


def grown(before: dict[str, int], after: dict[str, int], most: int = 8) -> None:
    """The kinds of objects of which there are more."""
    more = collections.Counter(after)
    more.subtract(before)
    found = [f"{kind} {count:+d}" for kind, count in more.most_common(most) if count > 0]
    sys.stdout.write(f"more of: {', '.join(found) or 'nothing'}\n")


def night(tasks: int, every: int) -> None:
    """So many tasks through one daemon."""
    with tempfile.TemporaryDirectory(prefix="overnight-bench-", ignore_cleanup_errors=True) as folder:
        night = Night(Path(folder))
        seen: dict[str, list[tuple[int, Counts]]] = {"daemon": [], "pages": [], "watchdog": []}
        kinds = list[dict[str, int]]()
        try:
            night.start()
            assert night.daemon is not None
            at = served(night.home)
            assert at is not None
            token = Access(night.home, 60.0).token
            with watchdog(night) as dog, viewers(at.url, token):
                added, began = 0, time.monotonic()
                for goal in range(every, tasks + 1, every):
                    while (over := night.over()) < goal:
                        while added < min(tasks, over + AHEAD):
                            added += 1
                            night.put(added)
                        time.sleep(0.05)
                    visit(at.url, token, name_of(goal))
                    counts, kind = night.count()
                    kinds.append(kind)
                    for name, found in (("daemon", counts), ("pages", outside(at.who.pid)), ("watchdog", outside(dog))):
                        seen[name].append((over, found))
                    told = "  ".join(f"{name} {each[-1][1]['rss MiB']:.1f}" for name, each in seen.items())
                    sys.stdout.write(
                        f"{over:>6} tasks after {time.monotonic() - began:>5.0f} s: {told} MiB;  "
                        f"{counts['objects']:.0f} objects, {counts['blocks']:.0f} blocks\n"
                    )
                    sys.stdout.flush()
        except KeyboardInterrupt:
            sys.stdout.write("ended early\n")
        finally:
            night.end()
    if len(kinds) < 2:
        raise SystemExit("too few counts for a growth")
    for name, each in seen.items():
        growth(name, each, 1000, "tasks")
    grown(kinds[int(len(kinds) * WARM)], kinds[-1])


def visit(url: str, token: str, task: str) -> None:
    """Look at each page once."""
    for path in ("/", "/tasks", f"/tasks/{task}", "/night", "/guard", "/system", "/usage", "/api/status", "/metrics"):
        link = HTTPConnection(str(urlsplit(url).hostname), int(url.rpartition(":")[2]), timeout=120)
        with contextlib.closing(link):
            ask(link, token, path)


def main(tasks: int = TASKS, every: int = EVERY) -> None:
    """Print what was measured."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    head(f"Memory over {tasks} tasks, load {os.getloadavg()[0]:.1f}")
    night(tasks, every)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--daemon"]:
            be_the_daemon()
        case words:
            main(*(int(word) for word in words))
