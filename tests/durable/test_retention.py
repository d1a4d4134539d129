"""Retention: the journal stays small, the chain stays whole."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from lab import Killed, Killer

from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal, read_events, verify_journal
from overnight.durable.retention import read_archive, sweep, sweeps
from overnight.errors import JournalBroken

DAY = 86400.0


def fill(journal: Journal, names: str, state: str = "done") -> None:
    desk = Desk(journal)
    for name in names:
        desk.call("submit", {"actor": "a", "id": name, "flow": "f", "lane": "r", "input": None, "phase": "queued"})
        desk.call("signal", {"actor": "a", "task": name, "name": "x", "payload": None})
        journal.db.execute("UPDATE task SET state = ?, phase = 'landed' WHERE id = ?", (state, name))


def whole(home: Path) -> int:
    """Archive and journal as one chain."""
    return verify_journal(home / "journal.db", partial(read_archive, home / "archive"))


def test_what_ended_long_ago_leaves_and_the_chain_goes_on(home: Path) -> None:
    """Old tasks go with their steps and signals, newer and unended ones stay; archived and kept events are one chain."""
    clock = ManualClock()
    journal = Journal(home, clock=clock)
    try:
        for round, (old, open_, new) in enumerate((("ab", "c", "d"), ("ef", "g", "h"))):  # noqa: A001
            fill(journal, old)
            fill(journal, open_, "waiting")
            clock.advance(10 * DAY)
            fill(journal, new)
            gone = sweep(journal, 5 * DAY, home / "archive")
            assert gone == ([*old] if round == 0 else ["d", *old])
            left = {row["id"] for row in journal.db.execute("SELECT id FROM task")}
            assert left == ({"c", "d"} if round == 0 else {"c", "g", "h"})
            assert {row["task"] for row in journal.db.execute("SELECT task FROM signal")} == left
            assert sweep(journal, 5 * DAY, home / "archive") == []
        total = journal.db.execute("SELECT max(seq) FROM event").fetchone()[0]
        kept = journal.db.execute("SELECT count(*) FROM event").fetchone()[0]
    finally:
        journal.close()
    assert kept < total
    assert (verify_journal(home / "journal.db"), whole(home)) == (kept, total)
    assert len(list((home / "archive").iterdir())) == 2


def test_a_long_past_leaves_in_steps(home: Path) -> None:
    """However little goes at a time: the same tasks go as at once, nothing stays behind, and it is one chain throughout."""
    clock = ManualClock()
    journal = Journal(home, clock=clock)
    try:
        fill(journal, "abcdefg")
        clock.advance(10 * DAY)
        fill(journal, "h")
        gone = list[str]()
        for step in sweeps(journal, DAY, home / "archive", events=3, tasks=2):
            gone += step
            assert whole(home) > 0
        assert sorted(gone) == [*"abcdefg"]
        at = journal.clock.now() - DAY
        assert journal.db.execute("SELECT count(*) FROM event WHERE at < ?", (at,)).fetchone()[0] == 0
        assert len(list((home / "archive").iterdir())) == -(-14 // 3)
    finally:
        journal.close()


def test_a_task_that_others_wait_for_is_kept(home: Path) -> None:
    """However long ago it ended."""
    clock = ManualClock()
    journal = Journal(home, clock=clock)
    try:
        fill(journal, "a")
        fill(journal, "b", "waiting")
        journal.db.execute("UPDATE task SET wait_for = 'task a' WHERE id = 'b'")
        clock.advance(10 * DAY)
        assert sweep(journal, DAY, home / "archive") == []
    finally:
        journal.close()


@pytest.mark.parametrize("moment", [0, 1], ids=["before the commit", "after the commit"])
def test_an_interruption_between_archive_and_delete_is_harmless(home: Path, moment: int) -> None:
    """Killed there, and swept again later when more is due: every event is archived once and the chain is whole."""
    clock = ManualClock()
    journal = Journal(home, clock=clock)
    fill(journal, "ab")
    clock.advance(10 * DAY)
    fill(journal, "c")
    journal.close()
    journal = Journal(home, clock=clock, observer=Killer(after=moment))
    with suppress(Killed):
        sweep(journal, 5 * DAY, home / "archive")
        raise AssertionError("it was to be killed")
    journal.close()
    assert whole(home) > 0
    clock.advance(10 * DAY)
    journal = Journal(home, clock=clock)
    try:
        sweep(journal, 5 * DAY, home / "archive")
        total = journal.db.execute("SELECT max(seq) FROM event").fetchone()[0]
        kept = [event.seq for event in read_events(journal.db)]
    finally:
        journal.close()
    assert whole(home) == total
    lines = [line for path in (home / "archive").iterdir() for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert sorted([json.loads(line)[0] for line in lines] + kept) == list(range(1, total + 1))


def test_tampering_with_the_archive_is_found(home: Path) -> None:
    """A changed, cut or missing archive does not fit the journal's chain."""
    clock = ManualClock()
    journal = Journal(home, clock=clock)
    fill(journal, "ab")
    clock.advance(10 * DAY)
    sweep(journal, DAY, home / "archive")
    journal.close()
    (path,) = (home / "archive").iterdir()
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    for tampered in (
        [*lines[:1], lines[1].replace(b"cli", b"CLI").replace(b'"a"', b'"b"'), *lines[2:]],
        lines[:-1],
        lines[1:],
        [],
    ):
        assert tampered != lines
        path.write_bytes(gzip.compress(b"".join(tampered)))
        with pytest.raises(JournalBroken):
            whole(home)
    assert verify_journal(home / "journal.db") == 1


def test_an_empty_journal_is_swept_quietly(home: Path) -> None:
    """Nothing due: no archive, no event."""
    journal = Journal(home, clock=ManualClock())
    try:
        assert sweep(journal, DAY, home / "archive") == []
        assert journal.db.execute("SELECT count(*) FROM event").fetchone()[0] == 0
        assert not (home / "archive").exists()
    finally:
        journal.close()
