"""What an interactive session wrote, told from the disk: a hook lives for one call and remembers nothing.

The guard trusts the scripts of a repository and looks into those that were written in the session. Here a file counts
as written when its inode changed since the session began (`ctime`, which no program can set), whoever changed it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from overnight.cli.guard_place import Disk
from overnight.guard.ledger import Written
from overnight.guard.text import RESERVED

#: Bytes at the beginning of a transcript in which its first time is looked for.
_HEAD = 1 << 18
#: Seconds by which the clocks of a process, a transcript and a disk may differ.
_SLACK = 2.0
_TIME = re.compile(rb'"timestamp":\s*"([0-9T:.+Z-]{19,40})"')


class Changed(Mapping[str, Written]):
    """The files of a ledger: whatever changed since a time. It can be asked, not listed."""

    def __init__(self, disk: Disk, since: float) -> None:
        self._disk, self._since = disk, since - _SLACK

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str):
            return False
        try:
            # Of the name as well: a link that was made or moved leads to another script than before.
            return max(os.stat(path).st_ctime, os.lstat(path).st_ctime) >= self._since  # noqa: PTH116
        except (OSError, ValueError):
            return False

    def __getitem__(self, path: str) -> Written:
        if path not in self:
            raise KeyError(path)
        text = self._disk.read(path)
        if text is not None and any(char in text for char in RESERVED):
            text = None
        return Written(digest="", text=text)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def began(event: Mapping[str, Any], environ: Mapping[str, str]) -> float:
    """Epoch seconds at which the session began: by its transcript, which a resumed one goes on with, or its process.

    0 when neither can be told: then every file counts as written in the session.
    """
    told = (_transcript(event.get("transcript_path")), _process(environ.get("CLAUDE_PID", "")))
    return min((time for time in told if time is not None), default=0.0)


def _transcript(path: object) -> float | None:
    if not isinstance(path, str) or not path.startswith("/"):
        return None
    try:
        with Path(path).open("rb") as file:
            found = _TIME.search(file.read(_HEAD))
        return datetime.fromisoformat(found[1].decode()).timestamp() if found else None
    except (OSError, ValueError):
        return None


def _process(pid: str) -> float | None:
    """When a process was started, as Linux tells it."""
    if not pid.isdecimal():
        return None
    try:
        # The name in brackets may hold anything; the 20th field after it is the start, in ticks since the boot.
        ticks = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None
