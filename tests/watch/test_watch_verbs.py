"""Every verb by its keys, against a real daemon: what is asked before, and what the journal says afterwards."""

from __future__ import annotations

import asyncio

import pytest
from textual.pilot import Pilot
from watch_lab import Lab, happens, sees, shown, until

from overnight.watch.app import Watching
from overnight.watch.ask import Confirm, Help, Write
from overnight.watch.now import NowScreen
from overnight.watch.rows import Board

pytestmark = pytest.mark.slow


async def on(pilot: Pilot[None], app: Watching, name: str, action: str = "") -> None:
    """The cursor stands on a task, where it may be done: a task that moves to another list leaves the cursor behind."""
    screen = app.screen
    assert isinstance(screen, NowScreen)

    def found() -> bool:
        board = screen.query_one(Board)
        for stop in range(board.stops()):
            board.cursor = stop
            row = board.row()
            if row is not None and row.id == name:
                return not action or screen.check_action(action, ()) is True
        return False

    await until(pilot, found)


async def asked(pilot: Pilot[None], app: Watching, key: str, kind: type[Confirm | Write]) -> str:
    """Press a key; what is asked then."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, kind) and app.screen.is_mounted)
    await pilot.pause()
    return shown(app)


def test_a_result_is_approved_by_a_ticket_for_exactly_the_commit_that_was_shown(lab: Lab) -> None:
    """What is asked names task and whole commit; enter leaves it, `y` does it, and the record has a ticket redeemed."""
    lab.held("good1", "needs-approval")
    commit = lab.rows("SELECT json_extract(output, '$.commit') AS it FROM step WHERE task = 'good1' AND name = 'examine 1'")[0]["it"]  # fmt: skip

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await on(pilot, app, "good1")
            words = await asked(pilot, app, "a", Confirm)
            assert "good1" in words
            assert commit in words
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, NowScreen))
            assert lab.row("good1")["reason"] == "needs-approval"
            await asked(pilot, app, "a", Confirm)
            await pilot.press("y")
            await until(pilot, lambda: lab.row("good1")["phase"] == "landed")
            await sees(pilot, "✓ landed")

    asyncio.run(play())
    told = [row["what"] for row in lab.rows("SELECT what FROM event WHERE task = 'good1' AND what LIKE 'approval.%'")]
    assert told == ["approval.issued", "approval.taken"]


@pytest.mark.parametrize("key", ["a", "x", "c", "p"])
def test_a_key_that_is_held_down_asks_once(lab: Lab, key: str) -> None:
    """However often it comes before its question is there; after the answer it asks anew."""
    lab.held(f"good-{key}", "needs-approval")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await on(pilot, app, f"good-{key}")
            for _ in range(2):
                for _ in range(3):
                    app.simulate_key(key)
                await until(pilot, lambda: isinstance(app.screen, Confirm | Write) and app.screen.is_mounted)
                await pilot.pause()
                assert sum(isinstance(each, Confirm | Write) for each in app.screen_stack) == 1
                await pilot.press("escape")
                await until(pilot, lambda: isinstance(app.screen, NowScreen))

    asyncio.run(play())


def test_a_result_is_rejected_with_a_reason(lab: Lab) -> None:
    """The words are kept with the task, which ends; escape leaves everything as it is, and enter without words does."""
    lab.held("good2", "needs-approval")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await on(pilot, app, "good2")
            await asked(pilot, app, "x", Write)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, NowScreen))
            await asked(pilot, app, "x", Write)
            await pilot.press("enter")
            assert isinstance(app.screen, Write)
            await pilot.press(*"not like this", "enter")
            await until(pilot, lambda: lab.row("good2")["phase"] == "rejected")

    asyncio.run(play())
    assert "not like this" in lab.row("good2")["output"]


def test_a_question_is_answered_and_words_approve_nothing(lab: Lab) -> None:
    """An answer reaches the task; on a task that waits for a decision the key does not even ask."""
    lab.held("ask1", "needs-answer")
    lab.held("good3", "needs-approval")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await on(pilot, app, "good3")
            await pilot.press("w")
            await pilot.pause()
            assert isinstance(app.screen, NowScreen)
            await on(pilot, app, "ask1")
            words = await asked(pilot, app, "w", Write)
            assert "which colour" in words
            assert "ghp_" not in words
            await pilot.press("enter")  # nothing is sent without words
            await pilot.press(*"approve", "ctrl+j", *"blue", "enter")
            await until(pilot, lambda: lab.rows("SELECT 1 FROM signal WHERE task = 'ask1' AND name = 'answer'"))

    asyncio.run(play())
    assert (
        lab.rows("SELECT payload FROM signal WHERE task = 'ask1' AND name = 'answer'")[0]["payload"]
        == '"approve\\nblue"'
    )
    assert lab.row("good3")["reason"] == "needs-approval"


def test_a_run_is_paused_stopped_and_resumed(lab: Lab) -> None:
    """Its last words are on the screen; a stop ends its run, and `p` lets it go on."""
    lab.running("slow1")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await on(pilot, app, "slow1")
            await sees(pilot, "running 1")
            await asked(pilot, app, "p", Confirm)
            await pilot.press("y")
            await until(pilot, lambda: lab.row("slow1")["want"] == "pause")
            await sees(pilot, "pausing")
            await asked(pilot, app, "s", Confirm)
            await pilot.press("y")
            await until(pilot, lambda: lab.row("slow1")["reason"] == "paused")
            await on(pilot, app, "slow1")
            await until(pilot, lambda: app.screen.target is not None and app.screen.target.hold is not None)  # type: ignore[attr-defined] (it is a NowScreen)
            assert "Resume" in await asked(pilot, app, "p", Confirm)
            await pilot.press("y")
            await until(pilot, lambda: lab.row("slow1")["phase"] == "running")

    asyncio.run(play())


def test_a_task_is_cancelled_by_a_capital_y_and_begun_anew(lab: Lab) -> None:
    """What can't be taken back is not done by `y`; an ended task begins another life by `r`."""
    lab.held("ask2", "needs-answer")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await on(pilot, app, "ask2")
            await asked(pilot, app, "c", Confirm)
            await pilot.press("y")
            await pilot.pause()
            assert isinstance(app.screen, Confirm)
            await pilot.press("Y")
            await until(pilot, lambda: lab.row("ask2")["phase"] == "cancelled")
            await until(pilot, lambda: any("ask2" in line and "cancelled" in line for line in shown(app).splitlines()))
            await on(pilot, app, "ask2", "again")
            await asked(pilot, app, "r", Confirm)
            await pilot.press("y")
            await until(pilot, lambda: lab.row("ask2")["life"] == 2)

    asyncio.run(play())


