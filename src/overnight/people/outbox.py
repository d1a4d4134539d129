"""The outbox: rows of the journal's database, written in the same transaction as whatever they follow from.

Events are read in order, and how far is on record with what was made of them: a kill at any instant loses no notice and
makes none twice. A message is at-least-once; what is known of the last try is looked at before the next one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from overnight.durable.chain import Event
from overnight.durable.journal import Journal, read_events
from overnight.judge.limits import backoff
from overnight.judge.telling import Span, notice_of, read_span, read_time, when
from overnight.missions.codec import decode, encode
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.notice import RANKS, Happening, Line, Notice, Priority
from overnight.people.settings import NotifySettings, Target
from overnight.people.waits import asked, open_ask

#: The record of the last event that was looked at.
CURSOR = ("notify", "cursor")
#: Events looked at in one transaction.
_AT_ONCE = 500
#: Seconds that what is not urgent waits for more of its kind.
_FOLD_S = 2.0
_HOUR_S = 3600.0
#: Seconds that a far end may ask for at most before it is tried again.
MOST_WAIT_S = 86400.0
#: Nothing is put off for longer: what is due later was put off by a clock that was set back since, and is due now.
_NEVER_S = 2 * 86400.0
#: Facts that go into one message at most; questions that go into one each, and not together.
_BATCH, _ALONE = 200, 3
#: Why the engine releases what a person had no part in.
_BY_ITSELF = ("its time has come", "it came meanwhile", "its pause is over", "its pool is gone")

#: Events that say that an account works again, and where they name it.
_WELL = {"breaker.closed": "account", "limit.passed": "account"}


class Batch(Struct, frozen=True, kw_only=True):
    """What goes to one target in one message."""

    #: Unique for each try.
    id: str
    target: str
    lines: tuple[Line, ...]


class Result(Struct, frozen=True, kw_only=True):
    """What became of a try."""

    ok: bool
    #: What the far end calls the message, as the channel needs it later.
    remote: str = ""
    #: Why not, without secrets.
    why: str = ""
    #: Seconds after which the far end wants to be asked again.
    retry_after: float | None = None


class Outbox:
    """The writer's view."""

    def __init__(self, journal: Journal, settings: NotifySettings) -> None:
        self._journal, self._settings, self._db = journal, settings, journal.db
        self._quiet: Span | None = read_span(settings.quiet) if settings.quiet else None
        self._digest = read_time(settings.digest) or 0
        self._zone: tzinfo | None = ZoneInfo(settings.zone) if settings.zone else None

    # -- events in ------------------------------------------------------------------------------------------

    def take(self) -> int:
        """Make notices of what has happened since the last look; how many events were looked at."""
        held = self._journal.get(*CURSOR)
        if held is None:
            self._begin()
            return 0
        seen = 0
        with self._journal.tx("notices"):
            last = int(held)
            for event in read_events(self._db, after=last):
                self._see(event)
                last, seen = event.seq, seen + 1
                if seen >= _AT_ONCE:
                    break
            if seen:
                self._journal.put(*CURSOR, str(last))
        return seen

    def _begin(self) -> None:
        """The first time: what is old is no news, but for what waits now."""
        with self._journal.tx("notices"):
            sql = (
                "SELECT max(seq) AS seq FROM event WHERE what = 'task.held' AND task IN "
                "(SELECT id FROM task WHERE hold IS NOT NULL) GROUP BY task ORDER BY seq"
            )
            for row in self._db.execute(sql).fetchall():
                self._see(next(read_events(self._db, after=row["seq"] - 1)))
            last = self._db.execute("SELECT max(seq) AS seq FROM event").fetchone()["seq"]
            self._journal.put(*CURSOR, str(last or self._journal.anchor()[0]))

    def _see(self, event: Event) -> None:
        if event.what == "task.released" and event.task and event.why not in _BY_ITSELF:
            self._close("json_extract(value, '$.task') = ?", event.task)
            return
        if event.what in _WELL:
            about = json.loads(event.data).get(_WELL[event.what], "")
            self._close("json_extract(value, '$.about') = ?", about or "no account")
        if event.what == "canary.passed":
            self._close("json_extract(value, '$.held') = ?", HoldReason.CANARY_FAILED)
        notice = notice_of(_happening(self._db, event))
        if notice is not None:
            self.add(notice)

    def _close(self, where: str, value: str) -> None:
        """It is over, or somebody did something about it: when it comes back, that is news."""
        sql = f"UPDATE notice SET open = 0 WHERE open = 1 AND json_extract(value, '$.held') IS NOT NULL AND {where}"  # noqa: S608
        self._db.execute(sql, (value,))

    def add(self, notice: Notice) -> bool:
        """Put a notice in, or count it where its fact was told of late; whether it is new."""
        now = self._journal.clock.now()
        with self._journal.tx("notice"):
            row = self._db.execute("SELECT id, first FROM notice WHERE key = ? AND open = 1", (notice.key,)).fetchone()
            if row is not None and 0 <= now - row["first"] < self._settings.repeat:  # else a clock was set back
                self._db.execute("UPDATE notice SET count = count + 1, last = ? WHERE id = ?", (now, row["id"]))
                return False
            self._db.execute("UPDATE notice SET open = 0 WHERE key = ? AND open = 1", (notice.key,))
            sql = "INSERT INTO notice(key, value, first, last) VALUES (?, ?, ?, ?)"
            made = self._db.execute(sql, (notice.key, encode(notice).decode(), now, now)).lastrowid
            for name, target in self._settings.targets.items():
                if name != notice.but and notice.priority in (Priority.URGENT, *target.at_once, *target.digest):
                    self._address(made, name, target, notice, now)
        return True

    def _address(self, made: int | None, name: str, target: Target, notice: Notice, now: float) -> None:
        sql = "INSERT INTO delivery(notice, target, state, rank, due) VALUES (?, ?, 'waiting', ?, ?)"
        self._db.execute(sql, (made, name, RANKS[notice.priority], self._due(target, notice, now)))

    def _due(self, target: Target, notice: Notice, now: float) -> float:
        local = datetime.fromtimestamp(now, self._zone)
        minute = when(notice, 60 * local.hour + local.minute, self._quiet, target.at_once, self._digest)
        if minute is not None:
            return _next(now, minute, self._zone)
        return now + (0.0 if notice.priority is Priority.URGENT else _FOLD_S)

    # -- messages out ---------------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """When the next message is due; None when nothing waits."""
        return self._db.execute("SELECT min(due) AS at FROM delivery WHERE state = 'waiting'").fetchone()["at"]

    def begin(self) -> list[Batch]:
        """What is due now, at most one message for each target; it counts as being sent from here on."""
        now = self._journal.clock.now()
        sql = (
            "SELECT DISTINCT target FROM delivery WHERE state = 'waiting' AND (due <= ? OR due > ?) "
            "AND target NOT IN (SELECT target FROM delivery WHERE state = 'sending') ORDER BY target"
        )
        targets = [row["target"] for row in self._db.execute(sql, (now, now + _NEVER_S)).fetchall()]
        if not targets:
            return []
        with self._journal.tx("outbox begin"):
            made = [self._batch(target, now) for target in targets]
        return [batch for batch in made if batch is not None]

    def _batch(self, name: str, now: float) -> Batch | None:
        target = self._settings.targets.get(name)
        if target is None:
            self._moot("target = ? AND state = 'waiting'", (name,), "no such target is configured any more")
            return None
        rows = self._waiting(name, now)
        if rows and (opens := self._opens(name, now)) is not None:
            later = [(opens, row["id"]) for row in rows if row["rank"]]
            self._db.executemany("UPDATE delivery SET due = ? WHERE id = ?", later)
            rows = [row for row in rows if not row["rank"]]
        if not rows:
            return None
        chosen = _together(rows, alone=target.person is not None)
        batch = f"{name}-{chosen[0]['id']}-{chosen[0]['tries'] + 1}"
        sql = "UPDATE delivery SET state = 'sending', batch = ?, tries = tries + 1 WHERE id = ?"
        self._db.executemany(sql, [(batch, row["id"]) for row in chosen])
        return Batch(id=batch, target=name, lines=tuple(_line(row) for row in chosen))

    def _waiting(self, name: str, now: float) -> list[sqlite3.Row]:
        sql = (
            "SELECT delivery.id, delivery.tries, delivery.rank, notice.value, notice.count FROM delivery "
            "JOIN notice ON notice.id = delivery.notice WHERE target = ? AND state = 'waiting' AND (due <= ? OR due > ?) "
            "ORDER BY delivery.rank, delivery.id LIMIT ?"
        )
        rows = self._db.execute(sql, (name, now, now + _NEVER_S, _BATCH)).fetchall()
        gone = [row for row in rows if not self._still(decode(row["value"], Notice))]
        for row in gone:
            self._moot("id = ?", (row["id"],), "it was over before it was told")
        return [row for row in rows if row not in gone]

    def _moot(self, where: str, args: Iterable[object], why: str) -> None:
        sql = f"UPDATE delivery SET state = 'moot', why = ?, at = ? WHERE {where}"  # noqa: S608 (our own words)
        self._db.execute(sql, (why, self._journal.clock.now(), *args))

    def _still(self, notice: Notice) -> bool:
        """Whether what it says is still so: nobody wants to be woken for what is over."""
        if notice.ask:
            return open_ask(self._db, notice.ask) is not None
        if notice.held is None:
            return True
        sql = (
            "SELECT 1 FROM task WHERE state != 'done' AND json_extract(hold, '$.reason') = ? "
            "AND (? = '' OR id = ?) AND json_extract(hold, '$.about') = ?"
        )
        return self._db.execute(sql, (notice.held, notice.task, notice.task, notice.about)).fetchone() is not None

    def _opens(self, name: str, now: float) -> float | None:
        """When the target may get another message; None: now."""
        sql = "SELECT min(at) AS at FROM delivery WHERE target = ? AND state = 'sent' AND at > ? AND at <= ? GROUP BY batch ORDER BY at DESC"
        sent = [row["at"] for row in self._db.execute(sql, (name, now - _HOUR_S, now)).fetchall()]
        return sent[self._settings.most - 1] + _HOUR_S if len(sent) >= self._settings.most else None

    def unfinished(self) -> tuple[tuple[str, str], ...]:
        """(message, target) of what was being sent when the last daemon ended."""
        rows = self._db.execute("SELECT DISTINCT batch, target FROM delivery WHERE state = 'sending' ORDER BY batch")
        return tuple((row["batch"], row["target"]) for row in rows)

    def settle(self, batch: str, result: Result) -> None:
        """Put on record what became of a try."""
        now = self._journal.clock.now()
        with self._journal.tx("outbox settle"):
            rows = self._db.execute("SELECT * FROM delivery WHERE batch = ? AND state = 'sending'", (batch,)).fetchall()
            if not rows:
                return
            target, tries = rows[0]["target"], max(row["tries"] for row in rows)
            if result.ok:
                sql = "UPDATE delivery SET state = 'sent', remote = ?, why = '', at = ? WHERE batch = ? AND state = 'sending'"
                self._db.execute(sql, (result.remote, now, batch))
                self._journal.tell(
                    "notify.sent", why=target, target=target, message=batch, facts=len(rows), tries=tries
                )
            elif tries >= self._settings.tries:
                sql = "UPDATE delivery SET state = 'dead', why = ?, at = ? WHERE batch = ? AND state = 'sending'"
                self._db.execute(sql, (result.why, now, batch))
                self._journal.tell(
                    "notify.dead", why=result.why, target=target, message=batch, facts=len(rows), tries=tries
                )
            else:
                wait = max(backoff(tries, batch), min(result.retry_after or 0.0, MOST_WAIT_S))
                sql = "UPDATE delivery SET state = 'waiting', why = ?, due = ? WHERE batch = ? AND state = 'sending'"
                self._db.execute(sql, (result.why, now + wait, batch))

    def sweep(self, keep_s: float) -> None:
        """Forget what was last seen longer ago, and no longer waits."""
        sql = "DELETE FROM notice WHERE last < ? AND id NOT IN (SELECT notice FROM delivery WHERE state IN ('waiting', 'sending'))"
        with self._journal.tx("outbox sweep"):
            self._db.execute(sql, (self._journal.clock.now() - keep_s,))


