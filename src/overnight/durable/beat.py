"""The daemon's heartbeat: a small file, written over in place, for whoever watches from outside.

It needs no room on a full disk once it is there, and nothing but the standard library to read.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "daemon.beat"
#: Bytes of the file; what is said never takes more.
SIZE = 1024
#: Seconds between two beats.
EVERY_S = 2.0
_MOST_TROUBLE = 100


class Beat:
    """Written by the holder of the journal's lock."""

    def __init__(self, home: Path, pid: int, started: float, boot: str, keeper: str = "") -> None:
        """started, boot: as `durable.identity` has them. keeper: the service manager that starts it again when it dies.
        Raises OSError."""
        self._who = {"pid": pid, "started": started, "boot": boot, "keeper": keeper[:20]}
        self._n = 0
        self._fd = os.open(home / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):
            if (missing := SIZE - os.fstat(self._fd).st_size) > 0:
                os.pwrite(self._fd, b" " * missing, SIZE - missing)  # the room that it takes from now on

    def write(self, facts: Mapping[str, int], *, trouble: str = "", ended: bool = False) -> None:
        """One more beat. A file that can't be written makes the daemon look dead until its socket is asked."""
        self._n += 1
        said: dict[str, Any] = {
            **self._who, "n": self._n, "turns": 0, "ready": 0, "queued": 0, "live": 0, "paused": 0, **facts,
            "trouble": trouble[:_MOST_TROUBLE], "ended": ended,
        }  # fmt: skip
        data = json.dumps(said).encode()
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, data.ljust(SIZE)[:SIZE], 0)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
