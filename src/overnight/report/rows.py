"""Tasks in one line each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from overnight.errors import UnknownTask
from overnight.missions.codec import decode
from overnight.missions.hold import PASSING, Hold, HoldReason
from overnight.missions.question import Question
from overnight.missions.task import Ending, Phase
from overnight.people.waits import answered, filed, needs_person
from overnight.report.rundir import folder_of, last_action, questions_of
from overnight.report.views import HoldView, State, TaskRow

COLUMNS = "id, lane, life, state, phase, wait_for, need_pool, hold, want, priority, output, created, updated, title"
#: Nothing of it has begun.
QUEUED = "state != 'done' AND hold IS NULL AND phase = 'queued'"
#: Begun, and neither ended nor held: it is worked on, or waits for its turn.
BEGUN = "state != 'done' AND hold IS NULL AND phase != 'queued'"
#: A named reason keeps it.
HELD = "state != 'done' AND hold IS NOT NULL"
#: All that began and has not ended; the conditions apart, so that each is looked up.
OPEN = f"id IN (SELECT id FROM task WHERE {HELD} UNION ALL SELECT id FROM task WHERE {BEGUN})"  # noqa: S608 (constants)
#: The order in which queued tasks begin.
IN_LINE = "priority DESC, created, id"

#: As `people.waits` tells whether a hold needs a person, in one look at all of them.
_PASSES = ", ".join(f"'{reason}'" for reason in sorted(PASSING))
_HELD = f"""
SELECT task.id, task.lane, task.priority, task.created,
       CASE json_extract(task.hold, '$.reason')
         WHEN '{HoldReason.PAUSED}' THEN 0
         WHEN '{HoldReason.PR_BACKLOG}' THEN 0
         WHEN '{HoldReason.DEPENDENCY}' THEN coalesce(other.state = 'done', 1)
         ELSE json_extract(task.hold, '$.until') IS NULL OR json_extract(task.hold, '$.late') IS NOT NULL
              OR json_extract(task.hold, '$.reason') NOT IN ({_PASSES})
       END AS asks
FROM task LEFT JOIN task AS other ON other.id = substr(task.wait_for, 6)
WHERE task.state != 'done' AND task.hold IS NOT NULL ORDER BY task.updated, task.id
"""  # noqa: S608 (constants)


def held(db: sqlite3.Connection) -> list[sqlite3.Row]:
    """(id, lane, priority, created, asks) of every held task, the longest wait first; asks: it needs a person."""
    return db.execute(_HELD).fetchall()


def held_ids(db: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """Ids of the held tasks that need a person, and of the others, each the longest wait first."""
    found = held(db)
    return [row["id"] for row in found if row["asks"]], [row["id"] for row in found if not row["asks"]]


def state_of(row: sqlite3.Row) -> State:
    """What the task is doing."""
    if row["state"] == "done":
        return State.ENDED
    if row["hold"] is not None:
        return State.HELD
    if row["phase"] == Phase.QUEUED:
        return State.QUEUED
    return State.WAITING if row["need_pool"] is not None else State.ACTIVE


def raw_row(db: sqlite3.Connection, task: str) -> sqlite3.Row:
    """The columns of one task, by its whole id. Raises UnknownTask."""
    found = db.execute(f"SELECT {COLUMNS}, input FROM task WHERE id = ?", (task,)).fetchone()  # noqa: S608 (constant)
    if found is None:
        raise UnknownTask(task=task, hint="")
    return found


def make_row(db: sqlite3.Connection, home: Path, row: sqlite3.Row) -> TaskRow:
    """The view of one row of COLUMNS."""
    state = state_of(row)
    begun = state in (State.ACTIVE, State.WAITING, State.HELD)
    run = latest_run(db, row["id"], row["life"]) if begun else None
    last, asked = None, _questions(db, row["id"]) if state is not State.QUEUED else ()
    if state is State.ACTIVE and run is not None and row["phase"] == Phase.RUNNING:
        folder = folder_of(home, f"{row['id']}.{row['life']}.{run}")
        # The journal has them when the run has ended.
        done = answered(db, row["id"])
        now = (question for question in questions_of(folder) if question.id not in done)
        last, asked = last_action(folder), _each_once((*asked, *now))
    return TaskRow(
        id=row["id"],
        repo=row["lane"],
        title=row["title"] or "",
        state=state,
        phase=row["phase"],
        want=row["want"],
        priority=row["priority"],
        life=row["life"],
        run=run,
        since=_since(db, row, state),
        created=row["created"],
        hold=_hold(db, row),
        last=last,
        ending=decode(row["output"], Ending) if row["state"] == "done" and row["output"] else None,
        questions=asked,
    )


def _questions(db: sqlite3.Connection, task: str) -> tuple[Question, ...]:
    """What its runs wanted of a person, as the journal has it, but for what was answered."""
    done = answered(db, task)
    return tuple(question for question in filed(db, task).values() if question.id not in done)


def _each_once(asked: Iterable[Question]) -> tuple[Question, ...]:
    return tuple({question.id: question for question in asked}.values())


def latest_run(db: sqlite3.Connection, task: str, life: int) -> int | None:
    """The number of the last run that was begun in this life."""
    names = db.execute("SELECT name FROM step WHERE task = ? AND life = ? AND name LIKE 'open %'", (task, life))
    return max((int(n) for row in names if (n := row["name"].removeprefix("open ")).isdecimal()), default=None)


def _since(db: sqlite3.Connection, row: sqlite3.Row, state: State) -> float:
    if state is State.QUEUED:
        return row["created"] if row["life"] == 1 else row["updated"]
    if state is State.ACTIVE:
        sql = "SELECT at FROM event WHERE task = ? AND what = 'task.phase' ORDER BY seq DESC LIMIT 1"
        found = db.execute(sql, (row["id"],)).fetchone()
        return found["at"] if found else row["updated"]
    return row["updated"]


def _hold(db: sqlite3.Connection, row: sqlite3.Row) -> HoldView | None:
    if row["hold"] is None:
        return None
    hold = decode(row["hold"], Hold)
    return HoldView(
        reason=hold.reason,
        why=hold.why,
        releases_on=hold.releases_on,
        until=hold.until,
        then=hold.then,
        needs_person=needs_person(db, hold, row["wait_for"] or ""),
        late=hold.late,
        urgent=hold.urgent,
    )


def rows_where(
    db: sqlite3.Connection, home: Path, where: str, args: Iterable[object] = (), *, order: str = IN_LINE, most: int = -1
) -> tuple[TaskRow, ...]:
    """Tasks that fit a condition. where, order: our own SQL; args fill it."""
    sql = f"SELECT {COLUMNS} FROM task WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608 (constants)
    return tuple(make_row(db, home, row) for row in db.execute(sql, (*args, most)).fetchall())
