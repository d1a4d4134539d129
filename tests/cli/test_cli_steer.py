"""`pause`, `resume`, `stop`, `cancel`, `retry`, `answer`: what the journal holds afterwards."""

from __future__ import annotations

from cli_stage import Desktop

from overnight.flows.rehearsal import Act
from overnight.report.rundir import folder_of
from overnight.report.status import tasks_of
from overnight.report.story import story


def phases(desktop: Desktop) -> dict[str, str]:
    """What every task of the shop is doing."""
    repo = next(iter(desktop.json("status")["status"]["repos"]))
    return {
        row["id"]: row["hold"]["reason"] if row["hold"] else row["phase"]
        for kind in ("needs_person", "active", "waiting", "next", "ended")
        for row in repo[kind]
    }


def test_a_pause_by_name_holds_that_task_only(desktop: Desktop) -> None:
    """The other one lands; after a resume the paused one does too."""
    desktop.shop()
    one, two = desktop.add("one"), desktop.add("two")
    assert f"overnight resume {one}" in desktop.ok("pause", one)
    world = desktop.drive({one: [Act.GOOD], two: [Act.GOOD]})
    assert phases(desktop) == {one: "paused", two: "landed"}
    desktop.ok("resume", one)
    desktop.drive({}, world)
    assert phases(desktop) == {one: "landed", two: "landed"}


def test_a_pause_of_everything_and_of_a_repo(desktop: Desktop) -> None:
    """Nothing starts until the same scope is resumed; a plain `resume` lifts every pause."""
    desktop.shop()
    task = desktop.add("x")
    for pause, resume in [(["pause"], ["resume"]), (["pause", "--repo", "shop"], ["resume", "--all"])]:
        desktop.ok(*pause)
        world = desktop.drive({task: [Act.BLOCKED]})
        assert phases(desktop) == {task: "queued"}
        assert "goes on" in desktop.ok(*resume)
    desktop.drive({}, world)
    assert phases(desktop) == {task: "needs-answer"}
    assert "Nothing was paused" in desktop.ok("resume")


def test_resuming_a_repo_under_a_wider_pause_says_so(desktop: Desktop) -> None:
    """The wider pause stays, and is told."""
    desktop.shop()
    desktop.ok("pause")
    desktop.ok("pause", "--repo", "shop")
    result = desktop.run("resume", "--repo", "shop")
    assert "Everything is paused all the same" in result.stderr


def test_a_hold_is_resumed_by_name_only(desktop: Desktop) -> None:
    """`resume` for everything takes back pauses; a task that asks is left alone."""
    desktop.shop()
    task = desktop.add("x")
    desktop.drive({task: [Act.BLOCKED]})
    desktop.ok("resume")
    desktop.drive({task: [Act.GOOD]})
    assert phases(desktop) == {task: "needs-answer"}


def test_stop_by_name_pauses_what_is_queued(desktop: Desktop) -> None:
    """A stopped task waits for `resume`; one that ended can't be stopped."""
    desktop.shop()
    task = desktop.add("x")
    desktop.ok("stop", task)
    world = desktop.drive({task: [Act.GOOD]})
    assert phases(desktop) == {task: "paused"}
    desktop.ok("resume", task)
    desktop.drive({}, world)
    result = desktop.run("stop", task)
    said = f"is landed: stop does not apply. What did not land begins anew by `overnight retry {task}`."
    assert (result.exit_code, said in result.stderr) == (2, True)


def test_stop_of_everything_is_undone_by_resume(desktop: Desktop) -> None:
    """`stop --all` pauses everything; `resume` takes all of that back."""
    desktop.shop()
    task = desktop.add("x")
    desktop.ok("stop", "--all")
    assert desktop.json("status")["status"]["pauses"]
    desktop.ok("resume")
    desktop.drive({task: [Act.GOOD]})
    assert phases(desktop) == {task: "landed"}


def test_without_a_daemon_stop_reaches_the_warden_itself(desktop: Desktop) -> None:
    """The wish lies in the run's folder, where its warden looks, although no daemon runs."""
    import sqlite3

    desktop.shop()
    task = desktop.add("x")
    desktop.drive({task: [Act.GOOD]})
    db = sqlite3.connect(desktop.home / "journal.db", isolation_level=None)
    db.execute("DELETE FROM step WHERE name NOT IN ('prepare', 'baseline', 'open 1')")
    db.execute("UPDATE task SET state = 'ready', phase = 'running', output = NULL")
    db.close()
    folder = folder_of(desktop.home, f"{task}.1.1")
    folder.mkdir(parents=True)
    desktop.ok("stop", "--all")
    assert (folder / "stop").read_text() == "a person stopped it"
    (folder / "stop").unlink()
    desktop.ok("cancel", task)
    assert (folder / "stop").read_text() == "a person cancelled it"


def test_cancel_and_retry(desktop: Desktop) -> None:
    """A cancelled task ends as that; a retry gives it a new life; what landed is not retried."""
    desktop.shop()
    task = desktop.add("x")
    desktop.ok("cancel", task)
    world = desktop.drive({task: [Act.GOOD]})
    assert phases(desktop) == {task: "cancelled"}
    assert "life 2" in desktop.ok("retry", task)
    desktop.drive({}, world)
    assert phases(desktop) == {task: "landed"}
    result = desktop.run("retry", task)
    assert (result.exit_code, "Add a new task" in result.stderr) == (2, True)


def test_an_unknown_name_changes_nothing(desktop: Desktop) -> None:
    """Of several names, one that is wrong keeps all the others from being touched."""
    desktop.shop()
    task = desktop.add("x")
    assert desktop.run("cancel", task, "nothing").exit_code == 2
    assert tasks_of(desktop.home, "shop")[0].want is None


def test_answers_go_to_those_who_ask(desktop: Desktop) -> None:
    """Any text, also from a pipe, word for word; a task that asks nothing is not answered."""
    desktop.shop()
    task = desktop.add("x")
    result = desktop.run("answer", task, "blue")
    assert (result.exit_code, "It asks nothing now" in result.stderr) == (2, True)
    world = desktop.drive({task: [Act.BLOCKED, Act.GOOD]})
    desktop.ok("answer", task, "-", stdin="deep\n--blue\n")
    desktop.drive({}, world)
    told = story(desktop.home, task)
    assert (told.answers, told.row.phase) == (("deep\n--blue\n",), "landed")
