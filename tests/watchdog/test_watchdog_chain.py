"""The journal's chain, checked in bites by somebody who knows nothing of it but its file."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from overnight.durable.clock import ManualClock
from overnight.durable.journal import Journal, verify_journal
from overnight.durable.retention import sweep
from overnight.watchdog.chain import AGAIN_S, Place, bite
from overnight.watchdog.look import journal_problem

NOW = 1_800_000_000.0


def write(home: Path, count: int, words: str = "x") -> None:
    """More events."""
    journal = Journal(home, clock=ManualClock(NOW))
    with journal.tx("many"):
        for n in range(count):
            journal.tell("test.event", why=f"{words} {n}")
    journal.close()


def harm(home: Path, *statements: str) -> None:
    """Change the file behind the journal's back."""
    db = sqlite3.connect(home / "journal.db")
    db.execute("DROP TRIGGER IF EXISTS event_no_update")
    for each in statements:
        db.execute(each)
    db.commit()
    db.close()


def through(home: Path, place: Place, most: int = 7, now: float = NOW) -> tuple[Place, str]:
    """Bite after bite to the end, or to the first problem."""
    while True:
        before = place
        place, problem = bite(home / "journal.db", place, lambda: now, most)
        if problem or place == before:
            return place, problem


def test_a_whole_journal_is_followed_to_its_end(tmp_path: Path) -> None:
    """Bite by bite, then what is added; none of it is read twice within a pass, and nothing is there before it is made."""
    assert bite(tmp_path / "journal.db", Place()) == (Place(), "")
    write(tmp_path, 40)
    place, problem = through(tmp_path, Place())
    assert (place.seq, problem) == (40, "")
    write(tmp_path, 5)
    again, problem = bite(tmp_path / "journal.db", place, lambda: NOW + 1, 7)
    assert (again.seq, again.since, problem) == (45, place.since, "")
    assert verify_journal(tmp_path / "journal.db") == 45


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE event SET why = 'other' WHERE seq = 20", "event 20 is not as it was written"),
        ("UPDATE event SET at = at + 1 WHERE seq = 33", "event 33 is not as it was written"),
        ("DELETE FROM event WHERE seq = 20", "event 20 is missing"),
        ("DELETE FROM event WHERE seq > 30", "is missing"),
        ("DELETE FROM event", "event 1 is missing"),
        ("UPDATE record SET value = 'x' WHERE kind = 'journal'", "it can't be read"),
    ],
)
def test_damage_is_found_wherever_it_is(tmp_path: Path, statement: str, words: str) -> None:
    """In the middle or at the end, though the file itself is sound; and it stays found."""
    write(tmp_path, 40)
    harm(tmp_path, statement)
    place, problem = through(tmp_path, Place())
    assert words in problem
    assert words in bite(tmp_path / "journal.db", place, lambda: NOW, 7).problem


def cut(home: Path) -> None:
    """As it was before the last events."""
    for file in home.glob("journal.db*"):
        file.unlink()
    write(home, 30)


def anew(home: Path) -> None:
    """Another one, longer and whole in itself."""
    for file in home.glob("journal.db*"):
        file.unlink()
    write(home, 60, "rewritten")


@pytest.mark.parametrize(("change", "words"), [(cut, "event 40 was there"), (anew, "is not the one that was there")])
def test_what_was_seen_once_must_stay(tmp_path: Path, change: Callable[[Path], None], words: str) -> None:
    """A journal that fits together and is not the one that was checked: told once, then followed as it is."""
    write(tmp_path, 40)
    place, _ = through(tmp_path, Place())
    change(tmp_path)
    place, problem = bite(tmp_path / "journal.db", place, lambda: NOW, 7)
    assert words in problem
    assert through(tmp_path, place)[1] == ""


def test_damage_behind_it_is_found_by_the_next_pass(tmp_path: Path) -> None:
    """A disk forgets what was checked long ago: all of it is gone through again after a day, not before."""
    write(tmp_path, 40)
    place, _ = through(tmp_path, Place())
    harm(tmp_path, "UPDATE event SET data = '{}  ' WHERE seq = 3")
    assert through(tmp_path, place, now=NOW + AGAIN_S - 1)[1] == ""
    assert "event 3 " in through(tmp_path, place, now=NOW + AGAIN_S)[1]


def test_what_was_archived_is_no_damage(tmp_path: Path) -> None:
    """Events that left the journal in order, before and behind the place that was reached."""
    write(tmp_path, 40)
    place, _ = through(tmp_path, Place())
    for start in (place, place._replace(seq=10, digest=""), Place()):
        journal = Journal(tmp_path, clock=ManualClock(NOW + 90 * 86400))
        sweep(journal, 86400.0, tmp_path / "archive")
        journal.close()
        assert through(tmp_path, start, now=NOW + 90 * 86400)[1] == ""


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    """Garbage in the middle of the file, behind a beginning that is sound."""
    write(tmp_path, 4000)
    path = tmp_path / "journal.db"
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    with path.open("r+b") as file:
        file.seek(60 * 4096)
        file.write(b"\xa5" * 4096 * 20)
    _, problem = through(tmp_path, Place(), most=2000)
    assert "read" in problem or "not as it was written" in problem or "missing" in problem


def test_a_checkpoint_that_a_full_disk_cut_short_is_no_damage(tmp_path: Path) -> None:
    """Its beginning is new and its end stands in the log beside it; the same file without that log is damaged."""
    path, elsewhere = tmp_path / "journal.db", tmp_path / "elsewhere"
    elsewhere.mkdir()
    Journal(tmp_path, clock=ManualClock(NOW)).close()
    big = "SELECT 'many', value, hex(zeroblob(9000)), 0 FROM json_each('[1,2,3,4]')"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(f"INSERT INTO record(kind, key, value, at) {big}")
        db.commit()
        for file in tmp_path.glob("journal.db*"):
            shutil.copy(file, elsewhere)
        with contextlib.closing(sqlite3.connect(elsewhere / path.name)) as whole:
            whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as begun:
            begun.write((elsewhere / path.name).read_bytes()[:4096])
        assert path.stat().st_size < (elsewhere / path.name).stat().st_size
        assert journal_problem(path) == ""
    short = (elsewhere / path.name).read_bytes()[: -4096 * 4]
    (elsewhere / path.name).write_bytes(short)
    assert "its beginning says" in journal_problem(elsewhere / path.name)
