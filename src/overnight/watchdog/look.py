"""One look at daemon, runs and machine: files and processes, read only. Whatever can't be read is unknown."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from overnight.durable.beat import NAME as BEAT
from overnight.watchdog.chain import Place, bite
from overnight.watchdog.facts import Beat, DaemonSeen, Sight, WardenSeen

#: Seconds that the daemon may take to answer.
ANSWERS_S = 5.0
_MAGIC = b"SQLite format 3\0"


class Clocks(NamedTuple):
    """Where times are read; a test has its own."""

    #: Seconds that stand still while the machine sleeps; seconds since the boot, with its sleep; epoch seconds.
    mono: Callable[[], float]
    boot: Callable[[], float]
    wall: Callable[[], float]


class Looker:
    """Looks, and remembers how far it has read what runs spent, and how far the journal was checked."""

    def __init__(
        self, home: Path, *, clocks: Clocks | None = None, root: Path = Path("/"), place: Place | None = None
    ) -> None:
        """root: where the system's folders (`proc`, `sys`) are looked for. place: how far the journal was checked."""
        self._home, self._root = home, root
        self._clocks = clocks or Clocks(time.monotonic, boot_time, time.time)
        #: Where the journal's chain was left.
        self.place = place or Place()
        #: Run -> (offset in its events, US dollars so far).
        self._spent: dict[str, tuple[int, float]] = {}
        #: Runs that ended and were seen once as ended.
        self._over: set[str] = set()

    def look(self, *, ask: bool) -> Sight:
        """ask: ask the daemon at its socket too. May hang with the disk: called from a thread that may be left behind."""
        clocks = self._clocks
        began, disk, journal = clocks.mono(), self._disk(), self._journal()
        daemon, wardens = self._daemon(ask=ask), tuple(self._wardens())
        memory = free_memory(self._root, daemon.beat.pid if daemon is not None and daemon.alive else os.getpid())
        return Sight(
            began=began, mono=clocks.mono(), boot=clocks.boot(), wall=clocks.wall(), disk=disk, memory=memory,
            journal=journal, daemon=daemon, wardens=wardens, chance=random.random(),
        )  # fmt: skip

    def _journal(self) -> str:
        """What is wrong with its file or with its chain."""
        path = self._home / "journal.db"
        if problem := journal_problem(path):
            return problem
        self.place, problem = bite(path, self.place, self._clocks.wall)
        return problem

    def _disk(self) -> int | None:
        try:
            return shutil.disk_usage(self._home).free
        except OSError:
            return None

    def _daemon(self, *, ask: bool) -> DaemonSeen | None:
        beat = read_beat(self._home / BEAT)
        if beat is None:
            return None
        state = process_state(beat.pid, beat.started, beat.boot)
        alive = state is not None
        return DaemonSeen(beat, alive, state == "T", answers(self._home) if ask and alive else None)

    def _wardens(self) -> Iterator[WardenSeen]:
        here = {_run_of(folder): folder for folder in sorted((self._home / "runs").glob("*/*/*"))}
        self._forget(here)
        for run, folder in here.items():
            if run in self._over or (who := _json(folder / "warden.json")) is None:
                continue
            with contextlib.suppress(KeyError, TypeError, ValueError):
                yield self._warden(run, folder, who)

    def _forget(self, here: Collection[str]) -> None:
        """Runs whose folders are gone: retention removes them, and this process may go on for months."""
        self._over.intersection_update(here)
        for run in [run for run in self._spent if run not in here]:
            del self._spent[run]

    def _warden(self, run: str, folder: Path, who: dict[str, Any]) -> WardenSeen:
        pid, started = int(who["pid"]), float(who["started"])
        state = process_state(pid, started, str(who["boot"]))
        outcome = _json(folder / "outcome.json")  # after the process: one that ends says how before it does
        if outcome is not None:
            self._over.add(run)
            self._spent.pop(run, None)
        spec = (_json(folder / "spec.json") or {}) if outcome is None else {}
        limits = cast("dict[str, Any]", spec.get("limits") or {})
        wall, quiet = limits.get("wall"), [float(limits[key]) for key in ("silence", "call") if limits.get(key)]
        allowance = cast("dict[str, Any]", spec.get("allowance") or {})
        allowed = allowance.get("usd")
        return WardenSeen(
            run=run, pid=pid, started=started, alive=state is not None, stopped=state == "T", over=outcome is not None,
            lost=outcome is not None and outcome.get("end") == "lost", launched=(folder / "launch.json").exists(),
            beat=_beat_of(folder), age=_age(started), wall=float(wall) if wall is not None else None,
            spent=self._spending(run, folder / "events.ndjson") if outcome is None else None,
            allowed=float(allowed) if allowed is not None else None, record=_size_of(folder),
            silence=max(quiet) if quiet else None,
        )  # fmt: skip

    def _spending(self, run: str, path: Path) -> float:
        """What its events say that it spent, read from where the last look ended."""
        offset, total = self._spent.get(run, (0, 0.0))
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                offset += len(line)
                if b'"usage"' in line:
                    total += _cost(line)
        self._spent[run] = (offset, total)
        return total


