"""Pauses are files: made and removed by anybody, at any time, and heeded by whoever comes."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from overnight.durable import pauses
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine, follow_pauses
from overnight.durable.flow import Finish, Story
from overnight.durable.journal import Journal


async def _step() -> int:
    return 1


async def story(t: Story) -> Finish:
    await t.step("one", _step)
    return Finish("landed", "", None)


def told(journal: Journal) -> list[tuple[str, str]]:
    rows = journal.db.execute("SELECT what, why FROM event WHERE what LIKE 'pause.%' ORDER BY seq").fetchall()
    return [(row["what"], row["why"]) for row in rows]


def test_where_the_files_are(tmp_path: Path) -> None:
    """One for everything, one for each repo and loop; no name leads out of its folder."""
    assert pauses.place(tmp_path) == tmp_path / "PAUSED"
    assert pauses.place(tmp_path, "shop") == tmp_path / "repos" / "shop" / "PAUSED"
    assert pauses.place(tmp_path, "nightly", pauses.LOOPS) == tmp_path / "loops" / "nightly" / "PAUSED"
    for odd in ("..", ".", "../x", "a/b", "/etc"):
        found = pauses.place(tmp_path, odd)
        assert found.parent.parent == tmp_path / "repos"
        pauses.pause(tmp_path, odd, by="x", drain=True)
    assert {each.lane for each in pauses.read(tmp_path)} == {"..", ".", "../x", "a/b", "/etc"}


def test_a_pause_comes_and_goes(tmp_path: Path) -> None:
    """Who and how is in the file; resuming twice is harmless."""
    assert pauses.read(tmp_path) == ()
    assert pauses.scope(tmp_path, "shop") is None
    pauses.pause(tmp_path, "shop", by="ada", drain=True)
    (one,) = pauses.read(tmp_path)
    assert (one.lane, one.by, one.drain) == ("shop", "ada", True)
    assert (pauses.scope(tmp_path, "shop"), pauses.scope(tmp_path, "bank")) == ("pause-lane", None)
    pauses.pause(tmp_path, by="ada", drain=True)
    assert pauses.scope(tmp_path, "bank") == "pause-all"
    assert [pauses.resume(tmp_path, "shop"), pauses.resume(tmp_path, "shop")] == [True, False]
    assert pauses.resume(tmp_path)
    assert pauses.read(tmp_path) == ()


def test_what_ends_runs(tmp_path: Path) -> None:
    """A file made by hand and a stop do, a gentle pause does not; a gentle one never weakens a stop."""
    assert pauses.ends(tmp_path, "shop") is None
    pauses.pause(tmp_path, by="ada", drain=True)
    assert pauses.ends(tmp_path, "shop") is None
    pauses.pause(tmp_path, by="bob", drain=False)
    pauses.pause(tmp_path, by="ada", drain=True)
    assert "paused by bob" in (pauses.ends(tmp_path, "shop") or "")
    pauses.resume(tmp_path)
    for path in (pauses.place(tmp_path, "shop"), pauses.place(tmp_path, "nightly", pauses.LOOPS)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert str(path) in (pauses.ends(tmp_path, "shop", "nightly") or "")
        assert pauses.ends(tmp_path, "bank", "hourly") is None
        path.unlink()


@pytest.mark.parametrize("kind", ["folder", "dangling link", "pipe", "binary"])
def test_whatever_has_the_name_pauses(tmp_path: Path, kind: str) -> None:
    """It need not be a readable file; looking at it never waits."""
    path = pauses.place(tmp_path)
    match kind:
        case "folder":
            path.mkdir()
        case "dangling link":
            path.symlink_to(tmp_path / "nowhere")
        case "pipe":
            os.mkfifo(path)
        case _:
            path.write_bytes(b"\xff\x00\xfe" * 9000)
    assert pauses.scope(tmp_path, "") == "pause-all"
    assert pauses.ends(tmp_path, "shop") is not None
    assert [each.drain for each in pauses.read(tmp_path)] == [False]


def test_changes_by_hand_are_put_on_record_once(tmp_path: Path) -> None:
    """When they are seen, also when nobody lived as they were made."""
    pauses.place(tmp_path).touch()
    with_journal = Journal(tmp_path)
    try:
        follow_pauses(with_journal)
        follow_pauses(with_journal)
        pauses.resume(tmp_path)
        follow_pauses(with_journal)
        assert [kind for kind, _ in told(with_journal)] == ["pause.on", "pause.off"]
    finally:
        with_journal.close()


def test_pauses_of_older_journals_become_files(tmp_path: Path) -> None:
    """An update takes no pause back."""
    journal = Journal(tmp_path)
    try:
        journal.put("pause", "shop", json.dumps("ada"))
        follow_pauses(journal)
        (one,) = pauses.read(tmp_path)
        assert (one.lane, one.by, one.drain) == ("shop", "ada", True)
        assert told(journal) == []
    finally:
        journal.close()


def test_a_parked_task_goes_on_when_its_file_went_while_nobody_lived(tmp_path: Path) -> None:
    """Paused by hand, seen by one daemon; taken back by hand, seen by the next."""

    async def drive(journal: Journal) -> None:
        engine = Engine(journal, {"task": story})
        run = asyncio.create_task(engine.run())
        await engine.idle()
        engine.close()
        await run

    def state(journal: Journal) -> tuple[str, str | None]:
        row = journal.db.execute("SELECT state, wait_for FROM task WHERE id = 't1'").fetchone()
        return row["state"], row["wait_for"]

    pauses.place(tmp_path, "shop").parent.mkdir(parents=True)
    pauses.place(tmp_path, "shop").touch()
    journal = Journal(tmp_path)
    Desk(journal).do_submit(actor="t", id="t1", flow="task", lane="shop", input=None, phase="queued")
    asyncio.run(drive(journal))
    assert state(journal) == ("waiting", "pause-lane")
    journal.close()
    pauses.place(tmp_path, "shop").unlink()
    journal = Journal(tmp_path)
    asyncio.run(drive(journal))
    assert state(journal)[0] == "done"
    journal.close()