#: How the reason of a try begins whose outcome nobody knows.
UNKNOWN = "nobody knows whether it arrived"


def _happening(db: sqlite3.Connection, event: Event) -> Happening:
    data: dict[str, Any] = json.loads(event.data)
    row = None
    if event.task is not None:
        sql = "SELECT lane, life, hold, json_extract(input, '$.title') AS title FROM task WHERE id = ?"
        row = db.execute(sql, (event.task,)).fetchone()
    hold = decode(row["hold"], Hold) if row is not None and row["hold"] else None
    if hold is not None and event.what == "task.held" and not event.why.startswith(f"{hold.reason}: "):
        hold = None  # it was released since, and waits for something else now
    ask = asked(db, event.task) if event.task is not None and hold is not None and event.what == "task.held" else None
    unusual: dict[str, Any] = data.get("anomaly") or {}
    return Happening(
        ask=ask.id if ask is not None else _filed(event, data),
        what=event.what, why=event.why, actor=event.actor, task=event.task or "", hold=hold,
        repo=row["lane"] if row is not None else "", life=row["life"] if row is not None else 0,
        title=(row["title"] or "") if row is not None else "", phase=str(data.get("phase", "")),
        percent=int(data.get("percent", 0)), target=str(data.get("target", "")),
        night=str(data.get("night", "")) if data.get("latest") else "",
        key=str(unusual.get("key", "")), severity=str(unusual.get("severity", "")),
    )  # fmt: skip


