"""The journal: one writer, one chain, nothing half-written."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab import FAST, Lab
from msgspec import structs

from overnight.durable.chain import GENESIS, Break, Event, digest, verify
from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.flow import Finish, Story
from overnight.durable.journal import (
    Journal,
    connect,
    migrations,
    network_kind,
    printable,
    read_events,
    verify_journal,
)
from overnight.errors import (
    AlreadyRunning,
    BadInput,
    JournalBroken,
    JournalNewer,
    StateNotWritable,
)

ORDINARY_UID = 1500


@contextmanager
def opened(home: Path, **more: Any) -> Generator[Journal]:
    journal = Journal(home, **more)
    try:
        yield journal
    finally:
        journal.close()


def fill(home: Path, count: int = 5) -> None:
    with opened(home, clock=ManualClock()) as journal:
        for n in range(count):
            journal.tell("count", why=str(n))


# -- settings and schema ------------------------------------------------------------------------------------


def test_sqlite_says_that_commits_survive_a_power_cut(home: Path) -> None:
    """Write-ahead log, synchronous=FULL and foreign keys are what the open database itself reports."""
    with opened(home) as journal:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        assert [journal.db.execute(f"PRAGMA {name}").fetchone()[0] for name in asked] == ["wal", 2, 1]
        strict = journal.db.execute(
            "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        )
        assert {row["name"] for row in strict if not row["strict"]} == {"sqlite_schema"}


def test_the_files_are_the_owners_alone(home: Path) -> None:
    """Folder, database, log and lock are closed to other users whatever the umask."""
    old = os.umask(0)
    try:
        with opened(home) as journal:
            journal.tell("x")
            modes = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}
    finally:
        os.umask(old)
    assert home.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}, modes


def test_the_schema_comes_from_the_migrations(home: Path) -> None:
    """Numbered without gaps; opening again applies none of them twice."""
    numbers = [version for version, _ in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
    schemas: list[list[tuple[Any, ...]]] = []
    for _ in range(2):
        with opened(home) as journal:
            assert journal.db.execute("PRAGMA user_version").fetchone()[0] == numbers[-1]
            rows = journal.db.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
            schemas.append([tuple(row) for row in rows])
    assert schemas[0] == schemas[1]


def test_a_newer_journal_is_refused_and_left_alone(home: Path) -> None:
    """An older Overnight does not write into a schema it does not know."""
    fill(home)
    with closing(sqlite3.connect(home / "journal.db")) as db:
        db.execute("PRAGMA user_version = 99")
    before = (home / "journal.db").read_bytes()
    with pytest.raises(JournalNewer, match="schema 99"):
        Journal(home)
    assert (home / "journal.db").read_bytes() == before


def test_a_file_that_is_no_journal_is_refused(home: Path) -> None:
    """Something else in its place is named, not overwritten; the lock is let go."""
    home.mkdir()
    (home / "journal.db").write_bytes(b"my holiday pictures" * 100)
    for _ in range(2):
        with pytest.raises(JournalBroken, match="not a database"):
            Journal(home)
    assert (home / "journal.db").read_bytes() == b"my holiday pictures" * 100
    with pytest.raises(JournalBroken):
        verify_journal(home / "journal.db")


# -- where it may lie, who may write -------------------------------------------------------------------------


def test_there_is_one_writer(home: Path) -> None:
    """A second one, in this or another process, is told who the first is, and gets in once that is gone."""
    code = "import sys; from pathlib import Path; from overnight.durable.journal import Journal; Journal(Path(sys.argv[1]))"
    with opened(home):
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
            Journal(home)
        other = subprocess.run([sys.executable, "-c", code, home], capture_output=True, text=True, check=False)
        assert f"AlreadyRunning: Another Overnight (process {os.getpid()})" in other.stderr
    other = subprocess.run([sys.executable, "-c", code, home], capture_output=True, text=True, check=False)
    assert (other.returncode, other.stderr) == (0, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_state_folder_that_cannot_be_written_is_named(home: Path, mode: int) -> None:
    """An ordinary user gets a clear error with the folder and what to do, and no traceback of SQLite's."""
    fill(home)
    home.parent.chmod(0o755)
    for path in (home, *home.iterdir()):
        os.chown(path, ORDINARY_UID, ORDINARY_UID)
    home.chmod(mode)
    code = (
        "import os, sys, psutil; from pathlib import Path; from overnight.durable.journal import Journal\n"
        f"os.setgid({ORDINARY_UID}); os.setuid({ORDINARY_UID})\n"
        "from overnight.errors import StateNotWritable\n"
        "for name in sys.argv[1:]:\n"
        "    try: Journal(Path(name)).close(); print('opened')\n"
        "    except StateNotWritable as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, home, home / "deeper"], capture_output=True, text=True, check=False
    )
    assert run.stderr == ""
    first, deeper = run.stdout.splitlines()
    assert f"The state folder {home}/deeper can't be written: Permission denied" in deeper
    assert (f"The state folder {home} can't be written" in first) or (mode and "opened" in first)


