"""Processes that hold a dead run's output open: what is left of a box, and will not end by itself.

bwrap makes the box's first process and only then releases it. One that is killed in between leaves a process behind that
waits for its release for ever: it runs nothing of the box's, and nobody else knows of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def end_writers(fifo: int) -> int:
    """SIGKILL to every process that has this FIFO open for writing; how many. fifo: a descriptor of it.

    Only for whoever holds the warden's lock: then nobody else has a use for it.
    """
    inode, ended = os.fstat(fifo), 0
    for pid in _processes():
        with contextlib.suppress(OSError):
            process = os.pidfd_open(pid)
            try:
                if _writes(pid, (inode.st_dev, inode.st_ino)):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    ended += 1
            finally:
                os.close(process)
    return ended


def _processes() -> Iterator[int]:
    """Every other process; none where there is no /proc."""
    with contextlib.suppress(OSError):
        for place in Path("/proc").iterdir():
            if place.name.isdigit() and int(place.name) != os.getpid():
                yield int(place.name)


def _writes(pid: int, file: tuple[int, int]) -> bool:
    """Whether a process has a file open for writing. Raises OSError when that can't be seen."""
    for opened in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found = opened.stat()
            if (found.st_dev, found.st_ino) == file and _flags(pid, opened.name) & os.O_ACCMODE != os.O_RDONLY:
                return True
    return False


def _flags(pid: int, opened: str) -> int:
    for line in Path(f"/proc/{pid}/fdinfo/{opened}").read_text().splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8)
    return os.O_RDONLY
