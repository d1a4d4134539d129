"""What the guard may know of the disk: where symlinks lead, and what the agent's own files hold."""

from __future__ import annotations

import os
from pathlib import Path

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
            with Path(real).open("rb") as file:
                data = file.read(MOST + 1)
        except OSError:
            return None
        return data.decode(errors="replace") if len(data) <= MOST else None
