"""Where a guard that is used by itself finds its bounds, and the disk that it may look at. Imports next to nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from overnight.guard.world import Bounds
from overnight.warden.world import MOST


class NoBounds(Exception):
    """No bounds can be drawn around a folder. Its text says why and what to do."""


class Disk:
    """The guard's `World` for a person's own session: any regular file that the person may read."""

    def realpath(self, path: str) -> str:
        """The absolute path with every symlink resolved."""
        return os.path.realpath(path)

    def read(self, path: str) -> str | None:
        """Text of a regular file; None for all else, and for what is too long to be analysed."""
        try:
            # Not to wait for a writer where a command names a named pipe.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        try:
            # Asked first: a folder can't even be wrapped into a file.
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            with open(handle, "rb", closefd=False) as file:
                data = file.read(MOST + 1)
        except OSError:
            return None
        finally:
            os.close(handle)
        return data.decode(errors="replace") if len(data) <= MOST else None


def bounds_around(folder: str) -> Bounds:
    """The git work tree that the folder is or lies in; where there is none, the folder. Raises NoBounds."""
    home = os.path.realpath(Path.home())
    real = os.path.realpath(folder)
    top = next((place for place in (real, *map(str, Path(real).parents)) if _has_git(place)), real)
    if home == top or home.startswith(top.rstrip("/") + "/"):
        problem = f"{top} holds your home folder, which no bounds can be drawn around. Start in the folder of a project"
        raise NoBounds(problem)
    # Commands name the folder as the session does, so where a symlink leads to it both names count.
    named = os.path.normpath(folder)
    return Bounds(worktree=top, home=home, scratch=() if named == real else (named,))


def _has_git(place: str) -> bool:
    return os.path.lexists(f"{place}/.git")
