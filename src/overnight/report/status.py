"""Everything at a glance: per repo, what needs a person first."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from overnight.durable.pauses import read
from overnight.missions.codec import decode
from overnight.missions.task import Repo
from overnight.report.journal import reading, snapshot
from overnight.report.limits import shut_accounts
from overnight.report.rows import BEGUN, IN_LINE, QUEUED, held, rows_where
from overnight.report.signs import anomalies
from overnight.report.views import PauseView, RepoView, StatusView, TaskRow

#: Queued tasks that are named one by one; the others are counted.
NAMED = 5
_LATEST = "updated DESC, id"
#: The repos that ever had a task: a step from each to the next one, however many tasks they have.
_LANES = """WITH RECURSIVE line(lane) AS (
  SELECT min(lane) FROM (SELECT min(lane) AS lane FROM task WHERE state = 'done'
                         UNION ALL SELECT min(lane) FROM task WHERE state != 'done')
  UNION ALL SELECT (SELECT min(lane) FROM (SELECT min(lane) AS lane FROM task WHERE state = 'done' AND lane > line.lane
    UNION ALL SELECT min(lane) FROM task WHERE state != 'done' AND lane > line.lane)) FROM line WHERE lane IS NOT NULL
) SELECT lane FROM line WHERE lane IS NOT NULL"""


def status(home: Path, now: float, ended_since: float, repo: str | None = None, most: int | None = None) -> StatusView:
    """The view of one instant. repo: only that one. most: of each kind of a repo's tasks; None: all of them."""
    with reading(home) as db, snapshot(db):
        return read_status(db, home, now, ended_since, repo, most)


def read_status(
    db: sqlite3.Connection, home: Path, now: float, ended_since: float, repo: str | None = None, most: int | None = None
) -> StatusView:
    """See `status`; for those who look often and keep their connection."""
    known = {each.name: each for each in read_repos(db)}
    lanes = [row["lane"] for row in db.execute(_LANES)]
    names = [*known, *(lane for lane in lanes if lane not in known)]
    waits, most = held(db), -1 if most is None else most
    views = [
        _repo(db, home, name, known.get(name), ended_since, [row for row in waits if row["lane"] == name], most)
        for name in names
        if repo in (None, name)
    ]
    shown = tuple(view for view in views if view.path is not None or _has_tasks(view))
    shut = shut_accounts(db, home, now)
    return StatusView(
        at=now,
        ended_since=ended_since,
        pauses=read_pauses(home),
        repos=shown,
        shut=shut,
        anomalies=anomalies(db, ended_since, now + 1),
    )


def repos(home: Path) -> tuple[Repo, ...]:
    """The registered repos, by name."""
    with reading(home) as db:
        return read_repos(db)


def read_repos(db: sqlite3.Connection) -> tuple[Repo, ...]:
    """See `repos`."""
    rows = db.execute("SELECT value FROM record WHERE kind = 'repo' ORDER BY key")
    return tuple(decode(row["value"], Repo) for row in rows)


def read_pauses(home: Path) -> tuple[PauseView, ...]:
    """Pauses over everything or over a repo, as their files say."""
    return tuple(PauseView(repo=each.lane or None, by=each.by or "hand", since=each.since) for each in read(home))


def tasks_of(home: Path, repo: str) -> tuple[TaskRow, ...]:
    """Every task of a repo that has not ended, in the order in which they would begin."""
    with reading(home) as db, snapshot(db):
        return rows_where(db, home, "lane = ? AND state != 'done'", (repo,))


def unended(home: Path) -> tuple[TaskRow, ...]:
    """Every task that has not ended."""
    with reading(home) as db, snapshot(db):
        return rows_where(db, home, "state != 'done'")


def _repo(
    db: sqlite3.Connection,
    home: Path,
    name: str,
    repo: Repo | None,
    ended_since: float,
    waits: list[sqlite3.Row],
    most: int,
) -> RepoView:
    waits = sorted(waits, key=lambda row: (-row["priority"], row["created"], row["id"]))
    asks, others = [row for row in waits if row["asks"]], [row for row in waits if not row["asks"]]
    # `+lane`: there are fewer that began than a repo has tasks.
    active, actives = _some(db, home, f"{BEGUN} AND need_pool IS NULL AND +lane = ?", (name,), most)
    turn, turns = _some(db, home, f"{BEGUN} AND need_pool IS NOT NULL AND +lane = ?", (name,), most)
    ended, ends = _some(db, home, "lane = ? AND state = 'done' AND updated >= ?", (name, ended_since), most, _LATEST)
    queued, queue = _some(db, home, f"lane = ? AND {QUEUED}", (name,), NAMED)
    waiting = sorted((*turn, *_named(db, home, others, most)), key=lambda row: (-row.priority, row.created, row.id))
    return RepoView(
        name=name,
        path=repo.path if repo else None,
        target=repo.target if repo else None,
        needs_person=_named(db, home, asks, most),
        needs_person_count=len(asks),
        active=active,
        active_count=actives,
        waiting=tuple(waiting if most < 0 else waiting[:most]),
        waiting_count=turns + len(others),
        queued=queue,
        next=queued,
        ended=ended,
        ended_count=ends,
    )


def _some(
    db: sqlite3.Connection, home: Path, where: str, args: tuple[object, ...], most: int, order: str = IN_LINE
) -> tuple[tuple[TaskRow, ...], int]:
    """The first ones that fit, and how many do."""
    rows = rows_where(db, home, where, args, order=order, most=most)
    if len(rows) != most:
        return rows, len(rows)
    return rows, db.execute(f"SELECT count(*) FROM task WHERE {where}", args).fetchone()[0]  # noqa: S608 (constants)


def _named(db: sqlite3.Connection, home: Path, rows: list[sqlite3.Row], most: int) -> tuple[TaskRow, ...]:
    ids = [row["id"] for row in (rows if most < 0 else rows[:most])]
    return rows_where(db, home, "id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))


def _has_tasks(view: RepoView) -> bool:
    return bool(view.needs_person or view.active or view.waiting or view.queued or view.ended)
