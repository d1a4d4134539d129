"""Retention: what ended long ago leaves the journal; its events go to an archive that continues the chain."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

from overnight.durable.journal import Journal, read_events


def sweep(journal: Journal, keep_s: float, archive: Path) -> list[str]:
    """Forget tasks that ended more than keep_s ago, archive the events of that time; the tasks' ids.

    A task that another, unended task waits for is kept. The archive is written and flushed before anything is
    deleted, and named by its events, so an interruption in between only writes it again.
    """
    before = journal.clock.now() - keep_s
    old = "SELECT id FROM task WHERE state = 'done' AND updated < ? AND 'task ' || id NOT IN (SELECT wait_for FROM task WHERE wait_for IS NOT NULL)"
    gone = [row["id"] for row in journal.db.execute(old, (before,))]
    last = _last_to_archive(journal, before)
    if last is not None:
        _write_archive(journal, last[0], archive)
    if gone or last is not None:
        with journal.tx("retention"):
            journal.db.executemany("DELETE FROM task WHERE id = ?", [(task,) for task in gone])
            journal.db.execute("DELETE FROM slot WHERE released < ?", (before,))
            if last is not None:
                journal.db.execute("DELETE FROM event WHERE seq <= ?", (last[0],))
                journal.put("journal", "anchor", json.dumps(last))
            journal.tell("journal.swept", why=f"{len(gone)} tasks", through=last[0] if last else None)
    return gone


def _last_to_archive(journal: Journal, before: float) -> tuple[int, str] | None:
    """(sequence number, digest) of the last event older than `before` whose predecessors are all older too."""
    young = journal.db.execute("SELECT min(seq) AS seq FROM event WHERE at >= ?", (before,)).fetchone()["seq"]
    sql, args = (
        ("SELECT seq, digest FROM event WHERE seq < ?", (young,)) if young else ("SELECT seq, digest FROM event", ())
    )
    row = journal.db.execute(f"{sql} ORDER BY seq DESC LIMIT 1", args).fetchone()
    return (row["seq"], row["digest"]) if row else None


def _write_archive(journal: Journal, last: int, archive: Path) -> None:
    archive.mkdir(parents=True, exist_ok=True)
    first = journal.anchor()[0] + 1
    path = archive / f"events-{first:012d}-{last:012d}.ndjson.gz"
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as out:
            for event in read_events(journal.db):
                if event.seq > last:
                    break
                row = [event.seq, event.at, event.task, event.actor, event.what, event.why, event.data, event.digest]
                out.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
