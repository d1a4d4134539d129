"""Following the journal's chain a piece at a time finds what reading all of it finds."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.durable.clock import ManualClock
from overnight.durable.journal import Journal, verify_journal
from overnight.durable.retention import sweep
from overnight.errors import JournalBroken
from overnight.report.verified import Following, Verified

DAY = 86400.0


def write(home: Path, count: int, clock: ManualClock | None = None) -> None:
    """So many events more."""
    with closing(Journal(home, clock=clock or ManualClock())) as journal, journal.tx("fill"):
        for n in range(count):
            journal.tell("some.thing", why=f"event {n}")


def hurt(home: Path, seq: int, how: str) -> None:
    """As somebody would who has the file."""
    with closing(sqlite3.connect(home / "journal.db")) as db, db:
        db.execute("DROP TRIGGER event_no_update")
        if how == "changed":
            db.execute("UPDATE event SET why = why || '!' WHERE seq = ?", (seq,))
        elif how == "gone":
            db.execute("DELETE FROM event WHERE seq = ?", (seq,))
        else:
            db.execute("DELETE FROM event WHERE seq >= ?", (seq,))


def to_the_end(following: Following) -> Verified:
    """The answer, however many looks it takes."""
    while (found := following.look(0.0)).state == "going":
        assert found.events <= found.of
    return found


@settings(max_examples=40, deadline=None)
@given(first=st.integers(1, 12), more=st.integers(0, 12), piece=st.integers(1, 5), place=st.integers(1, 24),
       how=st.sampled_from(["nothing", "changed", "gone", "cut"]))  # fmt: skip
def test_pieces_find_what_the_whole_finds(
    tmp_path_factory: Any, first: int, more: int, piece: int, place: int, how: str
) -> None:
    """Over a journal that grows meanwhile and is then tampered with: a new follower, and reading all of it, agree."""
    home = tmp_path_factory.mktemp("state")
    write(home, first)
    known = Following(home, at_once=piece)
    assert to_the_end(known) == Verified(state="whole", events=first, of=first, since=known.look(0.0).since)
    write(home, more)
    assert to_the_end(known).events == first + more
    if how != "nothing" and place <= first + more:
        hurt(home, place, how)
    try:
        whole = ("whole", verify_journal(home / "journal.db"), "")
    except JournalBroken as error:
        whole = ("broken", -1, str(error))
    found = to_the_end(Following(home, at_once=piece))
    assert found.state == whole[0]
    if found.state == "whole":
        assert found.events == whole[1]
    else:
        assert found.words.removeprefix("event ").partition(":")[0] in whole[2]


def test_what_was_followed_is_not_followed_again_until_the_day_is_over(tmp_path: Path) -> None:
    """A change behind the place that was reached is found a day later at the latest, by the same follower."""
    clock = ManualClock()
    write(tmp_path, 10)
    following = Following(tmp_path, clock.now, at_once=3)
    assert to_the_end(following).state == "whole"
    hurt(tmp_path, 2, "changed")
    assert to_the_end(following).state == "whole"
    clock.advance(DAY)
    assert to_the_end(following).words == "event 2: its content does not fit its digest"


def test_a_restored_journal_is_whole_again(tmp_path: Path) -> None:
    """What was broken is looked at again in every look; another journal in its place is followed from its beginning."""
    write(tmp_path, 10)
    shutil.copy(tmp_path / "journal.db", tmp_path / "backup")
    hurt(tmp_path, 5, "changed")
    following = Following(tmp_path, at_once=2)
    assert to_the_end(following).state == "broken"
    assert to_the_end(following).state == "broken"
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup", tmp_path / "journal.db")
    assert to_the_end(following).state == "whole"


def test_what_left_for_the_archive_is_no_gap(tmp_path: Path) -> None:
    """Swept away behind the follower, or under it: it goes on at what is kept, and the count is of that."""
    for reached in (2, 50):
        home, clock = tmp_path / str(reached), ManualClock()
        write(home, 20, clock)
        following = Following(home, at_once=reached)
        following.look(0.0)
        clock.advance(10 * DAY)
        write(home, 5, clock)
        with closing(Journal(home, clock=clock)) as journal:
            sweep(journal, DAY, home / "archive")
        found = to_the_end(following)
        assert (found.state, found.events, found.of) == ("whole", 6, 6)


def test_no_journal_is_no_chain(tmp_path: Path) -> None:
    """There is none yet; then there is one."""
    following = Following(tmp_path)
    assert following.look(0.0).state == "none"
    write(tmp_path, 1)
    assert following.look(0.0).state == "whole"
