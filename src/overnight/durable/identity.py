"""Which process is it? A pid alone lies after a reboot or a wrap-around; pid, start time and boot id together do not."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from msgspec import Struct


class Identity(Struct, frozen=True):
    """One process, for ever."""

    pid: int
    #: Epoch seconds at which it started.
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
    import psutil

    try:
        pid = pid or os.getpid()
        return Identity(pid, psutil.Process(pid).create_time(), boot_id())
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(pid) from error


def is_alive(who: Identity) -> bool:
    """Whether exactly that process still runs. A zombie does not."""
    import psutil

    if who.boot != boot_id():
        return False
    try:
        process = psutil.Process(who.pid)
        return abs(process.create_time() - who.started) < 0.02 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
