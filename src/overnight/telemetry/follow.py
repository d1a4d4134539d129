"""Following the journal from where it was left: what was sent and taken is remembered, what was not is sent again."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from overnight.durable.chain import Event
from overnight.durable.journal import anchor, connect, migrations
from overnight.errors import NotDelivered, TelemetryRefused
from overnight.telemetry import kept
from overnight.telemetry.draw import Drawing
from overnight.telemetry.kept import Progress
from overnight.telemetry.measures import Measures
from overnight.telemetry.values import Measured, Span, Value
from overnight.telemetry.words import Words

#: Events that are looked at before what was sent is remembered.
MOST_EVENTS = 500
#: Seconds between two tries while a collector fails: doubled each time, a quarter more or less.
FIRST_S, MOST_S = 5.0, 300.0
#: Seconds after which metrics are sent although nothing has ended.
METRICS_S = 60.0
#: What a record brings about that is damaged, or of a form that nobody knows.
_UNREADABLE = (TypeError, LookupError, ArithmeticError, OSError)
Now = tuple[str, str, int, Mapping[str, Value]]


class Collector(Protocol):
    """Takes spans and metrics. See `send.Sender`."""

    def spans(self, spans: Sequence[Span]) -> None:
        """Raises NotDelivered, TelemetryRefused."""
        ...

    def metrics(self, measures: Measures, since: float, now: Sequence[Now]) -> None:
        """Raises NotDelivered, TelemetryRefused."""
        ...


class Follower:
    """Sends what has ended."""

    def __init__(
        self, home: Path, words: Words, collector: Collector, *, batch: int, say: Callable[[str], None],
        traces: bool = True, metrics: bool = True, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """batch: spans in one request. traces, metrics: which of them are sent."""
        self._traces, self._measures = traces, metrics
        self._home, self._drawing, self._words, self._collector = home, Drawing(home, words), words, collector
        self._batch, self._say, self._clock = batch, say, clock
        self._progress = kept.read(home)
        self._measured_at: float | None = None
        self._said = ""

    def run(self, stop: threading.Event, every: float) -> None:
        """Until asked to end, or until `stop` is set by whoever sees that the daemon is gone."""
        wait = FIRST_S
        while not stop.is_set():
            try:
                while self.turn() and not stop.is_set():
                    pass
                wait, pause = FIRST_S, every
            except NotDelivered as error:
                self._failed(str(error))
                pause = wait * random.uniform(0.75, 1.25)
                wait = min(MOST_S, wait * 2)
            except (sqlite3.Error, OSError) as error:  # a journal in the making, a full disk
                self._say_once(f"{type(error).__name__}: {error}")
                pause = max(every, FIRST_S)
            stop.wait(pause)

    def turn(self) -> bool:
        """Send the next events; whether there may be more. Raises NotDelivered, sqlite3.Error, OSError."""
        path = self._home / "journal.db"
        if not path.exists():
            return False
        with contextlib.closing(connect(path, read_only=True)) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] != migrations()[-1][0]:
                return False  # the daemon is bringing it up to date
            progress = self._progress or self._begin(db)
            self._along(db, progress)
            more = self._events(db, progress)
            self._metrics(db, progress, changed=more)
        return more

    # -- where it is ----------------------------------------------------------------------------------------

    def _begin(self, db: sqlite3.Connection) -> Progress:
        """From now on; but from the first event that is left where there was a file that can't be read."""
        row = db.execute("SELECT seq, digest FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        seq, digest = (row["seq"], row["digest"]) if row else anchor(db)
        if (self._home / kept.FILE).exists():
            self._say(f"{kept.FILE} can't be read: all that is in the journal is sent again, with the ids that it had")
            seq, digest = anchor(db)
        self._progress = Progress(since=self._clock(), seq=seq, digest=digest)
        kept.write(self._home, self._progress)
        return self._progress

    def _along(self, db: sqlite3.Connection, progress: Progress) -> None:
        """Where events were archived before they were sent, or the journal is another one: from the first that is left."""
        first, digest = anchor(db)
        if progress.seq < first:
            progress.missed += first - progress.seq
            progress.seq, progress.digest = first, digest
            return
        if progress.seq > first:
            row = db.execute("SELECT digest FROM event WHERE seq = ?", (progress.seq,)).fetchone()
            if row is None or row["digest"] != progress.digest:
                self._say("the journal is not the one that was sent: it is sent from its beginning")
                progress.seq, progress.digest = first, digest

    # -- sending --------------------------------------------------------------------------------------------

    def _events(self, db: sqlite3.Connection, progress: Progress) -> bool:
        """Send what ended with the next events, then remember that."""
        fresh, waiting, last = Measures(), list[Span](), None
        sent = refused = missed = 0
        for event in self._next(db, progress.seq):
            try:
                for each in self._drawn(db, event):
                    if isinstance(each, Measured):
                        fresh.add(each)
                        continue
                    waiting.append(each)
                    if len(waiting) >= self._batch:
                        refused += self._deliver(waiting)
                        sent, waiting = sent + len(waiting), []
            except (msgspec.MsgspecError, ValueError) as error:  # one record must not keep those after it
                missed += 1
                self._say(f"event {event.seq} ({event.what}) is left out: {error}")
            last = event
            if sent >= self._batch:
                break
        if last is None:
            return False
        refused += self._deliver(waiting)
        sent += len(waiting)
        progress.sent += sent if self._traces else 0
        progress.refused += refused
        progress.missed += missed
        progress.seq, progress.digest = last.seq, last.digest
        progress.measures.merge(fresh)
        if sent:
            self._well(progress)
        kept.write(self._home, progress)
        return True

    def _drawn(self, db: sqlite3.Connection, event: Event) -> Iterator[Span | Measured]:
        """Raises ValueError for a record that can't be read. What a collector raises is not looked at here."""
        try:
            yield from self._drawing.of(db, event)
        except _UNREADABLE as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error

    def _next(self, db: sqlite3.Connection, after: int) -> tuple[Event, ...]:
        """All at once: no read lock is held while something is sent."""
        rows = db.execute("SELECT * FROM event WHERE seq > ? ORDER BY seq LIMIT ?", (after, MOST_EVENTS)).fetchall()
        return tuple(Event(*row) for row in rows)

    def _deliver(self, spans: list[Span]) -> int:
        """How many of them the collector refused for good: one that it does not want must not keep the others."""
        if not spans or not self._traces:
            return 0
        try:
            self._collector.spans(spans)
        except TelemetryRefused as error:
            if len(spans) == 1:
                self._say(f"a span is left out: {error}")
                return 1
            half = len(spans) // 2
            return self._deliver(spans[:half]) + self._deliver(spans[half:])
        return 0

    def _metrics(self, db: sqlite3.Connection, progress: Progress, *, changed: bool) -> None:
        now = self._clock()
        fresh = self._measured_at is not None and now - self._measured_at < METRICS_S
        if not self._measures or (fresh and (not changed or progress.unmeasured)):
            return
        self._measured_at = now
        try:
            self._collector.metrics(progress.measures, progress.since, tuple(self._standing(db)))
        except (
            NotDelivered,
            TelemetryRefused,
        ) as error:  # many a collector takes spans alone: they must not wait for it
            self._say_once(f"metrics: {error}")
            progress.unmeasured = str(error)
        else:
            progress.unmeasured = ""
            self._well(progress)
        kept.write(self._home, progress)

    def _standing(self, db: sqlite3.Connection) -> Iterator[Now]:
        """Tasks by state, as they are now."""
        sql = (
            "SELECT lane, CASE WHEN hold IS NOT NULL THEN 'held' ELSE phase END AS state, "
            "CASE WHEN hold IS NOT NULL THEN json_extract(hold, '$.reason') END AS reason, count(*) AS many "
            "FROM task WHERE state != 'done' GROUP BY 1, 2, 3"
        )
        for row in db.execute(sql).fetchall():
            about: dict[str, Value] = {
                "vcs.repository.name": self._words.name(row["lane"]), "overnight.task.state": self._words.name(row["state"]),
            }  # fmt: skip
            if row["reason"]:
                about["overnight.hold.reason"] = self._words.name(row["reason"])
            yield "overnight.tasks", "Tasks that have not ended, by state.", row["many"], about

    def _well(self, progress: Progress) -> None:
        progress.at, progress.trouble, progress.failing = self._clock(), "", None

    def _say_once(self, text: str) -> None:
        """What lasts is said when it begins."""
        if text != self._said:
            self._say(text)
        self._said = text

    def _failed(self, why: str) -> None:
        progress = self._progress
        if progress is None:
            return
        if progress.trouble != why:
            self._say(why)
        progress.trouble, progress.failing = why, progress.failing or self._clock()
        with contextlib.suppress(OSError):
            kept.write(self._home, progress)


def instance_of(home: Path) -> str:
    """Tells this state folder from others, and says nothing of its path or its machine."""
    import hashlib
    import socket

    return hashlib.sha256(json.dumps([socket.gethostname(), str(home.resolve())]).encode()).hexdigest()[:16]
