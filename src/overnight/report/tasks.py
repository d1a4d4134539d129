"""Tasks page by page, whatever their number."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from overnight.report.journal import reading, snapshot
from overnight.report.rows import BEGUN, COLUMNS, QUEUED, make_row
from overnight.report.views import State, TaskRow

#: SQL of each state.
_STATES = {
    State.QUEUED: QUEUED,
    State.WAITING: f"{BEGUN} AND need_pool IS NOT NULL",
    State.ACTIVE: f"{BEGUN} AND need_pool IS NULL",
    State.HELD: "state != 'done' AND hold IS NOT NULL",
    State.ENDED: "state = 'done'",
}


class TaskPage(Struct, frozen=True, kw_only=True):
    """Some of the tasks, the latest change first."""

    tasks: tuple[TaskRow, ...]
    #: How many there are in all.
    total: int
    #: Where the next page begins; null when this is the last one.
    next: int | None


def tasks(
    home: Path, *, state: State | None = None, phase: str | None = None, repo: str | None = None,
    words: str = "", offset: int = 0, most: int = 50,
) -> TaskPage:  # fmt: skip
    """words: what title or id must hold."""
    parts, args = ["1"], list[object]()
    if state is not None:
        parts.append(f"({_STATES[state]})")
    for column, value in (("phase", phase), ("lane", repo)):
        if value is not None:
            parts.append(f"{column} = ?")
            args.append(value)
    if words:
        parts.append("(instr(lower(id), ?) OR instr(lower(title), ?))")
        args += [words.lower()] * 2
    where = " AND ".join(parts)
    with reading(home) as db, snapshot(db):
        total: int = db.execute(f"SELECT count(*) FROM task WHERE {where}", args).fetchone()[0]  # noqa: S608 (constants)
        # Which ones they are is looked up in an index; only those that are shown are read.
        named = f"SELECT id FROM task WHERE {where} ORDER BY updated DESC, id LIMIT ? OFFSET ?"  # noqa: S608
        sql = f"SELECT {COLUMNS} FROM task WHERE id IN ({named}) ORDER BY updated DESC, id"  # noqa: S608
        found = tuple(make_row(db, home, row) for row in db.execute(sql, (*args, most, offset)).fetchall())
    more = offset + len(found) < total
    return TaskPage(tasks=found, total=total, next=offset + len(found) if more else None)
