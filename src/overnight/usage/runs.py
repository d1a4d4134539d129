"""Runs of Overnight in the index: their sessions are marked, and a bill stands in for a log that is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN

from msgspec import Struct

from overnight.missions.money import Bill, ModelUse
from overnight.usage.book import SUM_OF_SESSION
from overnight.usage.costs import PARTS
from overnight.usage.entries import FOUND, figures, key_of

_LOCAL = "local"


class RunLog(Struct, frozen=True, kw_only=True):
    """A run that is over."""

    run: str
    repo: str
    #: Empty where nobody knows.
    agent: str
    #: The agent's name for its session.
    session: str
    #: Epoch seconds.
    ended: float
    bill: Bill | None


def note(db: sqlite3.Connection, logs: Iterable[RunLog]) -> None:
    """Put runs into the index, in the transaction under way. A second time changes nothing."""
    for log in logs:
        session = _session(db, log)
        free = log.bill is not None and log.bill.route == _LOCAL
        sql = "UPDATE session SET run = ?, repo = ?, free = ? WHERE id = ? AND (run = '' OR run >= ?)"
        db.execute(sql, (log.run, log.repo, free, session, log.run))
        if log.bill is not None and log.bill.models and not _logged(db, session):
            for use in log.bill.models:
                _stand_in(db, log, session, use)
            db.execute("DELETE FROM cell WHERE session = ?", (session,))
            db.execute(SUM_OF_SESSION, (session,))


def _session(db: sqlite3.Connection, log: RunLog) -> int:
    row = db.execute("SELECT id FROM session WHERE name = ? AND (agent = ?2 OR ?2 = '')", (log.session, log.agent))
    found = row.fetchone()
    if found is None:
        sql = "INSERT INTO session(agent, name) VALUES (?, ?) RETURNING id"
        found = db.execute(sql, (log.agent or "unknown", log.session)).fetchone()
    return found[0]


def _logged(db: sqlite3.Connection, session: int) -> bool:
    """Whether the session's own log was read."""
    sql = "SELECT coalesce(sum(answers), 0) - (SELECT count(*) FROM answer WHERE bill AND session = ?1) FROM cell WHERE session = ?1"
    return db.execute(sql, (session,)).fetchone()[0] > 0


def _stand_in(db: sqlite3.Connection, log: RunLog, session: int, use: ModelUse) -> None:
    """All that a run used one model for, as one answer at its end."""
    sql = "INSERT INTO billing(vendor, model, tier, speed, geo) VALUES ('', ?, '', '', '') ON CONFLICT DO UPDATE SET geo = geo RETURNING id"
    billing = db.execute(sql, (use.model,)).fetchone()[0]
    cost = None if use.cost is None else int((use.cost * PARTS).to_integral_value(ROUND_HALF_EVEN))
    at = int(log.ended * 1000)
    row = (key_of(f"bill {log.run} {use.model}"), at, FOUND, at, session, billing, *figures(use.tokens), None, 1, cost)
    db.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)", row)
