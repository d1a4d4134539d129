"""Nights: what one is, which are over, and the briefs that were made of them.

A night is named for the day on whose morning it ends. It begins when the one before it ends, so that whatever happens
belongs to just one of them. Briefs are kept in `reports/` of the state folder.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from overnight.judge.anomalies import AnomalySettings
from overnight.missions.codec import decode, encode
from overnight.report.brief import FORMAT, Brief, NightRow

FOLDER = "reports"
#: Nights that are made up for after a long absence; the ones before stay without a brief, and can be asked for.
MOST_LATE = 7
_NAME = re.compile(r"\d{4}-\d{2}-\d{2}")


class ReportSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The brief that is made every morning."""

    #: When a night ends and its brief is made, by this machine's clock, such as `"07:00"`.
    at: str = "07:00"
    #: Make one every morning while the daemon runs.
    daily: bool = True
    #: From where on something counts as unusual.
    unusual: AnomalySettings = AnomalySettings()


class Night(Struct, frozen=True):
    """One night."""

    #: `2026-11-21`: the day on whose morning it ends.
    name: str
    #: Epoch seconds; the second one is in it no more.
    since: float
    until: float


def clock_time(text: str) -> time:
    """`07:00`. Raises ValueError for anything else."""
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text, re.ASCII) is None:
        raise ValueError(f"{text!r} is no time of day such as 07:00")
    return time.fromisoformat(text)


def night(day: date, at: time, zone: ZoneInfo | None = None) -> Night:
    """The night that ends on that day's morning. Where clocks change it lasts an hour more or less."""
    since, until = (_moment(each, at, zone) for each in (day - timedelta(days=1), day))
    return Night(day.isoformat(), since, until)


def latest(now: float, at: time, zone: ZoneInfo | None = None) -> Night:
    """The latest night that is over."""
    today = datetime.fromtimestamp(now, zone).date()
    found = night(today, at, zone)
    return found if found.until <= now else night(today - timedelta(days=1), at, zone)


def night_after(before: Night, at: time, zone: ZoneInfo | None = None) -> Night:
    """The one that begins when this one ends."""
    return night(date.fromisoformat(before.name) + timedelta(days=1), at, zone)


def due(first: float | None, made: frozenset[str], now: float, at: time, zone: ZoneInfo | None = None) -> list[Night]:
    """Nights that are over and have no brief yet, the oldest first.

    first: epoch seconds of the first thing that ever happened; None: nothing did. made: names of nights with a brief.
    """
    last = latest(now, at, zone)
    day, found = date.fromisoformat(last.name), list[Night]()
    for n in range(MOST_LATE):
        each = night(day - timedelta(days=n), at, zone)
        if first is None or each.until <= first or each.name in made:
            break  # what lies before was made, or never was
        found.append(each)
    return found[::-1]


def _moment(day: date, at: time, zone: ZoneInfo | None) -> float:
    found = datetime.combine(day, at)
    return (found.replace(tzinfo=zone) if zone is not None else found.astimezone()).timestamp()


# -- kept ---------------------------------------------------------------------------------------------------


def keep(home: Path, brief: Brief, markdown: str) -> Path:
    """Keep a night's brief, as values and to be read; where the latter is. Raises OSError, and leaves no half of a file."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(folder / f"{brief.night}.json", encode(brief))
    path = folder / f"{brief.night}.md"
    _write(path, markdown.encode(errors="replace"))
    return path


def kept(home: Path, name: str) -> Brief | None:
    """A night's brief as it was made; None where none is kept, or one of another version."""
    if _NAME.fullmatch(name) is None:
        return None
    try:
        found = decode((home / FOLDER / f"{name}.json").read_bytes(), Brief)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.format == FORMAT else None


def nights(home: Path, most: int = 400) -> tuple[NightRow, ...]:
    """Every night whose brief is kept, in one line each, the latest first."""
    return tuple(NightRow.of(brief) for brief in _all(home, most))


def _all(home: Path, most: int) -> Iterator[Brief]:
    names = sorted((path.stem for path in (home / FOLDER).glob("*.json")), reverse=True)
    for name in names[:most]:
        if (brief := kept(home, name)) is not None:
            yield brief


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