def _run_of(folder: Path) -> str:
    return f"{folder.parent.parent.name}.{folder.parent.name}.{folder.name}"


def _cost(line: bytes) -> float:
    with contextlib.suppress(ValueError, TypeError):
        event = json.loads(line)
        if event.get("kind") == "usage" and event.get("cost"):
            return float(event["cost"])
    return 0.0


def read_beat(path: Path) -> Beat | None:
    """The daemon's account of itself; None when there is none, or while it is being written."""
    found = _json(path)
    if found is None:
        return None
    try:
        return Beat(
            pid=int(found["pid"]), started=float(found["started"]), boot=str(found["boot"]), n=int(found["n"]),
            turns=int(found["turns"]), ready=int(found["ready"]), queued=int(found["queued"]), live=int(found["live"]),
            paused=bool(found["paused"]), trouble=str(found["trouble"]), ended=bool(found["ended"]),
            keeper=str(found.get("keeper", "")),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None


def answers(home: Path) -> bool:
    """Whether the daemon answers at its socket."""
    try:
        fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(ANSWERS_S)
            link.connect(f"/proc/self/fd/{fd}/daemon.sock")
            link.sendall(b'{"verb": "ping", "arguments": {"actor": "watchdog"}}\n')
            return bool(link.recv(1))
    except OSError:
        return False
    finally:
        os.close(fd)


def journal_problem(path: Path) -> str:
    """What is wrong with the journal's file, as far as its beginning shows; empty when nothing is, or none is there."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"it can't be read ({error.strerror})"
    if not head:
        return ""  # it is being made
    if not head.startswith(_MAGIC):
        return "its beginning was written over"
    page = int.from_bytes(head[16:18], "big")
    page = 65536 if page == 1 else page
    pages, valid = int.from_bytes(head[28:32], "big"), head[24:28] == head[92:96]
    # Where the disk was full in the middle of a checkpoint, the rest still stands in the log beside it.
    if not valid or size + _bytes_in(path.with_name(f"{path.name}-wal")) >= pages * page:
        return ""
    return f"it is {size} bytes long, and its beginning says {pages * page}"


def _bytes_in(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def process_state(pid: int, started: float, boot: str) -> str | None:
    """The state of exactly this process, such as `S` or `T` (stopped); None when it does not run."""
    if boot != boot_id():
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _asked(pid, started)
    if float(fields[19]) != started or fields[0] in (b"Z", b"X"):
        return None
    return fields[0].decode().replace("t", "T")


def _asked(pid: int, started: float) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.create_time() != started or process.status() == psutil.STATUS_ZOMBIE:
            return None
        return "T" if process.status() == psutil.STATUS_STOPPED else "S"
    except psutil.Error:
        return None


def boot_id() -> str:
    """The kernel's id of this boot; the boot time where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"booted at {psutil.boot_time():.0f}"


def boot_time() -> float:
    """Seconds since the boot, with the time that the machine slept, where the system counts it."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _age(started: float) -> float:
    return (
        boot_time() - started / os.sysconf("SC_CLK_TCK") if Path("/proc/self/stat").exists() else time.time() - started
    )


def _beat_of(folder: Path) -> float | None:
    """A living warden touches its lock."""
    try:
        return (folder / "warden.lock").stat().st_mtime
    except OSError:
        return None


def _size_of(folder: Path) -> float | None:
    """Bytes of what is on record of a run, and of what its agent printed."""
    found = 0
    for name in ("events.ndjson", "agent.jsonl", "agent.err"):
        with contextlib.suppress(OSError):
            found += (folder / name).stat().st_size
    return float(found) if found else None


def free_memory(root: Path, pid: int) -> int | None:
    """Bytes of memory that a process may still take: the machine's, or what is left in a control group of its."""
    machine = _meminfo(root)
    if machine is None:
        try:
            import psutil

            machine = int(psutil.virtual_memory().available)
        except (ImportError, OSError, RuntimeError):
            return None
    return min([machine, *_groups(root, pid)])


def _meminfo(root: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return None


def _groups(root: Path, pid: int) -> Iterator[int]:
    """What is left in each control group (version 2) above a process that has a limit; its cache can be had back."""
    try:
        lines = (root / f"proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return
    name = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    top = root / "sys/fs/cgroup"
    folder = top / name.strip("/")
    while name and folder.is_relative_to(top):
        with contextlib.suppress(OSError, ValueError):
            most = (folder / "memory.max").read_text().strip()
            if most != "max":
                used = int((folder / "memory.current").read_text())
                yield max(0, int(most) - used + _cache(folder))
        if folder == top:
            return
        folder = folder.parent


def _cache(folder: Path) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (folder / "memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):
                return int(line.split()[1])
    return 0


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes().rstrip(b"\0 \n"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
