"""What the screen shows: with and without a daemon, small and wide, few tasks and many, light, dark and without colour."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import TabbedContent
from watch_lab import Lab, sees, shown, until

from overnight.durable.client import Client
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task
from overnight.watch.look import Eye, Look
from overnight.watch.now import NowScreen
from overnight.watch.rows import PAGE, PAGES, Board, Ledger
from overnight.watch.task import TaskScreen

pytestmark = pytest.mark.slow
MANY = 10_000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """No daemon; ten thousand queued tasks."""
    lab = Lab(tmp_path_factory.mktemp("many"))
    journal = Journal(lab.home)
    repo, desk = Repo(name="shop", path=str(lab.repo), target="main"), Desk(journal)
    with journal.tx("many"):
        for n in range(MANY):
            task = Task(id=f"task-{n:05}", repo=repo, title=f"Task number {n}", text="Do it.")
            desk.do_submit(
                actor="cli", id=task.id, flow="task", lane="shop", input=builtins(task), phase=Phase.QUEUED, pool="work"
            )
    journal.close()
    return lab


def test_a_task_tells_story_calls_change_evidence_and_cost(lab: Lab) -> None:
    """Each tab has what the records have, without a stranger's escapes and secrets."""
    lab.held("good5", "needs-approval")
    lab.held("ask5", "needs-answer")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            app.push_screen(TaskScreen("good5"))
            await sees(pilot, "Files changed: 1")
            await sees(pilot, "a approves, x rejects")
            for key, words in (
                ("2", "run good5.1.1"),
                ("3", "+work of good5"),
                ("4", "test: passed"),
                ("5", "run 1.1 completed"),
            ):
                await pilot.press(key)
                await sees(pilot, words)
            await pilot.press("right")
            assert app.screen.query_one(TabbedContent).active == "story"
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, NowScreen))
            app.push_screen(TaskScreen("ask5"))
            await sees(pilot, "[redacted]")
            assert "ghp_" not in shown(app)
            assert "\x1b" not in shown(app)

    asyncio.run(play())


async def _to_its_end(lab: Lab, pilot: Pilot[None], task: str, words: str) -> None:
    """Look on at a task that waits at the gate: words of its record are seen; it is let go on, and its end is seen."""
    app = pilot.app
    app.push_screen(TaskScreen(task))
    await until(pilot, lambda: app.screen.is_mounted and isinstance(app.screen, TaskScreen))
    await pilot.press("2")
    await sees(pilot, words)
    with (lab.folder / "gate").open("w") as gate:
        gate.write("go on\n")
    await sees(pilot, "ended (")


def test_what_a_run_does_is_seen_while_it_does_it(lab: Lab) -> None:
    """A task that another program adds comes up by itself; on its screen the end of its record grows."""

    async def play() -> None:
        async with lab.watched() as (pilot, _):
            lab.add("slow5", "Come up by yourself")
            await sees(pilot, "Come up by yourself")
            await sees(pilot, "running 1")
            await _to_its_end(lab, pilot, "slow5", "begins")

    asyncio.run(play())


def test_without_a_daemon_it_shows_the_journal_and_comes_back_by_itself(tmp_path: Path) -> None:
    """A killed daemon is told at once, with what starts one; what was goes on to be shown; a new one is seen."""
    lab = Lab(tmp_path / "machine")
    try:
        lab.up()
        lab.held("good6", "needs-approval")

        async def play() -> None:
            async with lab.watched() as (pilot, app):
                await sees(pilot, "daemon since")
                lab.kill()
                await sees(pilot, "no daemon: `overnight up` starts one")
                assert "Do good6" in shown(app)
                await until(pilot, lambda: app.screen.query_one(Board).stops())
                await pilot.press("a")
                await sees(pilot, "Approve this commit")
                await pilot.press("y")
                await sees(pilot, "`overnight up`")
                await asyncio.to_thread(lab.up)
                await sees(pilot, "daemon since")

        asyncio.run(play())
        assert lab.row("good6")["reason"] == "needs-approval"
    finally:
        lab.end()


def test_a_daemon_that_hangs_keeps_nobody_from_looking_and_typing(tmp_path: Path) -> None:
    """Stopped by a signal: the first picture does not wait for its answer, the search takes words, and it is told."""
    lab = Lab(tmp_path / "machine")
    lab.up()
    lab.held("good7", "needs-approval")
    pid = int(lab.ok("status", "--json").partition('"pid": ')[2].partition(",")[0])
    os.kill(pid, signal.SIGSTOP)
    try:

        async def play() -> None:
            async with lab.watched(asked=False) as (pilot, app):
                await sees(pilot, "Do good7")
                await sees(pilot, "asking the daemon")
                await pilot.press("slash", *"good", "enter")
                await until(pilot, lambda: app.screen.query_one(Ledger).total == 1)
                await sees(pilot, "The daemon does not answer")
                os.kill(pid, signal.SIGCONT)
                await sees(pilot, "daemon since")

        asyncio.run(play())
    finally:
        os.kill(pid, signal.SIGCONT)
        lab.end()


