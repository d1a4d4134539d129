"""Bringing an agent's session from the home of an ended run into that of the next one.

An agent wrote the old home, so nothing in it is trusted: only files of the session itself are copied, no link is
followed, and what is no ordinary file, or too large, is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

#: Bytes and files of a session that are carried.
MOST_BYTES, MOST_FILES = 256 << 20, 500
_PIECE = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotCarried(Exception):
    """The session can't be had; the message says why."""


def carry(old: Path, new: Path, patterns: Sequence[str]) -> int:
    """Copy what fits the patterns (paths from home, `*` within one name) from one home to another; how many files.

    The first pattern is of the session itself: without it there is none. Raises NotCarried, and OSError of the new home.
    """
    if not patterns:
        raise NotCarried("the agent has no sessions to go on with")
    count, left = 0, MOST_BYTES
    try:
        top = os.open(old, _FOLDER)
    except OSError as error:
        raise NotCarried(f"its home is gone ({error.strerror})") from error
    try:
        for n, pattern in enumerate(patterns):
            for names, fd in _matching(top, pattern.split("/"), ()):
                with os.fdopen(fd, "rb") as file:
                    left -= _size(file.fileno())
                    count += 1
                    if left < 0 or count > MOST_FILES:
                        raise NotCarried("it is too large")
                    _copy(file.fileno(), new.joinpath(*names))
            if n == 0 and not count:
                raise NotCarried("its record is not there")
    finally:
        os.close(top)
    return count


def _matching(folder: int, parts: Sequence[str], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Names and open file of everything below a folder that fits. What can't be opened is not there."""
    for name in sorted(os.listdir(folder)):
        if not fnmatchcase(name, parts[0]):
            continue
        try:
            fd = os.open(name, _FILE if len(parts) == 1 else _FOLDER, dir_fd=folder)
        except OSError:
            continue
        if len(parts) == 1:
            yield (*above, name), fd
            continue
        try:
            yield from _matching(fd, parts[1:], (*above, name))
        finally:
            os.close(fd)


def _size(fd: int) -> int:
    """Raises NotCarried for what is no ordinary file."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise NotCarried("its record is no ordinary file")
    return found.st_size


def _copy(source: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    left = MOST_BYTES
    new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(new, "wb") as file:
        while left > 0 and (piece := os.read(source, min(_PIECE, left))):
            file.write(piece)
            left -= len(piece)
