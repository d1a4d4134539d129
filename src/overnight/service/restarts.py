"""How soon a daemon that a service manager starts again begins its work, and when it no longer does.

The same numbers as the watchdog's, whichever manager it is: systemd, launchd and Windows know no such row of starts, or
only newer ones do. A daemon that ended in order leaves no row.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

#: Seconds: the second start in a row waits so long, each further one twice as long, a quarter more or less.
BASE_S, FLOOR_S, CAP_S = 10.0, 10.0, 600.0
#: One that lived so long before it died is not counted as one more in a row.
WELL_S = 600.0
HOUR_S = 3600.0
FILE = "daemon.starts"


class Start(NamedTuple):
    """A start by the manager, epoch seconds: when it asked, and when the work began."""

    asked: float
    began: float


def backoff(row: int, chance: float) -> float:
    """Seconds until the next start. row: starts in a row before it. chance: 0 to 1."""
    return min(CAP_S, max(FLOOR_S, BASE_S * 2 ** min(row, 10) * (0.75 + 0.5 * chance)))


def wait_before(starts: Sequence[Start], now: float, most: int, chance: float) -> float | None:
    """Seconds to wait before the work begins; None: it was started `most` times within an hour, and stays down."""
    if sum(1 for each in starts if now - HOUR_S < each.began <= now) >= most:
        return None
    row, asked = 0, now
    for each in reversed(starts):
        if not 0 <= asked - each.began < WELL_S:
            break
        row, asked = row + 1, each.asked
    return backoff(row - 1, chance) if row else 0.0


def read_starts(home: Path) -> tuple[Start, ...]:
    """Those since the last end in order."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return tuple(Start(float(asked), float(began)) for asked, began in json.loads((home / FILE).read_text()))
    return ()


def note_start(home: Path, starts: Sequence[Start]) -> None:
    """Remember them, the last hundred. A disk that takes nothing makes the row shorter, and stops nothing."""
    part = home / f"{FILE}.part"
    with contextlib.suppress(OSError):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(starts[-100:], file)
        part.replace(home / FILE)


def forget_starts(home: Path) -> None:
    """It ended in order."""
    with contextlib.suppress(OSError):
        (home / FILE).unlink(missing_ok=True)