def test_everything_is_paused_and_resumed(lab: Lab) -> None:
    """By capital letters; the first lines say so as long as it lasts."""

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await asked(pilot, app, "P", Confirm)
            await pilot.press("y")
            await sees(pilot, "everything paused by watch")
            assert (lab.home / "PAUSED").exists()
            assert "was paused by watch" in await asked(pilot, app, "P", Confirm)
            await pilot.press("y")
            await until(pilot, lambda: not (lab.home / "PAUSED").exists())
            await until(pilot, lambda: "paused by" not in shown(app))

    asyncio.run(play())


def test_everything_is_stopped(lab: Lab) -> None:
    """`S` ends every run and lets nothing start, once a capital `Y` means it."""
    lab.running("slow2")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await asked(pilot, app, "S", Confirm)
            await pilot.press("Y")
            await until(pilot, lambda: (lab.home / "runs/slow2/1/1/outcome.json").exists())
            await sees(pilot, "paused by watch")

    asyncio.run(play())
    lab.ok("resume", "--all")
    happens(lambda: not (lab.home / "PAUSED").exists(), "everything goes on")


def test_help_names_every_key(lab: Lab) -> None:
    """Every key that a screen knows stands in the help, and any key leaves it."""

    async def play() -> None:
        async with lab.watched(100, 60) as (pilot, app):
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(app.screen, Help) and app.screen.is_mounted)
            await sees(pilot, "approve the commit that waits")
            words = shown(app)
            for text in ("reject it", "answer what the task asks", "stop the task", "cancel the task", "light or dark"):
                assert text in words
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, NowScreen))

    asyncio.run(play())
