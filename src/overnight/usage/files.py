"""Which logs there are, and whether one is still the file that was read: looked at, never touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import BinaryIO

from msgspec import Struct

from overnight.usage.places import Root

#: Bytes at the beginning and before the end of what was read that tell whether it still stands there.
HEAD, TAIL = 1024, 256
#: Folders below each other that are looked into.
_DEPTH = 64


class File(Struct, frozen=True, kw_only=True):
    """A log as it lies on disk."""

    path: str
    root: Root
    dev: int
    ino: int
    size: int
    mtime: int


class Known(Struct, frozen=True, kw_only=True):
    """A log as it was when it was read."""

    dev: int
    ino: int
    size: int
    mtime: int
    #: Bytes that were read: whole lines.
    offset: int
    #: Digest of their beginning and end.
    mark: bytes
    #: What the reader noted.
    state: bytes

    def same(self, file: File) -> bool:
        """Nothing changed since."""
        return (self.dev, self.ino, self.size, self.mtime) == (file.dev, file.ino, file.size, file.mtime)

    def grew(self, file: File) -> bool:
        """It may have been written on; the mark says whether it was."""
        return (self.dev, self.ino) == (file.dev, file.ino) and file.size > self.size


class Found(Struct, kw_only=True):
    """What a look at the disk found."""

    files: list[File]
    #: Roots that are there.
    roots: list[Root]
    #: Folders that could not be looked into, with the reason.
    problems: list[str]


def look(roots: Iterator[Root] | tuple[Root, ...], wanted: Callable[[Root, str], bool]) -> Found:
    """All logs of these roots. A root that is not there has none. wanted: whether a file of this name is a log."""
    found = Found(files=[], roots=[], problems=[])
    for root in roots:
        if os.path.isdir(root.path):  # noqa: PTH112 (a path object for each file is not worth it)
            found.roots.append(root)
            _walk(root, root.path, wanted, found, _DEPTH)
    return found


def _walk(root: Root, folder: str, wanted: Callable[[Root, str], bool], found: Found, depth: int) -> None:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if depth:
                            _walk(root, entry.path, wanted, found, depth - 1)
                        else:
                            found.problems.append(f"{entry.path} lies too deep to be read")
                    elif wanted(root, entry.name) and entry.is_file():
                        stat = entry.stat()
                        found.files.append(
                            File(path=entry.path, root=root, dev=stat.st_dev, ino=stat.st_ino, size=stat.st_size,
                                 mtime=stat.st_mtime_ns)
                        )  # fmt: skip
                except FileNotFoundError:
                    continue  # gone while we looked
    except FileNotFoundError:
        return
    except OSError as error:
        found.problems.append(f"{folder} can't be read: {error.strerror}")


def mark_of(file: BinaryIO, offset: int) -> bytes:
    """The digest of the beginning and the end of a file's first `offset` bytes."""
    file.seek(0)
    head = file.read(min(HEAD, offset))
    file.seek(max(0, offset - TAIL))
    tail = file.read(min(TAIL, offset))
    return blake2b(b"%d\n%b\n%b" % (offset, head, tail), digest_size=16).digest()
