"""Whether the journal's chain holds, found out a little at a time: what was followed once is not followed again at once.

However long the journal is, a look takes no longer than it is given, and holds no old state of the file for longer. What
was followed is remembered by whoever looks, in memory: nobody can write there that all is well. After a day, and when the
place that was reached is gone, it begins anew.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Literal

from msgspec import Struct

from overnight.durable.chain import Break, verify
from overnight.durable.journal import HEAD, anchor, mark_of, read_events
from overnight.report.journal import JOURNAL, reading, snapshot

#: Events that are followed in one reading of the file.
AT_ONCE = 2000
#: The whole chain is followed again after this time.
AGAIN_S = 86400.0


class Verified(Struct, frozen=True, kw_only=True):
    """What is known of the chain."""

    #: none: there is no journal. going: not all of it was followed yet. whole: it holds. broken: it does not.
    state: Literal["none", "going", "whole", "broken"]
    #: Events that were followed, of so many that are in the journal.
    events: int
    of: int
    #: Where it is broken, and how.
    words: str = ""
    #: Epoch seconds at which following it began.
    since: float


class Following:
    """One journal's chain, and how far it was followed. From any thread."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.time, at_once: int = AT_ONCE) -> None:
        self._home, self._clock, self._lock, self._most = home, clock, threading.Lock(), at_once
        #: What the last look found; None before the first.
        self.latest: Verified | None = None
        self._begin()

    def _begin(self) -> None:
        self._at: tuple[int, str] | None = None
        self._since = self._clock()

    def look(self, seconds: float) -> Verified:
        """Follow it on for about so long, and at least a piece. Raises JournalNewer, Refused."""
        until = time.monotonic() + seconds
        while True:
            with self._lock:
                found = self.latest = self._piece()
            if found.state != "going" or time.monotonic() >= until:
                return found

    def _piece(self) -> Verified:
        if not 0 <= self._clock() - self._since < AGAIN_S:
            self._begin()
        if not (self._home / JOURNAL).exists():
            self._begin()
            return Verified(state="none", events=0, of=0, since=self._since)
        with reading(self._home) as db, snapshot(db):
            return self._followed(db)

    def _followed(self, db: sqlite3.Connection) -> Verified:
        first, last = anchor(db), mark_of(db, HEAD)
        if self._at is None or not _stands(db, first, self._at):
            self._begin()
            self._at = first
        found = verify(islice(read_events(db, after=self._at[0]), self._most), self._at[1], self._at[0])
        ends, broken = False, found  # what is broken is followed again in the next look: it may have been restored
        if not isinstance(found, Break):
            self._at = self._at[0] + found[0], found[1]
            ends = found[0] < self._most
            if ends and last is not None and last != self._at:
                broken = Break(self._at[0] + 1, f"it is missing: the last event was {last[0]}")
        events, of = self._at[0] - first[0], (last or self._at)[0] - first[0]
        if isinstance(broken, Break):
            words = f"event {broken.seq}: {broken.problem}"
            return Verified(state="broken", events=events, of=of, words=words, since=self._since)
        return Verified(state="whole" if ends else "going", events=events, of=max(events, of), since=self._since)


def _stands(db: sqlite3.Connection, first: tuple[int, str], at: tuple[int, str]) -> bool:
    """Whether a place that was reached is where the journal begins, or still in it."""
    if at[0] <= first[0]:
        return at == first
    row = db.execute("SELECT digest FROM event WHERE seq = ?", (at[0],)).fetchone()
    return row is not None and row["digest"] == at[1]
