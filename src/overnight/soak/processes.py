"""Processes of the soak, found and measured from outside, in /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from overnight.soak.facts import Life

_PAGE = os.sysconf("SC_PAGE_SIZE")


def measure(pid: int) -> tuple[int, int] | None:
    """Bytes of memory and open files of a process; None when it is gone."""
    here = Path(f"/proc/{pid}")
    try:
        resident = int((here / "statm").read_bytes().split()[1]) * _PAGE
        return resident, sum(1 for _ in (here / "fd").iterdir())
    except OSError:
        return None


class Sampler:
    """Samples of each process over its life."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[str, int], list[tuple[float, int, int]]] = defaultdict(list)

    def take(self, at: float, role: str, pid: int) -> None:
        """One sample, if the process is there. at: seconds since the soak's start."""
        if (found := measure(pid)) is not None:
            self._found[role, pid].append((round(at, 1), *found))

    def lives(self) -> tuple[Life, ...]:
        """All of them so far."""
        return tuple(Life(role=role, pid=pid, samples=tuple(each)) for (role, pid), each in self._found.items())


def belonging(folder: Path, disk: Path) -> Iterator[tuple[int, str]]:
    """Processes whose command line or environment names the folder, or that have a file open on the disk, if that is
    one of its own; with their command lines. No zombies."""
    needle, device = os.fsencode(folder), disk.stat().st_dev
    device = device if device != folder.stat().st_dev else None
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        try:
            argv, environ = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
            if needle in argv or needle in environ or (device is not None and _opened(place, device)):
                yield int(place.name), argv.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue


def _opened(process: Path, device: int) -> bool:
    """Whether it has a file open on a file system."""
    for each in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if each.stat().st_dev == device:
                return True
    return False


def below(pid: int) -> list[int]:
    """Everything that a process started and what that started, the youngest last."""
    import psutil

    try:
        return [each.pid for each in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def send(pid: int, number: signal.Signals) -> bool:
    """Whether the process was there to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
