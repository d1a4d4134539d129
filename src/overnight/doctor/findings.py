"""What was looked at and what was seen: one line each."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """How a line ended."""

    OK = "ok"
    #: A night can go on; something may go worse than it could.
    WARN = "warn"
    #: A night can't go on, or would not keep its bounds.
    FAIL = "fail"


class Sighting(Struct, frozen=True, kw_only=True):
    """One thing that a night needs."""

    name: str
    #: ok, warn, fail
    level: Level
    #: What was seen.
    seen: str
    #: What to do about it; empty when nothing is to be done.
    do: str = ""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """What `overnight doctor` found."""

    #: False when a line failed.
    fit: bool
    lines: tuple[Sighting, ...]


def ok(name: str, seen: str) -> Sighting:
    """All is well."""
    return Sighting(name=name, level=Level.OK, seen=seen)


def warn(name: str, seen: str, do: str) -> Sighting:
    """It works, with a reservation."""
    return Sighting(name=name, level=Level.WARN, seen=seen, do=do)


def fail(name: str, seen: str, do: str) -> Sighting:
    """It does not do."""
    return Sighting(name=name, level=Level.FAIL, seen=seen, do=do)


def diagnosis(lines: tuple[Sighting, ...]) -> Diagnosis:
    """Fit as long as nothing failed."""
    return Diagnosis(fit=all(line.level is not Level.FAIL for line in lines), lines=lines)
