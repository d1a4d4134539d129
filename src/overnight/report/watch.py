"""Waiting for files to change, without looking at them all the time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
from pathlib import Path
from types import TracebackType
from typing import Self

#: Where the kernel can't tell, files are looked at this often.
LOOK_EVERY_S = 0.5
_MODIFY, _CREATE, _MOVED_TO = 0x2, 0x100, 0x80
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class Watch:
    """Wakes up when something is written in one of some folders (not below them)."""

    def __init__(self) -> None:
        self._known = set[Path]()
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
        if self._libc.inotify_add_watch(self._fd, os.fsencode(path), _MODIFY | _CREATE | _MOVED_TO) >= 0:
            self._known.add(path)

    def wait(self, seconds: float | None = None) -> None:
        """Return after a change, after `wake`, or when the time is over. May return early for nothing."""
        if self._fd < 0:
            seconds = LOOK_EVERY_S if seconds is None else min(seconds, LOOK_EVERY_S)
        fds = [fd for fd in (self._fd, self._waker) if fd >= 0]
        ready, _, _ = select.select(fds, [], [], seconds)
        for fd in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 1 << 16)

    def wake(self) -> None:
        """Make `wait` return; from another thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"x")
