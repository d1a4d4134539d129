"""Waiting for files to change, without looking at them all the time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

#: Where the kernel can't tell, files are looked at this often.
LOOK_EVERY_S = 0.5
#: A look is worth repeating this long after a change: a database's write is seen before its commit can be read.
AGAIN_S = (0.05, 0.25, 1.0)
#: However quiet it is, there is a look this often.
AT_LEAST_S = 5.0
_MODIFY, _CREATE, _MOVED_TO = 0x2, 0x100, 0x80
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class Watch:
    """Wakes up when something is written in one of some folders (not below them)."""

    def __init__(self, at_least: float = AT_LEAST_S) -> None:
        """at_least: seconds after which `wait` returns for no reason."""
        self._at_least = at_least
        #: Folder -> the kernel's number for it.
        self._known = dict[Path, int]()
        self._due = list[float]()
        self._waker, self._wake = os.pipe2(_FLAGS) if hasattr(os, "pipe2") else os.pipe()
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = int(self._libc.inotify_init1(_FLAGS))
        except (OSError, AttributeError):
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in (self._fd, self._waker, self._wake):
            if fd >= 0:
                os.close(fd)

    def folder(self, path: Path) -> None:
        """Watch this folder too. One that is not there, or known: nothing happens."""
        if self._fd < 0 or path in self._known or not path.is_dir():
            return
        number = int(self._libc.inotify_add_watch(self._fd, os.fsencode(path), _MODIFY | _CREATE | _MOVED_TO))
        if number >= 0:
            self._known[path] = number

    def only(self, paths: Iterable[Path]) -> None:
        """Watch these folders, and no others any more: the kernel gives a user a bounded number of watches."""
        wanted = set(paths)
        for path in self._known.keys() - wanted:
            number = self._known.pop(path)
            if number not in self._known.values():  # else the same folder by another name
                self._libc.inotify_rm_watch(self._fd, number)  # one that is gone has none any more, and says so
        for path in wanted:
            self.folder(path)

    def wait(self) -> None:
        """Return when it is worth looking again: after a change, a little later once more, and now and then."""
        now = time.monotonic()
        quiet = self._at_least if self._fd >= 0 else LOOK_EVERY_S
        left = max(0.0, self._due.pop(0) - now) if self._due else quiet
        ready, _, _ = select.select([fd for fd in (self._fd, self._waker) if fd >= 0], [], [], min(left, quiet))
        for fd in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 1 << 16)
        if self._fd in ready:
            now = time.monotonic()
            self._due = [now + seconds for seconds in AGAIN_S]

    def wake(self) -> None:
        """Make `wait` return; from another thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"x")
