"""Files that a box may write, opened from outside: no link on the way is followed, nothing but a plain file is opened."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator
from pathlib import Path, PurePosixPath

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def opened(root: Path, path: str) -> Generator[int]:
    """A descriptor of a plain file below root, which is the warden's own folder.

    path: absolute below root, or relative to it. Raises OSError, FileNotFoundError when it is not there.
    """
    given = PurePosixPath(path)
    parts = (given.relative_to(root) if given.is_relative_to(root) else given).parts
    if not parts or given.is_absolute() is not given.is_relative_to(root) or ".." in parts:
        raise OSError(errno.EACCES, "it is outside of the run's folder", path)
    here = os.open(root, _FLAGS | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = inner
        fd = os.open(parts[-1], _FLAGS | os.O_NONBLOCK, dir_fd=here)
    finally:
        os.close(here)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", path)
        yield fd
    finally:
        os.close(fd)