def test_a_machine_without_anything_says_how_to_begin(tmp_path: Path) -> None:
    """An empty state folder is a quiet night, not an error."""
    lab = Lab(tmp_path / "machine")
    lab.home = tmp_path / "nothing"
    lab.home.mkdir()

    async def play() -> None:
        async with lab.watched() as (pilot, _):
            await sees(pilot, "overnight init")
            await sees(pilot, "The daemon does not run")

    asyncio.run(play())


def test_a_journal_that_cannot_be_read_is_told_until_it_can(tmp_path: Path) -> None:
    """A broken file: the reason stands in the first lines, and goes when the file is whole again."""
    lab = Lab(tmp_path / "machine")
    lab.add("task-1", "Something to see")
    whole = (lab.home / "journal.db").read_bytes()
    (lab.home / "journal.db").write_bytes(b"no database at all" * 300)

    async def play() -> None:
        async with lab.watched() as (pilot, _):
            await sees(pilot, "The journal can't be read")
            await sees(pilot, "`overnight journal verify` says whether it is whole")
            (lab.home / "journal.db").write_bytes(whole)
            await sees(pilot, "Something to see")
            await sees(pilot, "The daemon does not run")

    asyncio.run(play())


def test_ten_thousand_tasks_are_a_list_of_which_a_window_is_read(many: Lab) -> None:
    """From the first to the last one, with a search among them; never more than a few pages are kept."""

    async def play() -> None:
        async with many.watched() as (pilot, app):
            await pilot.press("2")
            ledger = app.screen.query_one(Ledger)
            await until(pilot, lambda: ledger.total == MANY)
            await until(pilot, lambda: "Task number" in shown(app))
            await pilot.press("G")
            assert ledger.cursor == MANY - 1
            await until(pilot, lambda: ledger.row() is not None)
            last = ledger.row()
            for _ in range(5):
                await pilot.press("pageup")
            await until(pilot, lambda: ledger.row() is not None and ledger.row() != last)
            assert len(ledger._pages) <= PAGES
            for stop in range(0, MANY, 7 * PAGE):
                ledger.cursor = stop
                await until(pilot, lambda: ledger.row() is not None)
            assert len(ledger._pages) <= PAGES
            await pilot.press("slash", *"number 4711")
            await until(pilot, lambda: ledger.total == 1)
            await sees(pilot, "Task number 4711")
            await pilot.press("escape")
            await until(pilot, lambda: ledger.total == MANY)
            await pilot.press("f", "f")
            await sees(pilot, "waiting")
            await until(pilot, lambda: ledger.total == 0)
            await sees(pilot, "No such task: f, F and / say which are shown.")

    asyncio.run(play())


def test_the_cursor_stays_on_its_task_when_others_come(many: Lab) -> None:
    """A task that is put before the others moves the list, and not what the next key is about."""

    async def play() -> None:
        async with many.watched() as (pilot, app):
            board = app.screen.query_one(Board)
            await until(pilot, board.stops)
            await pilot.press("j", "j")
            before = board.row()
            assert before is not None
            repo = Repo(name="shop", path=str(many.repo), target="main")
            first = Task(id="first-of-all", repo=repo, title="Before all others", text="Do it.", priority=9)
            Client(many.home).call(
                "submit", id=first.id, flow="task", lane="shop", input=builtins(first), phase=Phase.QUEUED,
                pool="work", priority=9,
            )  # fmt: skip
            await sees(pilot, "Before all others")
            after = board.row()
            assert after is not None
            assert after.id == before.id

    asyncio.run(play())


