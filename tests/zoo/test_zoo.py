"""Misbehaving agents: each is stopped for the right reason, nothing of it is left, and its work is kept."""

from __future__ import annotations

import asyncio

import pytest
from cage import TAMED, WORKS, Cage, bash, stall

from overnight.agents.scripted import Reply, Say, Stall, Use
from overnight.missions.policy import Limits
from overnight.missions.run import End, FailureClass, Result, RunOutcome
from overnight.missions.units import Duration
from overnight.ports import House

pytestmark = pytest.mark.slow
cli = pytest.mark.cli


def ended(cage: Cage, outcome: RunOutcome, result: Result, condition: str) -> None:
    """Stopped by the warden for this, told before, nothing left, work kept, blocker written."""
    assert (outcome.end, outcome.failure) == (End.STOPPED_BY_LIMIT, FailureClass.STUCK), outcome
    assert cage.stopped_for() == condition
    assert condition in cage.warned()
    assert cage.nothing_left()
    assert cage.kept(result) == "hours of work\n"
    assert outcome.why in outcome.blocker


# -- models -------------------------------------------------------------------------------------------------


@cli
def test_endless_retry(cage: Cage) -> None:
    """The same call with the same arguments: the model reads the note in its next request, goes on, and is ended."""
    outcome, result = cage.model_run(bash(WORKS), *[bash("make all || true")] * 30, TAMED)
    ended(cage, outcome, result, "repeats")
    assert "Note from the supervisor: the same call was made 6 times" in cage.told()
    assert "make all" in outcome.blocker
    assert len(cage.model.asked) < 30


@cli
def test_the_same_error_again_and_again(cage: Cage) -> None:
    """Another command each time, the same kind of error."""
    tries = [bash(f"python3 -c 'import nothing_{n}'") for n in range(20)]
    outcome, result = cage.model_run(bash(WORKS), *tries, TAMED)
    ended(cage, outcome, result, "errors")
    assert "modulenotfounderror" in cage.told()
    assert "ModuleNotFoundError" in outcome.blocker


@cli
def test_the_same_words_again_and_again(cage: Cage) -> None:
    """Calls that differ, and messages that do not."""
    parts = [Reply((Say("Let me look at it once more, from another angle."), bash(f"echo {n}"))) for n in range(20)]
    outcome, result = cage.model_run(bash(WORKS), *parts, TAMED)
    ended(cage, outcome, result, "messages")


@cli
def test_false_progress(cage: Cage) -> None:
    """Busy all the time, another content each time, and nothing grows."""
    busy = [bash(f"echo {n} > src/toggle.txt; sleep 0.1") for n in range(100, 200)]
    outcome, result = cage.model_run(bash(WORKS), *busy, TAMED, limits=stall(looks=2, look_calls=2, pace=10_000))
    ended(cage, outcome, result, "progress")


@cli
def test_a_thousand_files_in_a_step(cage: Cage) -> None:
    """Told after the first thousand, ended after the second; ignored folders don't count."""
    many = "mkdir -p {0} && for n in $(seq 1000); do echo x > {0}/$n.txt; done"
    steps = [bash(many.format("ignored")), bash(many.format("one")), *(bash(f"sleep 0.2; echo {n}") for n in range(15))]
    steps += [bash(many.format("two")), *(bash(f"sleep 0.2; echo {n}") for n in range(100, 130))]
    outcome, result = cage.model_run(bash(WORKS), *steps, TAMED)
    ended(cage, outcome, result, "files")
    assert "files were changed" in outcome.why


@cli
def test_scope_creep(cage: Cage) -> None:
    """A change outside of the task's paths is told of; more of them end the run."""
    creep = [bash(f"echo {n} > ../{n}.txt 2>/dev/null; echo {n} > extra{n}.txt; sleep 0.3") for n in range(40)]
    outcome, result = cage.model_run(bash(WORKS), *creep, TAMED, paths=("src/**", "before.txt"))
    ended(cage, outcome, result, "scope")
    assert "stay within the task's paths" in cage.told()


@cli
def test_runaway_commands(cage: Cage) -> None:
    """More calls in a minute than any work needs."""
    outcome, result = cage.model_run(bash(WORKS), *(bash(f"echo {n}") for n in range(60)), TAMED, limits=stall(pace=8))
    ended(cage, outcome, result, "pace")


