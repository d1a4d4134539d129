"""Times, commits and codes in words."""

from __future__ import annotations

import time
from collections.abc import Sequence

from overnight.missions.units import show_duration

SHORT = 12


def clock(at: float, now: float | None = None) -> str:
    """Local time: `03:12:01` today, `Mon 03:12` within a week, otherwise with its date."""
    now = time.time() if now is None else now
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M:%S", then)
    return time.strftime("%a %H:%M" if abs(now - at) < 6 * 86400 else "%Y-%m-%d %H:%M", then)


def since(at: float, now: float) -> str:
    """How long it has been so; a clock that was set back shows as nothing, not as less than that."""
    return show_duration(max(0.0, now - at)) if now - at >= 1 else "now"


def until(at: float, now: float) -> str:
    """`at 05:00:00 (in 1h20m)`"""
    left = at - now
    return f"at {clock(at, now)} (in {show_duration(left)})" if left >= 1 else f"at {clock(at, now)} (now)"


def commit(full: str | None) -> str:
    """A commit's id, short."""
    return full[:SHORT] if full else "no commit"


def count(n: int | None, one: str, many: str = "") -> str:
    """`1 turn`, `3 turns`, `unknown turns`: what is not known is not none."""
    word = one if n == 1 else many or f"{one}s"
    return f"{'unknown' if n is None else n} {word}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """`a, b and 3 more`"""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
