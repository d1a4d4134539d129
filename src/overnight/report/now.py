"""What a person looks at first, at any size: counts of everything, and of each kind the first few in full."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from overnight.report.journal import reading, snapshot
from overnight.report.limits import AccountView, shut_accounts
from overnight.report.rows import BEGUN, COLUMNS, IN_LINE, QUEUED, held_ids, make_row
from overnight.report.status import read_pauses, read_repos
from overnight.report.views import PauseView, TaskRow

#: How many of each kind are told in full.
NEEDS, ACTIVE, WAITING, QUEUE, ENDED = 30, 30, 12, 12, 12


class NowView(Struct, frozen=True, kw_only=True):
    """Everything at a glance, of one instant."""

    #: Epoch seconds of the look.
    at: float
    #: Epoch seconds from which on ended tasks are counted.
    ended_since: float
    pauses: tuple[PauseView, ...]
    #: Accounts whose runs do not start, since they do not work.
    shut: tuple[AccountView, ...]
    #: Names of the registered repos.
    repos: tuple[str, ...]
    #: Held tasks that nothing but a person releases, the longest wait first; how many there are in all.
    needs_person: tuple[TaskRow, ...]
    needs_person_count: int
    #: Tasks that are worked on.
    active: tuple[TaskRow, ...]
    active_count: int
    #: Held tasks that something else releases, and begun ones that wait for a place.
    waiting: tuple[TaskRow, ...]
    waiting_count: int
    #: Tasks that have not begun, in the order in which they will.
    queued: tuple[TaskRow, ...]
    queued_count: int
    #: Tasks that ended since then, the latest first; how many of each end: landed, failed, rejected, cancelled.
    ended: tuple[TaskRow, ...]
    ended_counts: dict[str, int]


def now(home: Path, at: float, ended_since: float) -> NowView:
    """The view of one instant."""
    with reading(home) as db, snapshot(db):
        return read_now(db, home, at, ended_since)


def read_now(db: sqlite3.Connection, home: Path, at: float, ended_since: float) -> NowView:
    """See `now`; for those who look often and keep their connection."""
    asks, others = held_ids(db)
    turn, turns = _some(db, home, f"{BEGUN} AND need_pool IS NOT NULL", WAITING)
    active, actives = _some(db, home, f"{BEGUN} AND need_pool IS NULL", ACTIVE)
    queued, queue = _some(db, home, QUEUED, QUEUE)
    sql = "SELECT phase, count(*) FROM task WHERE state = 'done' AND updated >= ? GROUP BY phase"
    ended = db.execute(
        f"SELECT {COLUMNS} FROM task WHERE state = 'done' AND updated >= ? ORDER BY updated DESC, id LIMIT ?",  # noqa: S608
        (ended_since, ENDED),
    ).fetchall()
    return NowView(
        at=at,
        ended_since=ended_since,
        pauses=read_pauses(home),
        shut=shut_accounts(db, home, at),
        repos=tuple(repo.name for repo in read_repos(db)),
        needs_person=_named(db, home, asks[:NEEDS]),
        needs_person_count=len(asks),
        active=active,
        active_count=actives,
        waiting=(*turn, *_named(db, home, others[:WAITING])),
        waiting_count=turns + len(others),
        queued=queued,
        queued_count=queue,
        ended=tuple(make_row(db, home, row) for row in ended),
        ended_counts={row[0]: row[1] for row in db.execute(sql, (ended_since,))},
    )


def _some(db: sqlite3.Connection, home: Path, where: str, most: int) -> tuple[tuple[TaskRow, ...], int]:
    sql = f"SELECT {COLUMNS} FROM task WHERE {where} ORDER BY {IN_LINE} LIMIT ?"  # noqa: S608 (constants)
    rows = tuple(make_row(db, home, row) for row in db.execute(sql, (most,)).fetchall())
    if len(rows) < most:
        return rows, len(rows)
    return rows, db.execute(f"SELECT count(*) FROM task WHERE {where}").fetchone()[0]  # noqa: S608 (constants)


def _named(db: sqlite3.Connection, home: Path, ids: Iterable[str]) -> tuple[TaskRow, ...]:
    sql = f"SELECT {COLUMNS} FROM task WHERE id = ?"  # noqa: S608 (constants)
    return tuple(make_row(db, home, db.execute(sql, (each,)).fetchone()) for each in ids)