def _filed(event: Event, data: dict[str, Any]) -> str:
    return str(data["question"]["id"]) if event.what == "question.asked" and "question" in data else ""


def _line(row: sqlite3.Row) -> Line:
    return Line(notice=decode(row["value"], Notice), count=row["count"])


def _together(rows: Sequence[sqlite3.Row], *, alone: bool) -> Sequence[sqlite3.Row]:
    """What goes into one message: what is asked with buttons goes alone, whatever else waits goes together. What no task
    stands still for goes alone only while it is little."""
    notices = [(row, decode(row["value"], Notice)) for row in rows]
    asks = [row for row, notice in notices if alone and notice.ask and notice.held]
    words = [row for row, notice in notices if alone and notice.ask and not notice.held]
    return [row for row in rows if not row["rank"]] or asks[:1] or (words[:1] if len(words) <= _ALONE else []) or rows


def _next(now: float, minute: int, zone: tzinfo | None) -> float:
    """The next time that the local clock shows this minute of the day, after now."""
    local = datetime.fromtimestamp(now, zone)
    at = datetime(
        local.year, local.month, local.day, minute // 60 % 24, minute % 60, tzinfo=local.tzinfo if zone else None
    )
    while at.timestamp() <= now:
        at += timedelta(days=1)
    return at.timestamp()
