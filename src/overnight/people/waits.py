"""What a task waits for now, as the journal has it."""

from __future__ import annotations

import json
import re
import sqlite3

from msgspec.structs import replace

from overnight.missions.approval import ANSWER, DECISION, Action, Ask, AskKind
from overnight.missions.codec import convert, decode
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.judging import BLOCKED
from overnight.missions.question import Question
from overnight.ports import Examined

_WAITS = {f"signal {DECISION}": AskKind.APPROVAL, f"signal {ANSWER}": AskKind.QUESTION}
_COLUMNS = "id, lane, life, state, phase, wait_for, hold, updated, json_extract(input, '$.title') AS title"
_DECISION = re.compile(r"signal decision (\d+)\.(\d+)")


def asked(db: sqlite3.Connection, task: str) -> Ask | None:
    """What a person is asked by a task that waits for a decision or an answer; None when it waits for neither."""
    row = db.execute(f"SELECT {_COLUMNS} FROM task WHERE id = ?", (task,)).fetchone()  # noqa: S608 (constant)
    return None if row is None else _of(db, row)


def all_asked(db: sqlite3.Connection) -> list[Ask]:
    """Everything that tasks ask now, the longest wait first."""
    waits = ", ".join(f"'{wait}'" for wait in _WAITS)
    sql = f"SELECT {_COLUMNS} FROM task WHERE wait_for IN ({waits}) AND state = 'waiting' ORDER BY updated, id"  # noqa: S608
    return [ask for row in db.execute(sql).fetchall() if (ask := _of(db, row)) is not None]


def _of(db: sqlite3.Connection, row: sqlite3.Row) -> Ask | None:
    kind = _WAITS.get(row["wait_for"] or "")
    if kind is None or row["state"] != "waiting" or row["hold"] is None:
        return None
    hold = decode(row["hold"], Hold)
    ask = hold.ask or _before_asks(db, row, hold, kind)
    if ask is None or ask.kind is not kind:
        return None
    return replace(ask, asked=row["updated"], title=ask.title or row["title"] or "", why=ask.why or hold.why)


def _before_asks(db: sqlite3.Connection, row: sqlite3.Row, hold: Hold, kind: AskKind) -> Ask | None:
    """The same of a hold from before holds said what they ask."""
    if kind is AskKind.QUESTION:
        return Ask(
            id=f"{row['id']}.{row['life']}.answer",
            task=row["id"],
            repo=row["lane"],
            kind=kind,
            actions=(Action.ANSWER,),
        )
    if hold.reason not in (HoldReason.NEEDS_APPROVAL, HoldReason.JUDGES_DISAGREE):
        return None
    sql = "SELECT name, output FROM step WHERE task = ? AND life = ? AND (name LIKE 'examine %' OR name LIKE 'signal decision %')"
    steps = {step["name"]: step["output"] for step in db.execute(sql, (row["id"], row["life"]))}
    n = max((int(name.split()[1]) for name in steps if name.startswith("examine ")), default=0)
    if not n:
        return None
    k = 1 + max((int(m[2]) for name in steps if (m := _DECISION.fullmatch(name)) and int(m[1]) == n), default=0)
    land = Action.LAND_ANYWAY if hold.why.startswith(BLOCKED) else Action.LAND
    return Ask(
        id=f"{row['id']}.{row['life']}.{n}.{k}", task=row["id"], repo=row["lane"], kind=kind,
        commit=decode(steps[f"examine {n}"], Examined).commit, actions=(land, Action.REJECT),
    )  # fmt: skip


def filed(db: sqlite3.Connection, question: str) -> tuple[Question, bool] | None:
    """A question that a run filed, and whether it was answered; None when there is none of this id."""
    sql = (
        "SELECT data FROM event WHERE what = 'question.asked' AND task = ? AND json_extract(data, '$.question.id') = ? "
        "ORDER BY seq DESC LIMIT 1"
    )
    row = db.execute(sql, (question.rpartition(".")[0], question)).fetchone()
    if row is None:
        return None
    return convert(json.loads(row["data"])["question"], Question), question in answered(db, question.rpartition(".")[0])


def answered(db: sqlite3.Connection, task: str) -> set[str]:
    """Ids of a task's filed questions that were answered."""
    sql = "SELECT json_extract(data, '$.question') AS id FROM event WHERE what = 'question.answered' AND task = ?"
    return {row["id"] for row in db.execute(sql, (task,))}
