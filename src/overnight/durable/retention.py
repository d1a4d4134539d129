"""Retention: what ended long ago leaves the journal; its events go to an archive that continues the chain."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

from overnight.durable.chain import Event
from overnight.durable.journal import ANCHOR, Journal, read_events

#: Events and tasks that leave in one step: nobody waits long for the writer meanwhile, and its log stays small.
EVENTS, TASKS = 20_000, 500


def sweep(journal: Journal, keep_s: float, archive: Path) -> list[str]:
    """All of `sweeps` at once."""
    return [task for gone in sweeps(journal, keep_s, archive) for task in gone]


def sweeps(
    journal: Journal, keep_s: float, archive: Path, events: int = EVENTS, tasks: int = TASKS
) -> Iterator[list[str]]:
    """Forget tasks that ended more than keep_s ago, archive the events of that time; the tasks' ids, step by step.

    A task that another, unended task waits for is kept. The archive is written and flushed before anything is
    deleted; what an interruption in between left of it is replaced by the next sweep.
    """
    before = journal.clock.now() - keep_s
    old = (
        "SELECT id FROM task WHERE state = 'done' AND updated < ? "
        "AND 'task ' || id NOT IN (SELECT wait_for FROM task WHERE wait_for IS NOT NULL) LIMIT ?"
    )
    while True:
        gone = [row["id"] for row in journal.db.execute(old, (before, tasks))]
        last = _last_to_archive(journal, before, events)
        if not gone and last is None:
            return
        if last is not None:
            _write_archive(journal, last[0], archive)
        with journal.tx("retention"):
            journal.db.executemany("DELETE FROM task WHERE id = ?", [(task,) for task in gone])
            journal.db.execute("DELETE FROM slot WHERE released < ?", (before,))
            if last is not None:
                journal.db.execute("DELETE FROM event WHERE seq <= ?", (last[0],))
                journal.put(*ANCHOR, json.dumps(last))
            journal.tell("journal.swept", why=f"{len(gone)} tasks", through=last[0] if last else None)
        yield gone


def _last_to_archive(journal: Journal, before: float, most: int) -> tuple[int, str] | None:
    """(sequence number, digest) of the last of so many events that are older than `before`, as all before them are."""
    last = None
    for row in journal.db.execute("SELECT seq, at, digest FROM event ORDER BY seq LIMIT ?", (most,)):
        if row["at"] >= before:
            break
        last = row["seq"], row["digest"]
    return last


def _write_archive(journal: Journal, last: int, archive: Path) -> None:
    archive.mkdir(parents=True, exist_ok=True, mode=0o700)
    first = journal.anchor()[0] + 1
    path = archive / f"events-{first:012d}-{last:012d}.ndjson.gz"
    part = archive / "events.part"
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
    for unfinished in archive.glob(f"events-{first:012d}-*.ndjson.gz"):  # of a sweep that was cut off
        if unfinished != path:
            unfinished.unlink()
    folder = os.open(archive, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the new name must outlive a power cut: the events leave the journal next
    finally:
        os.close(folder)


def read_archive(archive: Path, through: int) -> Iterator[Event]:
    """Archived events in order, through the journal's anchor: what lies beyond is still in the journal."""
    for path in sorted(archive.glob("events-*.ndjson.gz")):
        if int(path.name.split("-")[1]) > through:
            return
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield Event(*json.loads(line))