def test_it_looks_again_only_when_something_was_written(many: Lab) -> None:
    """Once it has seen everything, a look reads nothing; after a write it does, and sees it."""

    async def play() -> Look | None:
        async with many.watched() as (pilot, app):
            eye = Eye(app.site)
            await until(pilot, lambda: eye.look() is None)
            assert eye.look() is None
            many.add("one-more")
            return eye.look()

    look = asyncio.run(play())
    assert look is not None


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (220, 60)])
def test_it_fits_any_terminal(lab: Lab, size: tuple[int, int]) -> None:
    """What needs you, its key and the way out are on the screen, and no line is wider than it."""
    lab.held(f"good-{size[0]}", "needs-approval")

    async def play() -> None:
        async with lab.watched(*size) as (pilot, app):
            await until(pilot, lambda: app.screen.query_one(Board).stops())
            await sees(pilot, "needs-approval")
            await sees(pilot, "Approve")
            words = shown(app)
            assert max(len(line) for line in words.splitlines()) == size[0]
            await pilot.press("a")
            await sees(pilot, "Approve this commit")
            await sees(pilot, "No, leave it")
            await pilot.press("n", "enter")
            await until(pilot, lambda: isinstance(app.screen, TaskScreen))
            await sees(pilot, "Story")

    asyncio.run(play())


def test_keys_that_come_faster_than_the_picture_open_it_once_and_break_nothing(lab: Lab) -> None:
    """In, out and in again before anything could be drawn: one screen of the task, and the application goes on."""
    lab.held("good-fast", "needs-approval")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await until(pilot, lambda: app.screen.query_one(Board).stops())
            for key in ("enter", "enter", "right"):
                app.simulate_key(key)
            await sees(pilot, "Story")
            assert [type(each) for each in app.screen_stack[1:]] == [NowScreen, TaskScreen]
            for key in ("q", "enter", "escape", "enter"):
                app.simulate_key(key)
                await asyncio.sleep(0)
            await until(pilot, lambda: len(app.screen_stack) >= 2 and app.screen.is_mounted)
            task = TaskScreen("good-fast")
            app.push_screen(task)
            task.call_after_refresh(task._focus)
            task.call_after_refresh(task.repaint)
            app.pop_screen()
            await pilot.pause()
            assert app.is_running

    asyncio.run(play())


def test_what_a_record_has_of_nonsense_is_shown_as_well_as_it_can(lab: Lab) -> None:
    """Times that no calendar has, nesting without end, odd shapes: the live tab goes on to what comes after them."""
    lab.running("slow6")
    odd = [
        b"null", b'{"kind": 5, "at": "x"}', b'{"kind": "asked", "call": {"a": 1}}', b"\xff\xfe", b"[" * 20_000,
        b'{"kind": "agent", "event": "text", "text": "a moment", "at": NaN}',
        b'{"kind": "agent", "event": "text", "text": "another", "at": 1e40}',
        b'{"kind": "agent", "event": "text", "text": "' + b"A" * 100_000 + b'"}',
        b'{"kind": "agent", "event": "text", "text": "goes on after that"}',
    ]  # fmt: skip
    with (lab.home / "runs/slow6/1/1/events.ndjson").open("ab") as events:
        events.write(b"\n".join(odd) + b"\n")

    async def play() -> None:
        async with lab.watched() as (pilot, _):
            await _to_its_end(lab, pilot, "slow6", "goes on after that")

    asyncio.run(play())


def test_a_run_whose_folder_was_removed_says_so(lab: Lab) -> None:
    """Its story is in the journal; what its agent did is not on record any more, and the live tab says that."""
    lab.held("good-gone", "needs-approval")
    shutil.rmtree(lab.home / "runs/good-gone")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            app.push_screen(TaskScreen("good-gone"))
            await sees(pilot, "Run 1: completed")
            await pilot.press("2")
            await sees(pilot, "Nothing of it is on record")

    asyncio.run(play())


def test_light_and_dark_are_a_key_apart(lab: Lab) -> None:
    """The background changes; so do the colours of what is shown already."""

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            dark = app.export_screenshot()
            await pilot.press("l")
            await until(pilot, lambda: not app.current_theme.dark)
            await pilot.pause()
            assert app.export_screenshot() != dark
            await pilot.press("l")
            await until(pilot, lambda: app.current_theme.dark)

    asyncio.run(play())


def test_without_colours_signs_say_it_all(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR nothing on the screen has a colour, the cursor is reversed, and every state has its sign."""
    lab.held("good-bare", "needs-approval")
    monkeypatch.setenv("NO_COLOR", "1")

    async def play() -> None:
        async with lab.watched() as (pilot, app):
            await sees(pilot, "! needs-approval")
            await until(pilot, lambda: app.screen.query_one(Board).has_focus)
            await pilot.pause()
            drawn = [part.style for strip in app.screen._compositor.render_strips() for part in strip if part.style]
            colours = {style.color.name for style in drawn if style.color is not None}
            assert colours <= {"default"}, colours
            assert {style.bgcolor.name for style in drawn if style.bgcolor is not None} <= {"default"}
            assert any(style.reverse for style in drawn)

    asyncio.run(play())
