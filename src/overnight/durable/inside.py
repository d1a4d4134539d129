"""Is a process part of a run? Told by the kernel's word on who started whom, which no program can talk itself out of
as long as the run's reaper takes up what loses its parent. It is a second lock behind the box, and none where an agent
can have something else start a process for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: How a warden is started: `python -P -m overnight.warden_process RUN_DIRECTORY`.
_WARDEN = "overnight.warden_process"
#: A chain of parents is no longer than this.
_MOST = 500


def run_above(pid: int, home: Path) -> str | None:
    """The run of this state folder that a process was started by, at any remove, as `TASK/LIFE/N`; None when it is in none.

    A warden itself is not in its run. Where there is no /proc nothing is known, and that is None.
    """
    runs = os.path.realpath(home / "runs") + os.sep
    for parent in _parents(pid):
        words = _words(parent)
        if _WARDEN in words[:-1]:
            folder = os.path.realpath(words[-1])
            if folder.startswith(runs):
                return folder.removeprefix(runs)
    return None


def _parents(pid: int) -> Iterator[int]:
    for _ in range(_MOST):
        try:
            # The name in parentheses may hold anything, parentheses too.
            pid = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
        if pid <= 0:
            return
        yield pid


def _words(pid: int) -> list[str]:
    try:
        return [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")]
    except OSError:
        return []
