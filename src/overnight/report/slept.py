"""What a machine that slept missed: how long it slept, and what was due meanwhile, by name."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from overnight.judge.anomalies import Anomaly, Kind, Severity
from overnight.missions.units import show_duration
from overnight.report.nights import clock_time

#: Sleep that is worth a word, seconds.
SLEPT_S = 30.0
#: Dues that are remembered, and that are named.
MOST, NAMED = 50, 5


class Clocks(NamedTuple):
    """Seconds that stand still while the machine sleeps, and seconds that do not."""

    mono: Callable[[], float]
    boot: Callable[[], float]


def _boot() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class _Due(NamedTuple):
    at: float
    words: str


class Sleeps:
    """Looks now and then, and remembers what was due when it looked last: what woke up is gone from there soon."""

    def __init__(self, daily: Mapping[str, str], clocks: Clocks | None = None) -> None:
        """daily: what happens at a time of every day, by its name: `{"the brief": "07:00"}`."""
        self._daily = {name: clock_time(at) for name, at in daily.items()}
        self._clocks = clocks or Clocks(time.monotonic, _boot)
        self._last: tuple[float, float, float] | None = None
        self._due: tuple[_Due, ...] = ()

    def look(self, db: sqlite3.Connection, now: float) -> Iterator[Anomaly]:
        """That it slept since the last look, if it did. now: epoch seconds."""
        mono, boot = self._clocks.mono(), self._clocks.boot()
        last, due = self._last, self._due
        self._last, self._due = (now, mono, boot), tuple(_dues(db))
        if last is None:
            return
        slept = (boot - last[2]) - (mono - last[1])
        if slept <= SLEPT_S:
            return
        missed = sorted(each for each in (*due, *self._days(last[0], now)) if last[0] < each.at <= now)
        why = f"the machine slept for {show_duration(round(slept))} between {_clock(last[0])} and {_clock(now)}"
        names = [f"{each.words} (due {_clock(each.at)})" for each in missed]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        why += f"; late by that: {', '.join(names[:NAMED])}{more}" if names else "; nothing was due meanwhile"
        yield Anomaly(
            key=f"{Kind.SLEEP} {last[0]:.0f}", kind=Kind.SLEEP, severity=Severity.WARNING if names else Severity.NOTE,
            why=why, at=now,
        )  # fmt: skip

    def _days(self, since: float, until: float) -> Iterator[_Due]:
        day, end = datetime.fromtimestamp(since).date(), datetime.fromtimestamp(until).date()  # noqa: DTZ006 (as it is set)
        while day <= end:
            for name, at in self._daily.items():
                yield _Due(datetime.combine(day, at).timestamp(), name)
            day += timedelta(days=1)


def _dues(db: sqlite3.Connection) -> Iterator[_Due]:
    """The next times at which tasks go on by themselves."""
    sql = "SELECT id, wake_at, hold FROM task WHERE wake_at IS NOT NULL AND state != 'done' ORDER BY wake_at LIMIT ?"
    for row in db.execute(sql, (MOST,)).fetchall():
        reason = json.loads(row["hold"])["reason"] if row["hold"] else "waits"
        yield _Due(row["wake_at"], f"{row['id']}: {reason}")


def _clock(at: float) -> str:
    return time.strftime("%a %H:%M", time.localtime(at))
