"""Pools: how much of one kind of work may be under way at once. Grants are rows, so a crash forgets none."""

from __future__ import annotations

import json
import sqlite3
from heapq import merge

from msgspec import Struct

from overnight.durable.journal import Journal

UNLIMITED = 1 << 30

#: The keys that somebody waits for: a step from each to the next one, however many wait for the same.
_KEYS = """WITH RECURSIVE line(key) AS (
  SELECT min(need_key) FROM task WHERE need_pool = ?1
  UNION ALL SELECT (SELECT min(need_key) FROM task WHERE need_pool = ?1 AND need_key > key) FROM line WHERE key IS NOT NULL
) SELECT key FROM line WHERE key IS NOT NULL"""


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
    free = UNLIMITED
    if pool.total is not None:
        held = "SELECT count(*) FROM slot WHERE pool = ? AND released IS NULL"
        free = pool.total - journal.db.execute(held, (name,)).fetchone()[0]
    if pool.rate is not None:
        now, seconds = journal.clock.now(), pool.rate.seconds
        # The same sum as in `rate_opens`, so that rounding never shuts the rate without a time at which it opens. The
        # first bound is for the index. Grants later than the last one come from before the clock was set back.
        past = "SELECT count(*) FROM slot WHERE pool = ? AND granted > ? AND granted + ? > ? AND granted <= ?"
        row = journal.db.execute(past, (name, now - seconds - 1, seconds, now, now + seconds)).fetchone()
        free = min(free, pool.rate.count - row[0])
    return max(0, free)


def room_for_key(journal: Journal, name: str, pool: Pool, key: str) -> int:
    """How many more grants one key allows now."""
    if pool.per_key is None:
        return UNLIMITED
    held = "SELECT count(*) FROM slot WHERE pool = ? AND key = ? AND released IS NULL"
    return max(0, pool.per_key - journal.db.execute(held, (name, key)).fetchone()[0])


def rate_opens(journal: Journal, name: str, pool: Pool) -> float | None:
    """When the rate lets the next grant through, if it is the rate that holds it back; epoch seconds."""
    if pool.rate is None or pool.rate.count < 1:
        return None
    now, seconds = journal.clock.now(), pool.rate.seconds
    sql = "SELECT granted FROM slot WHERE pool = ? AND granted <= ? ORDER BY granted DESC LIMIT 1 OFFSET ?"
    row = journal.db.execute(sql, (name, now + seconds, pool.rate.count - 1)).fetchone()
    opens = row["granted"] + seconds if row else now
    return opens if opens > now else None


def next_in_line(journal: Journal, name: str, pool: Pool, shut: frozenset[str]) -> list[sqlite3.Row]:
    """The waiting tasks to grant now, by priority, then age. Lanes in `shut` are passed over."""
    free = room(journal, name, pool)
    if free == 0:
        return []
    keys = journal.db.execute(_KEYS, (name,)).fetchall()
    sql = (
        "SELECT id, need_key, priority, created FROM task WHERE need_pool = ? AND need_key = ? "
        "AND lane NOT IN (SELECT value FROM json_each(?)) ORDER BY priority DESC, created, id LIMIT ?"
    )
    lines = [
        journal.db.execute(sql, (name, key, json.dumps(sorted(shut)), min(free, here))).fetchall()
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


def held(journal: Journal, task: str) -> set[tuple[str, str] | None]:
    """(pool, key) of each slot that the task holds."""
    rows = journal.db.execute("SELECT pool, key FROM slot WHERE task = ? AND released IS NULL", (task,))
    return {(row["pool"], row["key"]) for row in rows}
