"""Everything at a glance: per repo, what needs a person first."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from overnight.durable.pauses import read
from overnight.missions.codec import decode
from overnight.missions.task import Repo
from overnight.report.journal import reading, snapshot
from overnight.report.limits import shut_accounts
from overnight.report.rows import QUEUED, rows_where
from overnight.report.signs import anomalies
from overnight.report.views import PauseView, RepoView, State, StatusView, TaskRow

#: Queued tasks that are named one by one; the others are counted.
NAMED = 5


def status(home: Path, now: float, ended_since: float, repo: str | None = None) -> StatusView:
    """The view of one instant. repo: only that one."""
    with reading(home) as db, snapshot(db):
        return read_status(db, home, now, ended_since, repo)


def read_status(
    db: sqlite3.Connection, home: Path, now: float, ended_since: float, repo: str | None = None
) -> StatusView:
    """See `status`; for those who look often and keep their connection."""
    known = {each.name: each for each in read_repos(db)}
    lanes = [row["lane"] for row in db.execute("SELECT DISTINCT lane FROM task ORDER BY lane")]
    names = [*known, *(lane for lane in lanes if lane not in known)]
    views = [_repo(db, home, name, known.get(name), ended_since) for name in names if repo is None or name == repo]
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


def _repo(db: sqlite3.Connection, home: Path, name: str, repo: Repo | None, ended_since: float) -> RepoView:
    begun = rows_where(db, home, f"lane = ? AND state != 'done' AND NOT ({QUEUED})", (name,))
    ended = rows_where(
        db, home, "lane = ? AND state = 'done' AND updated >= ?", (name, ended_since), order="updated DESC, id"
    )
    count = db.execute(f"SELECT count(*) FROM task WHERE lane = ? AND {QUEUED}", (name,)).fetchone()[0]  # noqa: S608
    return RepoView(
        name=name,
        path=repo.path if repo else None,
        target=repo.target if repo else None,
        needs_person=tuple(row for row in begun if row.hold is not None and row.hold.needs_person),
        active=tuple(row for row in begun if row.state is State.ACTIVE),
        waiting=tuple(row for row in begun if row.state is not State.ACTIVE and not _asks(row)),
        queued=count,
        next=rows_where(db, home, f"lane = ? AND {QUEUED}", (name,), most=NAMED) if count else (),
        ended=ended,
    )


def _asks(row: TaskRow) -> bool:
    return row.hold is not None and row.hold.needs_person


def _has_tasks(view: RepoView) -> bool:
    return bool(view.needs_person or view.active or view.waiting or view.queued or view.ended)
