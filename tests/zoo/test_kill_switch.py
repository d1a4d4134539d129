"""The kill switch: a file or a word ends what runs, whoever else is dead, and nothing starts until it is taken back."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from cage import RUN, TAMED, WORKS, Cage, bash

from overnight.agents.scripted import Stall
from overnight.durable import pauses
from overnight.fleet.kill import end_runs
from overnight.fleet.local import read_identity
from overnight.missions.policy import Limits
from overnight.missions.run import End
from overnight.ports import House

pytestmark = pytest.mark.slow
#: Ignores being asked, and has children in sessions of their own that do as well.
CLINGING = (
    f"{WORKS}; mkfifo up; for n in 1 2 3; do setsid sh -c \"trap '' TERM HUP; while :; do sleep 60; done\" & done; "
    "trap '' TERM; echo up > up; while :; do sleep 60; done"
)


async def up(cage: Cage) -> None:
    """Return once the program says that it is up."""
    while not (cage.worktree / "up").exists():  # noqa: ASYNC110 (nobody announces it)
        await asyncio.sleep(0.01)
    assert await asyncio.to_thread((cage.worktree / "up").read_text) == "up\n"


@pytest.mark.cli
@pytest.mark.parametrize("lane", ["", "zoo"], ids=["global", "repo"])
def test_a_file_made_by_hand_is_heeded_by_the_next_call_at_the_latest(cage: Cage, lane: str) -> None:
    """`touch`, while no daemon lives: no later call happens, the run ends cleanly, its work is kept."""
    steps = (bash(WORKS), Stall("asked", bash("echo late > late.txt")), bash("echo later > later.txt"), TAMED)

    async def by_hand(cage: Cage, house: House) -> None:
        await cage.model.reached("asked")
        path = pauses.place(cage.state, lane)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        cage.model.release("asked")

    outcome, result = cage.model_run(*steps, visit=by_hand)
    assert (outcome.end, outcome.failure) == (End.STOPPED, None)
    assert "paused" in outcome.why
    assert not (cage.worktree / "late.txt").exists()
    assert not (cage.worktree / "later.txt").exists()
    assert cage.nothing_left()
    assert cage.kept(result) == "hours of work\n"


def test_other_repos_files_and_gentle_ones_let_a_run_go_on(cage: Cage) -> None:
    """A pause of another repo, and one that drains, end nothing."""
    pauses.pause(cage.state, "other", by="somebody", drain=False)
    pauses.pause(cage.state, "", by="somebody", drain=True)
    outcome, _ = cage.program_run("sleep 1; echo went on")
    assert (outcome.end, outcome.said) == (End.COMPLETED, "went on")


def test_while_it_is_there_nothing_starts(cage: Cage) -> None:
    """A warden that finds it lets no agent loose."""
    pauses.place(cage.state).parent.mkdir(parents=True, exist_ok=True)
    pauses.place(cage.state).touch()
    outcome, _ = cage.program_run("touch began")
    assert outcome.end is End.STOPPED
    assert "paused" in outcome.why
    assert not (cage.worktree / "began").exists()


@pytest.mark.parametrize("tasks", [None, ["animal"]], ids=["all", "task"])
def test_runs_are_ended_by_their_folders_alone(cage: Cage, tasks: list[str] | None) -> None:
    """With an agent that ignores SIGTERM and has daemonised children: all is dead when the call returns."""

    async def stop(cage: Cage, house: House) -> None:
        await up(cage)
        came = await asyncio.to_thread(end_runs, cage.state, "enough", tasks)
        assert (came.ended, came.killed) == ((RUN,), ())
        assert cage.nothing_left()

    outcome, result = cage.program_run(CLINGING, visit=stop)
    assert (outcome.end, outcome.why) == (End.STOPPED, "enough")
    assert cage.kept(result) == "hours of work\n"


def test_runs_of_other_tasks_are_left_alone(cage: Cage) -> None:
    """Asked for one task, another one's run goes on; asked twice, nothing more happens."""

    async def stop(cage: Cage, house: House) -> None:
        assert end_runs(cage.state, "no", ["another"]).ended == ()
        (cage.worktree / "go").touch()

    outcome, _ = cage.program_run("while [ ! -e go ]; do sleep 0.1; done; echo went on", visit=stop)
    assert outcome.said == "went on"
    assert end_runs(cage.state, "late").ended == ()
    assert not Path(cage.folder / "stop").exists()


def test_a_warden_that_hangs_is_killed_with_its_box(cage: Cage) -> None:
    """It can't be asked: nothing of its run is left all the same, and the run counts as lost."""

    async def stop(cage: Cage, house: House) -> None:
        await up(cage)
        warden = read_identity(cage.folder)
        assert warden is not None
        os.kill(warden.pid, signal.SIGSTOP)
        came = await asyncio.to_thread(end_runs, cage.state, "enough")
        assert (came.ended, came.killed) == ((), (RUN,))

    outcome, result = cage.program_run(CLINGING, visit=stop, limits=Limits())
    assert outcome.end is End.LOST
    assert cage.nothing_left()
    assert cage.kept(result) == "hours of work\n"
