"""The whole lines of a log that somebody else is writing, in pieces of bounded size. Read only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

#: Bytes that are read at once.
PIECE = 4 << 20
#: A line that is longer says nothing.
LONGEST = 32 << 20


def pieces(file: BinaryIO, offset: int) -> Iterator[tuple[bytes, int]]:
    """Blocks of whole lines from an offset on, each with the offset behind it. What follows the last line's end is left.

    A line that is too long is passed over; what is left of the file then begins behind it.
    """
    file.seek(offset)
    rest, lost = b"", False
    while piece := file.read(PIECE):
        end = piece.rfind(b"\n") + 1
        if not end:
            rest, lost = (b"", True) if lost or len(rest) + len(piece) > LONGEST else (rest + piece, False)
            if lost:
                offset = file.tell()
            continue
        start = piece.find(b"\n") + 1 if lost else 0
        block = rest + piece[start:end] if rest else piece[start:end]
        rest, lost = piece[end:], False
        offset = file.tell() - len(rest)
        yield block, offset


def marked(block: bytes, mark: bytes) -> Iterator[bytes]:
    """The lines of a block that hold a mark. Searching the whole block is many times faster than line by line."""
    at = block.find(mark)
    while at >= 0:
        start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
        end = len(block) if end < 0 else end
        yield block[start:end]
        at = block.find(mark, end)