@cli
@pytest.mark.parametrize(("limits", "condition"), [({"steps": 10}, "steps"), ({"tokens": 15_000}, "tokens")])
def test_greed(cage: Cage, limits: dict[str, int], condition: str) -> None:
    """Limits on calls and tokens: told at four fifths, ended when passed."""
    outcome, result = cage.model_run(
        bash(WORKS), *(bash(f"echo {n}") for n in range(40)), TAMED, limits=stall(**limits)
    )
    ended(cage, outcome, result, condition)


@cli
def test_a_well_behaved_agent_is_left_alone(cage: Cage) -> None:
    """Tests after every edit, the same words each time, a failing check that passes in the end: not one note."""
    steps: list[Reply] = []
    for n in range(8):
        word = "good" if n == 7 else f"try{n}"
        edit = {"file_path": "src/app.py", "content": f"print('{word}')\n" * (n + 1)}
        write = Use("Bash", {"command": f"printf '%s' \"{edit['content']}\" > src/app.py", "description": "Edit"})
        steps.append(Reply((Say("Let me change it."), write)))
        steps.append(Reply((Say("Let me run the check again."), bash("sh check.sh"))))
    outcome, _ = cage.model_run(bash(WORKS), *steps, TAMED)
    assert (outcome.end, outcome.said) == (End.COMPLETED, "I went on to the end.")
    assert cage.warned() == []


@cli
def test_a_long_silent_call_is_no_silence(cage: Cage) -> None:
    """A call under way may be silent up to its own limit; the same silence without one ends the run."""
    limits = Limits(silence=Duration(5))
    slow = Use("Bash", {"command": "read word < gate; echo heard $word", "timeout": 60_000, "description": "Wait"})

    async def speak_late(cage: Cage, house: House) -> None:
        while not (cage.worktree / "gate").exists():  # noqa: ASYNC110 (nobody announces it)
            await asyncio.sleep(0.01)
        quiet = asyncio.Event()
        asyncio.get_running_loop().call_later(7.0, quiet.set)
        await quiet.wait()
        assert not (cage.folder / "outcome.json").exists()
        await asyncio.to_thread((cage.worktree / "gate").write_text, "at last\n")

    outcome, _ = cage.model_run(
        bash(f"{WORKS}; mkfifo gate"), slow, Stall("silent", TAMED), limits=limits, visit=speak_late
    )
    assert "heard at last" in cage.told()
    assert cage.stopped_for() == "silence"
    assert outcome.failure is FailureClass.STUCK
    assert cage.nothing_left()


# -- programs -----------------------------------------------------------------------------------------------


def test_silence(cage: Cage) -> None:
    """A program that says nothing any more."""
    outcome, result = cage.program_run(f"{WORKS}; sleep 600", limits=Limits(silence=Duration(1)))
    assert (outcome.end, cage.stopped_for()) == (End.STOPPED_BY_LIMIT, "silence")
    assert cage.nothing_left()
    assert cage.kept(result) == "hours of work\n"
    assert "nothing was heard" in outcome.blocker


@pytest.mark.parametrize(
    "program",
    [
        "trap '' TERM INT HUP; while :; do echo busy; sleep 0.2; done",
        "for n in 1 2 3; do setsid sh -c \"trap '' TERM HUP; while :; do sleep 60; done\" & done; while :; do sleep 60; done",
        "(setsid nohup sh -c 'sh -c \"trap : TERM; while :; do sleep 60; done\" & sleep 600' >/dev/null 2>&1 &); sleep 600",
    ],
    ids=["ignores SIGTERM", "daemonises", "daemonises twice"],
)
def test_what_does_not_want_to_end(cage: Cage, program: str) -> None:
    """However it clings to life: all of it is dead when the outcome is there."""
    outcome, result = cage.program_run(f"{WORKS}; {program}", limits=Limits(wall=Duration(1.5), silence=Duration(60)))
    assert (outcome.end, cage.stopped_for()) == (End.STOPPED_BY_LIMIT, "wall")
    assert cage.nothing_left()
    assert cage.kept(result) == "hours of work\n"
