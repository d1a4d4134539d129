"""What became of earlier changes, from the journal alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from overnight.judge.autonomy import FATE, LEVEL, Fate, Override, Told, level_key
from overnight.judge.routing import Kind, kind_of
from overnight.missions.codec import decode
from overnight.missions.run import FailureClass
from overnight.missions.task import Ending, Phase, Task
from overnight.report.journal import reading, snapshot

#: The worst first.
_AFTER = {"reverted": Fate.REVERTED, "mended": Fate.MENDED}
_FATES = {Phase.LANDED: Fate.LANDED, Phase.REJECTED: Fate.REJECTED}
#: (epoch seconds, what became of it, the commit that landed or empty)
_Moment = tuple[float, Fate, str]


def fates(home: Path, repo: str, kind: Kind) -> tuple[tuple[Fate, str], ...]:
    """(fate, commit that landed or ``) of every change of this repo and kind of work since a person's last word on its
    level, oldest first."""
    with reading(home) as db, snapshot(db):
        word = _word(db, repo, kind)
        found = sorted((*_ended(db, repo, kind), *_insecure(db, repo, kind), *_told(db, repo, kind)))
    return tuple((fate, commit) for at, fate, commit in found if word is None or at > word.since)


def word(home: Path, repo: str, kind: Kind) -> Override | None:
    """A person's last word on the level of this repo and kind of work."""
    with reading(home) as db:
        return _word(db, repo, kind)


def _word(db: sqlite3.Connection, repo: str, kind: Kind) -> Override | None:
    sql = "SELECT value FROM record WHERE kind = ? AND key = ?"
    row = db.execute(sql, (LEVEL, level_key(repo, kind))).fetchone()
    return decode(row["value"], Override) if row else None


def _ended(db: sqlite3.Connection, repo: str, kind: Kind) -> Iterator[_Moment]:
    sql = "SELECT id, input, output, phase, updated FROM task WHERE lane = ? AND state = 'done' AND phase IN (?, ?)"
    for row in db.execute(sql, (repo, *_FATES)).fetchall():
        if kind_of(decode(row["input"], Task))[0] is kind:
            commit = decode(row["output"], Ending).commit if row["phase"] == Phase.LANDED else None
            yield row["updated"], _afterwards(db, row["id"]) or _FATES[Phase(row["phase"])], commit or ""


def _afterwards(db: sqlite3.Connection, task: str) -> Fate | None:
    """What became of a landed change on the forge: `landing.reverted` and `landing.mended`, noted by these names."""
    sql = "SELECT name FROM step WHERE task = ? AND name IN (?, ?)"
    names = {row["name"] for row in db.execute(sql, (task, *_AFTER)).fetchall()}
    return next((fate for name, fate in _AFTER.items() if name in names), None)


def _insecure(db: sqlite3.Connection, repo: str, kind: Kind) -> Iterator[_Moment]:
    """Runs that were ended since they broke a bound, whatever became of their tasks."""
    sql = (
        "SELECT input, finished FROM task JOIN step ON step.task = task.id WHERE lane = ? "
        "AND name GLOB 'run [0-9]*' AND json_extract(step.output, '$.failure') = ?"
    )
    for row in db.execute(sql, (repo, FailureClass.SECURITY)):
        if kind_of(decode(row["input"], Task))[0] is kind:
            yield row["finished"], Fate.SECURITY, ""


def _told(db: sqlite3.Connection, repo: str, kind: Kind) -> Iterator[_Moment]:
    for row in db.execute("SELECT value, at FROM record WHERE kind = ?", (FATE,)):
        told = decode(row["value"], Told)
        if (told.repo, told.kind) == (repo, kind):
            yield row["at"], told.fate, told.commit
