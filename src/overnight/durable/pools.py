"""Pools: how much of one kind of work may be under way at once. Grants are rows, so a crash forgets none."""

from __future__ import annotations

import sqlite3
from heapq import merge

from msgspec import Struct

from overnight.durable.journal import Journal


class Rate(Struct, frozen=True):
    """At most `count` grants in any window of `seconds`."""

    count: int
    seconds: float


class Pool(Struct, frozen=True, kw_only=True):
    """Limits of one pool; None is no limit."""

    total: int | None = None
    #: Per key, such as the repo.
    per_key: int | None = None
    rate: Rate | None = None


def room(journal: Journal, name: str, pool: Pool) -> int:
    """How many more grants the pool as a whole allows now."""
    free = 1 << 30
    if pool.total is not None:
        held = "SELECT count(*) FROM slot WHERE pool = ? AND released IS NULL"
        free = pool.total - journal.db.execute(held, (name,)).fetchone()[0]
    if pool.rate is not None:
        past = "SELECT count(*) FROM slot WHERE pool = ? AND granted > ?"
        since = journal.clock.now() - pool.rate.seconds
        free = min(free, pool.rate.count - journal.db.execute(past, (name, since)).fetchone()[0])
    return max(0, free)


def room_for_key(journal: Journal, name: str, pool: Pool, key: str) -> int:
    """How many more grants one key allows now."""
    if pool.per_key is None:
        return 1 << 30
    held = "SELECT count(*) FROM slot WHERE pool = ? AND key = ? AND released IS NULL"
    return max(0, pool.per_key - journal.db.execute(held, (name, key)).fetchone()[0])


def rate_opens(journal: Journal, name: str, pool: Pool) -> float | None:
    """When the rate lets the next grant through, if it is the rate that holds it back; epoch seconds."""
    if pool.rate is None or pool.rate.count < 1:
        return None
    sql = "SELECT granted FROM slot WHERE pool = ? ORDER BY granted DESC LIMIT 1 OFFSET ?"
    row = journal.db.execute(sql, (name, pool.rate.count - 1)).fetchone()
    opens = row["granted"] + pool.rate.seconds if row else 0.0
    return opens if opens > journal.clock.now() else None


def next_in_line(journal: Journal, name: str, pool: Pool, shut: frozenset[str]) -> list[sqlite3.Row]:
    """The waiting tasks to grant now, by priority, then age. Lanes in `shut` are passed over."""
    free = room(journal, name, pool)
    if free == 0:
        return []
    keys = journal.db.execute("SELECT DISTINCT need_key FROM task WHERE need_pool = ?", (name,)).fetchall()
    sql = (
        "SELECT id, need_key, lane, priority, created FROM task WHERE need_pool = ? AND need_key = ? "
        "ORDER BY priority DESC, created, id LIMIT ?"
    )
    lines = [
        [row for row in journal.db.execute(sql, (name, key, min(free, here))) if row["lane"] not in shut]
        for (key,) in keys
        if (here := room_for_key(journal, name, pool, key))
    ]
    return list(merge(*lines, key=lambda row: (-row["priority"], row["created"], row["id"])))[:free]


def grant(journal: Journal, task: str, name: str, key: str) -> None:
    """Give the task a slot, inside a transaction."""
    row = (task, name, key, journal.clock.now())
    journal.db.execute("INSERT INTO slot(task, pool, key, granted) VALUES (?, ?, ?, ?)", row)


def release(journal: Journal, task: str) -> None:
    """Take back whatever slots the task holds, inside a transaction."""
    journal.db.execute("UPDATE slot SET released = ? WHERE task = ? AND released IS NULL", (journal.clock.now(), task))


def holds(journal: Journal, task: str, name: str, key: str) -> bool:
    """Whether the task holds such a slot."""
    sql = "SELECT 1 FROM slot WHERE task = ? AND pool = ? AND key = ? AND released IS NULL"
    return journal.db.execute(sql, (task, name, key)).fetchone() is not None