def test_a_file_in_the_way_of_the_state_folder_is_named(home: Path) -> None:
    """A state folder that is a file is a clear error."""
    home.write_text("")
    with pytest.raises(StateNotWritable, match="File exists"):
        Journal(home)


@pytest.mark.parametrize(
    ("path", "mounts", "kind"),
    [
        ("/home/u/state", [("/", "ext4")], None),
        ("/home/u/state", [("/", "ext4"), ("/home", "nfs4")], "nfs4"),
        ("/home/u/state", [("/", "nfs"), ("/home/u", "btrfs")], None),
        ("/home/u/state", [("/home/u/state", "CIFS")], "cifs"),
        ("/home/user2", [("/", "ext4"), ("/home/u", "nfs")], None),
        ("/mnt/a", [("/mnt/a", "ext4"), ("/mnt/a", "fuse.sshfs")], "fuse.sshfs"),
        ("/mnt/a", [("/mnt/a", "nfs"), ("/mnt/a", "xfs")], None),
        ("/", [("/", "9p")], "9p"),
        ("/state", [("/", "overlay")], None),
        ("/state", [("/", "fuse.fuse-overlayfs")], None),
        ("/state", [], None),
    ],
)
def test_network_file_systems_are_told_by_the_mount_that_counts(
    path: str, mounts: list[tuple[str, str]], kind: str | None
) -> None:
    """The deepest mount above the folder decides, and of two at one place the later one."""
    assert network_kind(path, mounts) == kind


# -- transactions -------------------------------------------------------------------------------------------


def nothing_goes() -> None:
    raise ZeroDivisionError


def test_a_transaction_that_fails_leaves_nothing(home: Path) -> None:
    """Rows, events and the chain in memory are as before, and the next event continues the chain."""
    with opened(home) as journal:
        journal.tell("one")
        with suppress(ZeroDivisionError), journal.tx("bad"):
            journal.put("kind", "key", "1")
            journal.tell("two")
            nothing_goes()
        assert journal.get("kind", "key") is None
        journal.tell("three")
        assert [event.what for event in read_events(journal.db)] == ["one", "three"]
    assert verify_journal(home / "journal.db") == 2


def test_a_nested_transaction_joins_the_outer(home: Path) -> None:
    """It is committed with it, once, or not at all."""
    seen: list[tuple[str, str]] = []

    def observe(moment: str, label: str) -> None:
        seen.append((moment, label))

    with opened(home, observer=observe) as journal:
        with journal.tx("outer"):
            journal.tell("a")
            with journal.tx("inner"):
                journal.put("kind", "key", "1")
        assert seen == [("before", "outer"), ("after", "outer")]


def test_events_cannot_be_changed(home: Path) -> None:
    """The file itself refuses an update of an event."""
    with opened(home) as journal:
        journal.tell("one")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            journal.db.execute("UPDATE event SET why = 'otherwise'")


