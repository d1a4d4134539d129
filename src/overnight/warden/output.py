"""What an agent prints, followed line by line. The agent chooses how much that is, so every look at it is bounded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

#: Bytes of output that a run may leave; more ends it.
MOST_OUTPUT = 128 << 20
#: Bytes of a line that is still looked at. The CLI's longest lines hold an image.
MOST_LINE = 16 << 20
_PIECE = 1 << 20


class Output:
    """One file that grows, and how far it was read. It may not be there yet."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self._part, self._skipping, self._size = path, 0, bytearray(), False, 0

    @property
    def size(self) -> int:
        """Bytes, when it was last looked at."""
        return self._size

    def changed(self) -> bool:
        """Whether its size is another one than at the last look."""
        before = self._size
        with contextlib.suppress(FileNotFoundError):
            self._size = self._path.stat().st_size
        if self._size < self._at:  # its writer cut it; what comes next is new
            self._at, self._skipping = self._size, False
            self._part.clear()
        return self._size != before

    def lines(self) -> Iterator[bytes]:
        """Whole lines that were not given out yet. Whoever stops taking them gets the rest at the next call."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._at)
            while piece := file.read(_PIECE):
                begin = 0
                while (end := piece.find(b"\n", begin)) >= 0:
                    line = bytes(self._part) + piece[begin:end]
                    self._part.clear()
                    self._at += end + 1 - begin
                    begin, skipped, self._skipping = end + 1, self._skipping, False
                    if not skipped:
                        yield line
                self._keep(piece[begin:])

    def rest(self) -> bytes:
        """What came after the last whole line, once no more comes."""
        part = bytes(self._part)
        self._part.clear()
        return part

    def whole(self) -> bytes:
        """All of it, as far as a run may print; empty when there is none."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            return file.read(MOST_OUTPUT)
        return b""

    def _keep(self, part: bytes) -> None:
        """The beginning of a line. One that gets too long is passed over."""
        self._at += len(part)
        if not self._skipping:
            self._part += part
        if len(self._part) > MOST_LINE:
            self._part.clear()
            self._skipping = True
