"""An agent's `memory.md`, followed from outside: read when it has changed, checked, and kept in the run's folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from overnight.missions import memory
from overnight.missions.memory import Checked, Found, Memory
from overnight.warden.beneath import opened


class Notes:
    """The notes of one run. The sound part of them, without secrets, is in the run's folder, where whoever comes after a
    warden that died finds it."""

    def __init__(self, folder: Path, without: Callable[[str], str]) -> None:
        """folder: the run's. without: takes secrets out of a text."""
        self._home, self._kept, self._without = folder / "home", folder / memory.FILE, without
        self._seen: tuple[int, int, int] | None = None
        #: The newest sound ones.
        self.memory = Memory()
        self.faults: tuple[Found, ...] = ()
        #: How often they were seen to change.
        self.changes = 0

    def begin(self, text: str) -> None:
        """The notes of the runs before, where the agent finds them. Raises OSError."""
        if text:
            (self._home / memory.FILE).write_text(text)
        self.look()

    def look(self) -> bool:
        """Read the file, if it has changed; whether it had. What can't be read is as it was. Raises OSError when what
        was read can't be kept."""
        try:
            with opened(self._home, memory.FILE) as fd:
                found = os.fstat(fd)
                seen = (found.st_ino, found.st_size, found.st_mtime_ns)
                if seen == self._seen:
                    return False
                data = _read(fd, memory.MOST_BYTES + 1)
        except OSError:  # not there yet, gone, or no file: what was noted before stands
            return False
        first, self._seen = self._seen is None, seen
        self._take(memory.read(data))
        self.changes += not (first and not data)
        return True

    @property
    def text(self) -> str:
        """As a file."""
        return memory.write(self.memory)

    def _take(self, checked: Checked) -> None:
        """A file of which nothing is sound does not wipe out what was noted before."""
        self.faults = checked.faults
        if checked.memory == Memory() and checked.faults:
            return
        self.memory = memory.read(self._without(memory.write(checked.memory)).encode()).memory
        part = self._kept.with_name(f"{self._kept.name}.part")
        part.write_text(self.text)
        part.replace(self._kept)


def _read(fd: int, most: int) -> bytes:
    data = b""
    while len(data) < most and (piece := os.read(fd, most - len(data))):
        data += piece
    return data
