"""What exactly is wanted of a person: the result to decide about, or the questions to answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from msgspec import Struct

from overnight.missions.clarify import Clarity, Question
from overnight.missions.codec import decode
from overnight.missions.hold import HoldReason
from overnight.missions.run import Result
from overnight.ports import Examined
from overnight.report.views import TaskRow

_DECIDED = (HoldReason.NEEDS_APPROVAL, HoldReason.JUDGES_DISAGREE)


class Want(Struct, frozen=True, kw_only=True):
    """One task that waits for a person."""

    row: TaskRow
    #: The result that a decision is about; null for none.
    examined: Examined | None = None
    #: Paths that it changed.
    changed: tuple[str, ...] = ()
    #: What is asked before it starts; empty when something else is asked.
    questions: tuple[Question, ...] = ()


def wants(db: sqlite3.Connection, rows: Iterable[TaskRow]) -> tuple[Want, ...]:
    """One for each row, in their order."""
    return tuple(_want(db, row) for row in rows)


def _want(db: sqlite3.Connection, row: TaskRow) -> Want:
    reason = row.hold.reason if row.hold is not None else ""
    if reason in _DECIDED:
        found = _last(db, row, "examine")
        if found is not None:
            n, output = found
            left = _step(db, row, f"collect {n}")
            changed = decode(left, Result).changed if left is not None else ()
            return Want(row=row, examined=decode(output, Examined), changed=changed)
    if reason == HoldReason.NEEDS_ANSWER and (asked := _step(db, row, "clarify")) is not None:
        return Want(row=row, questions=decode(asked, Clarity).questions if row.run is None else ())
    return Want(row=row)


def _step(db: sqlite3.Connection, row: TaskRow, name: str) -> str | None:
    sql = "SELECT output FROM step WHERE task = ? AND life = ? AND name = ?"
    found = db.execute(sql, (row.id, row.life, name)).fetchone()
    return found["output"] if found else None


def _last(db: sqlite3.Connection, row: TaskRow, what: str) -> tuple[int, str] | None:
    """The number and the outcome of the last such step of this life."""
    sql = "SELECT name, output FROM step WHERE task = ? AND life = ? AND name LIKE ? ORDER BY finished DESC LIMIT 1"
    found = db.execute(sql, (row.id, row.life, f"{what} %")).fetchone()
    if found is None:
        return None
    number = found["name"].removeprefix(f"{what} ")
    return (int(number), found["output"]) if number.isdecimal() else None
