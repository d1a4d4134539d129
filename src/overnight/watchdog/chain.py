"""The journal's chain, checked from outside in small bites: what was damaged or rewritten in its middle is noticed.

It is read only, for a few milliseconds with each look. Where it has come to outlives the watchdog: once at the end it
follows what is added, and goes through all of it again after a while, for a disk may forget what it once knew.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from overnight.durable.links import digest_of

#: Events of one bite, and seconds that it may take.
BITE, BITE_S = 2000, 0.2
#: Seconds between two passes over all of it.
AGAIN_S = 86400.0
GENESIS = "0" * 64
_COLUMNS = "seq, at, task, actor, what, why, data, digest"


class Place(NamedTuple):
    """How far it was checked."""

    #: The last event that fits, and its digest.
    seq: int = 0
    digest: str = GENESIS
    #: The event at the end when it was seen last: what was there once must stay.
    last: int = 0
    last_digest: str = ""
    #: Epoch seconds at which this pass began.
    since: float = 0.0


class Checked(NamedTuple):
    """One bite: where it ended, and what is wrong; empty when nothing is."""

    place: Place
    problem: str


def bite(path: Path, place: Place, clock: Callable[[], float] = time.time, most: int = BITE) -> Checked:
    """Check the next events. A file that can't be read now (it is in the making, or locked) is no problem."""
    if not path.exists():
        return Checked(Place(), "")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as db:
            db.execute("BEGIN")  # one view of it, whatever the writer does
            return _bite(db, place, clock(), most)
    except sqlite3.OperationalError:
        return Checked(place, "")
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        return Checked(place, f"after event {place.seq} it can't be read ({error})")


def _bite(db: sqlite3.Connection, place: Place, now: float, most: int) -> Checked:
    if place.since > now:
        place = place._replace(since=now)  # the clock was set back
    first, first_digest = _mark(db, "anchor") or (0, GENESIS)
    end = _mark(db, "head") or (first, first_digest)
    if gone := _gone(db, place, first, end):
        return Checked(Place(first, first_digest, *end, since=now), gone)
    if place.seq < first or not place.since or (place.seq >= end[0] and now - place.since >= AGAIN_S):
        place = place._replace(seq=first, digest=first_digest, since=now)
    until, seq, digest = time.monotonic() + BITE_S, place.seq, place.digest
    rows = db.execute(f"SELECT {_COLUMNS} FROM event WHERE seq > ? ORDER BY seq LIMIT ?", (seq, most))  # noqa: S608 (constant)
    for row in rows:
        if row[0] != seq + 1:
            return Checked(place, f"event {seq + 1} is missing")
        if digest_of(row[:7], digest) != row[7]:
            return Checked(place, f"event {row[0]} is not as it was written")
        seq, digest = row[0], row[7]
        if time.monotonic() > until:
            break
    else:
        if seq < end[0] and seq - place.seq < most:
            return Checked(place, f"event {seq + 1} is missing: the last one was {end[0]}")
    return Checked(place._replace(seq=seq, digest=digest, last=end[0], last_digest=end[1]), "")


def _gone(db: sqlite3.Connection, place: Place, first: int, end: tuple[int, str]) -> str:
    """What was seen at the end once and is not there any more."""
    if not place.last_digest or place.last <= first:
        return ""
    if end[0] < place.last:
        return f"it ends with event {end[0]}, and event {place.last} was there: it was cut, or put back from a backup"
    row = db.execute("SELECT digest FROM event WHERE seq = ?", (place.last,)).fetchone()
    if row is not None and row[0] != place.last_digest:
        return f"event {place.last} is not the one that was there: it was written anew, or put back from a backup"
    return ""


def _mark(db: sqlite3.Connection, key: str) -> tuple[int, str] | None:
    row = db.execute("SELECT value FROM record WHERE kind = 'journal' AND key = ?", (key,)).fetchone()
    if row is None:
        return None
    seq, digest = json.loads(row[0])
    return int(seq), str(digest)
