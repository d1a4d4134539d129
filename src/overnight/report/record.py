"""What became of earlier changes, from the journal alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from overnight.judge.autonomy import Fate
from overnight.judge.routing import Kind, kind_of
from overnight.missions.codec import decode
from overnight.missions.task import Ending, Phase, Task
from overnight.report.journal import reading, snapshot

#: The worst first.
_AFTER = {"reverted": Fate.REVERTED, "mended": Fate.MENDED}
_FATES = {Phase.LANDED: Fate.LANDED, Phase.REJECTED: Fate.REJECTED}


def fates(home: Path, repo: str, kind: Kind) -> tuple[tuple[Fate, str], ...]:
    """(fate, commit that landed or ``) of every task of this repo and kind of work that came so far, oldest first."""
    sql = "SELECT id, input, output, phase FROM task WHERE lane = ? AND state = 'done' AND phase IN (?, ?) ORDER BY updated"
    with reading(home) as db, snapshot(db):
        rows = db.execute(sql, (repo, *_FATES)).fetchall()
        after = {row["id"]: _afterwards(db, row["id"]) for row in rows}
    found: list[tuple[Fate, str]] = []
    for row in rows:
        if kind_of(decode(row["input"], Task))[0] is kind:
            commit = decode(row["output"], Ending).commit if row["phase"] == Phase.LANDED else None
            found.append((after[row["id"]] or _FATES[Phase(row["phase"])], commit or ""))
    return tuple(found)


def _afterwards(db: sqlite3.Connection, task: str) -> Fate | None:
    """What became of a landed change on the forge: `landing.reverted` and `landing.mended`, noted by these names."""
    sql = "SELECT name FROM step WHERE task = ? AND name IN (?, ?)"
    names = {row["name"] for row in db.execute(sql, (task, *_AFTER)).fetchall()}
    return next((fate for name, fate in _AFTER.items() if name in names), None)
