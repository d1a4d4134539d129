"""What the guard may know of the disk: where symlinks lead, and what the agent's own files hold."""

from __future__ import annotations

import os
import stat

#: Longer files are not analysed; what is not analysed is not vouched for.
MOST = 256 << 10


class RunDisk:
    """The guard's `World` for one run: paths are the same inside the box and outside."""

    def __init__(self, worktree: str, home: str) -> None:
        self._readable = tuple(os.path.realpath(place) + "/" for place in (worktree, home))

    def realpath(self, path: str) -> str:
        return os.path.realpath(path)

    def read(self, path: str) -> str | None:
        """Only the agent's own files: what it points at elsewhere is none of its business, nor of its guard."""
        real = os.path.realpath(path)
        if not real.startswith(self._readable):
            return None
        try:
            # Not to wait for who writes a FIFO: the agent may have made one, and the warden stands still meanwhile.
            fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            # Asked first: a folder can't be wrapped into a file, and its descriptor would stay open.
            if not stat.S_ISREG(os.fstat(fd).st_mode) or not self._still(fd):
                return None
            with os.fdopen(fd, "rb", closefd=False) as file:
                data = file.read(MOST + 1)
        except OSError:
            return None
        finally:
            os.close(fd)
        return data.decode(errors="replace") if len(data) <= MOST else None

    def _still(self, fd: int) -> bool:
        """Whether what was opened lies where it was looked for: folders can be swapped for symlinks in between."""
        return os.path.realpath(f"/proc/self/fd/{fd}").startswith(self._readable)
