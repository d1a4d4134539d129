"""Which process is it? A pid alone lies after a reboot or a wrap-around; pid, start time and boot id together do not."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from msgspec import Struct


class Identity(Struct, frozen=True):
    """One process, for ever."""

    pid: int
    #: When it started, as its kernel counts: clock ticks after the boot, which no change of the clock moves.
    #: Epoch seconds where there is no /proc.
    started: float
    #: The boot it belongs to.
    boot: str


@cache
def boot_id() -> str:
    """The kernel's id of this boot; the boot time where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"booted at {psutil.boot_time():.0f}"


def identify(pid: int | None = None) -> Identity:
    """The identity of a process (this one by default). Raises ProcessLookupError when there is none."""
    pid = os.getpid() if pid is None else pid
    return Identity(pid, _look(pid)[0], boot_id())


def is_alive(who: Identity) -> bool:
    """Whether exactly that process still runs. A zombie does not."""
    if who.boot != boot_id():
        return False
    try:
        started, ended = _look(who.pid)
    except ProcessLookupError:
        return False
    return started == who.started and not ended


def _look(pid: int) -> tuple[float, bool]:
    """When a process started, and whether it has ended and is only waited for. Raises ProcessLookupError."""
    if not Path("/proc/self/stat").exists():
        return _ask(pid)
    try:
        # The name in parentheses may hold anything, parentheses too.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    return float(fields[19]), fields[0] in (b"Z", b"X")


def _ask(pid: int) -> tuple[float, bool]:
    import psutil

    try:
        process = psutil.Process(pid)
        return process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(pid) from error