def test_text_that_is_no_utf_8_is_written_out(home: Path) -> None:
    """A reason with the bytes of an odd file name is kept readable, and its event fits its digest."""
    with opened(home) as journal:
        journal.tell("odd", why="caf\udce9", name="caf\udce9", big=2**70, nul="\0")
        assert [event.why for event in read_events(journal.db)] == ["caf\\udce9"]
    assert verify_journal(home / "journal.db") == 1
    assert printable("plain ✓") == "plain ✓"


def no_more_pages(journal: Journal) -> Callable[[], None]:
    """The file may not grow, as on a full disk."""
    pages = journal.db.execute("PRAGMA page_count").fetchone()[0]
    journal.db.execute(f"PRAGMA max_page_count = {pages}")
    return lambda: journal.db.execute("PRAGMA max_page_count = 1000000").close()


def no_more_writes(journal: Journal) -> Callable[[], None]:
    """The kernel refuses to write, as on a broken disk."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, usual[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize("break_disk", [no_more_pages, no_more_writes])
def test_a_disk_that_fails_loses_and_doubles_nothing(
    home: Path, break_disk: Callable[[Journal], Callable[[], None]]
) -> None:
    """The step that could not be recorded ends the engine with the error, and its flow never takes another way
    because of it; a new engine on the same journal goes on, and the chain is whole."""
    mend: list[Callable[[], None]] = []

    async def main() -> None:
        async def big() -> str:
            lab.world.begun["big"] += 1
            if lab.world.begun["big"] == 1:
                mend.append(break_disk(lab.journal))
            return "x" * 100_000

        async def story(t: Story) -> Finish:
            try:
                with t.slot("work", "repo"):
                    await t.step("one", lab.world.act, f"{t.id}/1/one")
                    await t.step("big", big)
            except Exception:
                await t.step("other way", lab.world.act, "other way")
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        lab.journal = Journal(home, clock=lab.clock)
        lab.engine = Engine(lab.journal, lab.flows, lab.pools)
        lab.desk = Desk(lab.journal, lab.engine.poke)
        lab.submit("t1")
        with pytest.raises(sqlite3.OperationalError, match=r"full|I/O"):
            await lab.engine.run()
        with pytest.raises(StateNotWritable, match=r"full|I/O"):
            lab.submit("t2", "x" * 100_000)
        mend.pop()()
        assert [row["id"] for row in lab.tasks()] == ["t1"]
        lab.engine = Engine(lab.journal, lab.flows, lab.pools)
        assert lab.submit("t2") is True
        lab.driver = asyncio.create_task(lab.engine.run())
        await lab.settle()
        lab.engine.close()
        await lab.driver
        assert [row["phase"] for row in lab.tasks()] == ["landed", "landed"]
        assert (lab.held(), lab.world.begun["t1/1/one"], "other way" in lab.world.begun) == (0, 1, False)
        lab.journal.close()
        assert verify_journal(home / "journal.db") > 0

    try:
        asyncio.run(main())
    finally:
        for undo in mend:
            undo()


# -- the chain ----------------------------------------------------------------------------------------------

TAMPERINGS: dict[str, tuple[str, int]] = {
    "changed reason": ("UPDATE event SET why = 'otherwise' WHERE seq = 3", 3),
    "changed time": ("UPDATE event SET at = at + 0.001 WHERE seq = 3", 3),
    "changed task": ("UPDATE event SET task = 'other' WHERE seq = 3", 3),
    "changed actor": ("UPDATE event SET actor = 'nobody' WHERE seq = 3", 3),
    "changed data": ("UPDATE event SET data = '{}' || ' ' WHERE seq = 3", 3),
    "changed digest": ("UPDATE event SET digest = replace(digest, 'a', 'b') || '' WHERE seq = 3", 3),
    "missing in the middle": ("DELETE FROM event WHERE seq = 3", 3),
    "missing at the start": ("DELETE FROM event WHERE seq = 1", 1),
    "missing at the end": ("DELETE FROM event WHERE seq = 5", 5),
    "all missing": ("DELETE FROM event", 1),
    "reordered": ("UPDATE event SET seq = CASE seq WHEN 2 THEN -3 ELSE -2 END WHERE seq IN (2, 3)", 2),
    "another one at the end": (
        "INSERT INTO event SELECT 6, at, task, actor, what, why, data, digest FROM event WHERE seq = 5",
        6,
    ),
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_tampering_is_found(home: Path, how: str) -> None:
    """An event that was changed, removed, added or moved by hand breaks the chain where it happened."""
    sql, where = TAMPERINGS[how]
    fill(home)
    assert verify_journal(home / "journal.db") == 5
    with closing(sqlite3.connect(home / "journal.db", isolation_level=None)) as db:
        db.execute("DROP TRIGGER event_no_update")
        db.execute(sql)
        db.execute("UPDATE event SET seq = -seq WHERE seq < 0")
    with pytest.raises(JournalBroken) as caught:
        verify_journal(home / "journal.db")
    assert caught.value.fields["seq"] == where


def test_a_journal_that_lost_its_end_is_not_written_on(home: Path) -> None:
    """Going on would hide for good that events are missing."""
    fill(home)
    with closing(sqlite3.connect(home / "journal.db", isolation_level=None)) as db:
        db.execute("DELETE FROM event WHERE seq > 3")
    with pytest.raises(JournalBroken, match="event 3 is the last one left"):
        Journal(home)


def test_a_journal_that_is_not_there_is_said_so(home: Path) -> None:
    """Verifying nothing is an error that says what to do, and makes no file."""
    with pytest.raises(BadInput, match="no journal at"):
        verify_journal(home / "journal.db")
    assert not home.exists()


text = st.text(max_size=8)
plain_events = st.lists(st.tuples(st.floats(0, 2e9), st.none() | text, text, text, text, text), min_size=1, max_size=8)


def chained(rows: list[Any]) -> list[Event]:
    events: list[Event] = []
    before = GENESIS
    for seq, row in enumerate(rows, 1):
        before = digest(Event(seq, *row, digest=""), before)
        events.append(Event(seq, *row, digest=before))
    return events


@given(plain_events, st.data())
def test_any_change_to_a_chain_shows(rows: list[Any], data: st.DataObject) -> None:
    """Whatever field of whichever event is changed, or whichever but the last is dropped, verifying finds it."""
    events = chained(rows)
    assert verify(events) == (len(events), events[-1].digest)
    n = data.draw(st.integers(0, len(events) - 1))
    field = data.draw(st.sampled_from(("seq", "at", "task", "actor", "what", "why", "data", "digest")))
    value = data.draw({"seq": st.integers(), "at": st.floats(0, 2e9)}.get(field, text))
    changed = [*events[:n], structs.replace(events[n], **{field: value}), *events[n + 1 :]]
    if changed != events:
        assert isinstance(verify(changed), Break)
    if n < len(events) - 1:
        assert isinstance(verify(events[:n] + events[n + 1 :]), Break)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(st.booleans(), text, st.dictionaries(text, text | st.integers() | st.none(), max_size=3)), max_size=12
    )
)
def test_any_journal_verifies(steps: list[tuple[bool, str, dict[str, Any]]]) -> None:
    """Whatever is told, and whatever is rolled back in between, memory and file agree on the chain."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=FAST if FAST.is_dir() else None) as folder:
        kept = 0
        for good, why, data in steps:
            with opened(Path(folder)) as journal:
                with suppress(ZeroDivisionError), journal.tx("x"):
                    journal.tell("x", why=why, data=data)
                    if not good:
                        nothing_goes()
                journal.tell("y")
                kept += 1 + good
        if steps:
            assert verify_journal(Path(folder) / "journal.db") == kept


def test_a_reader_sees_one_moment(home: Path) -> None:
    """Verifying while the writer goes on sees a whole chain."""
    with opened(home) as journal:
        journal.tell("one")
        with closing(connect(home / "journal.db", read_only=True)) as reader:
            events = read_events(reader)
            first = next(events)
            journal.tell("two")
            assert first.what == "one"
            assert verify_journal(home / "journal.db") == 2
            events.close()  # type: ignore[attr-defined]
