"""Copies of an agent's session, made before its CLI sums it up."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from overnight.warden.beneath import opened

#: Copies of one run that are kept, the newest, and bytes of each: of a longer session its end.
MOST_KEPT, MOST_SIZE = 3, 64 << 20
_PIECE = 1 << 20
#: Looks at a file that is to settle, how many of them must agree in a row, and the seconds between them.
_LOOKS, _SAME, _LOOK_EVERY_S = 30, 4, 0.1


class Transcripts:
    """The copies of one run, in `transcripts/` of its folder."""

    def __init__(self, folder: Path) -> None:
        self._home, self._place = folder / "home", folder / "transcripts"

    async def settled(self, path: str) -> None:
        """Wait until a file of the agent's home stays as it is, for a while at most: its CLI writes it after the fact,
        and waits for our answer meanwhile. Raises OSError."""
        last, same = -1, 0
        for _ in range(_LOOKS):
            with opened(self._home, path) as source:
                size = os.fstat(source).st_size
            last, same = size, same + 1 if size == last else 0
            if same == _SAME:
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    def copy(self, path: str, n: int) -> Path:
        """Copy a file of the agent's home, as the n-th; older copies go. On disk when it returns. Raises OSError."""
        self._place.mkdir(mode=0o700, exist_ok=True)
        made = self._place / f"{n}.jsonl"
        part = made.with_suffix(".part")
        with opened(self._home, path) as source, part.open("wb") as target:
            size = os.fstat(source).st_size
            os.lseek(source, max(0, size - MOST_SIZE), os.SEEK_SET)
            left = min(size, MOST_SIZE)
            while left > 0 and (piece := os.read(source, min(_PIECE, left))):
                target.write(piece)
                left -= len(piece)
            target.flush()
            os.fsync(target.fileno())
        part.replace(made)
        for old in sorted(self._place.glob("*.jsonl"), key=lambda p: int(p.stem))[:-MOST_KEPT]:
            old.unlink()
        return made
