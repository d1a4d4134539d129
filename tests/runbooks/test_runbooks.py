"""Runbooks carried out by the real CLI in real boxes; only the model is scripted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from runbook_lab import STOP, Lab, bash, book, step, tick, work

from overnight.agents.scripted import ScriptedModel, Stall
from overnight.fleet.local import read_identity
from overnight.missions.run import End
from overnight.missions.task import Phase
from overnight.warden.events import Deviated, SentBack, Stepped

pytestmark = [pytest.mark.cli, pytest.mark.slow]
STEPS = [f"Step {n}: Write file {n}" for n in range(1, 6)]


def test_an_agent_that_stops_after_each_step_is_sent_back_until_all_is_done(tmp_path: Path) -> None:
    """Five steps, five turns that would have ended, one run, one commit for each step, and it lands."""
    lab = Lab(tmp_path)
    lab.night(tuple(part for n in range(1, 6) for part in (*step(n), STOP)))
    assert lab.phase == Phase.LANDED, lab.hold
    assert lab.commits() == STEPS
    assert lab.done_once()
    assert [event.times for event in lab.events() if isinstance(event, SentBack)] == [1, 2, 3, 4]
    assert [event.step for event in lab.events() if isinstance(event, Stepped)] == STEPS
    use = lab.outcome(1).runbook
    assert use is not None
    assert (use.ticked, use.sent_back, use.deviations) == ((1, 2, 3, 4, 5), 4, ())
    assert "Go on with step 3. Write file 3" in lab.told()


def test_three_runs_finish_a_runbook_with_every_step_done_once(tmp_path: Path) -> None:
    """Runs that give up with boxes open cost no attempt as long as they tick; each goes on at the first open box."""
    lab = Lab(tmp_path)
    lab.night((*step(1), *step(2), *[STOP] * 4), (*step(3), *[STOP] * 4), (*step(4), *step(5), STOP), attempts=1)
    assert lab.phase == Phase.LANDED, lab.hold
    assert lab.commits() == STEPS
    assert lab.done_once()
    prompts = [(lab.folder(n) / "stdin").read_text() for n in (1, 2, 3)]
    for n, prompt in zip((1, 3, 4), prompts, strict=True):
        assert f"the first open one, then: {n}. Write file {n}" in prompt


def test_after_a_warden_was_killed_the_next_run_goes_on_at_the_first_open_box(tmp_path: Path) -> None:
    """SIGKILL in the middle of step 3, after its work was begun: nothing is done twice, nothing lost."""
    lab = Lab(tmp_path)

    async def kill(model: ScriptedModel) -> None:
        await model.reached("killed")
        warden = read_identity(lab.folder(1))
        assert warden is not None
        os.kill(warden.pid, signal.SIGKILL)

    lab.night((*step(1), *step(2), Stall("killed", work(3)), STOP), (*step(3), *step(4), *step(5), STOP), visit=kill)
    assert lab.outcome(1).end is End.LOST
    assert lab.phase == Phase.LANDED, lab.hold
    assert lab.commits() == STEPS
    assert lab.done_once()


def test_who_ticks_without_work_is_caught_by_the_checks(tmp_path: Path) -> None:
    """All boxes ticked is the agent's own account: it does not land, and the tick in one go is on record."""
    lab = Lab(tmp_path, book(2))
    lab.night((tick(1, 2), STOP), attempts=1)
    assert lab.phase == Phase.FAILED
    assert [event.what for event in lab.events() if isinstance(event, Deviated)] == ["several"]
    assert lab.git("log", "--format=%s", "main") == "Begin"


def test_who_edits_the_runbook_is_told_and_does_not_land(tmp_path: Path) -> None:
    """A step made easier does not count as ticked, and the reason names it."""
    lab = Lab(tmp_path, book(2))
    easier = bash("sed -i 's/^2[.] .*/2. [x] Write nothing/' docs/run.md")
    lab.night((*step(1), easier, *[STOP] * 4), *[(STOP,) * 4] * 3, attempts=1)
    assert lab.phase != Phase.LANDED
    assert [event.what for event in lab.events() if isinstance(event, Deviated)] == ["edited", "let-go"]
    assert "2. Write file 2: the words of the step were changed" in lab.told()
    assert lab.hold is not None
    assert "2. Write file 2" in lab.hold.why
    assert "only its boxes may be changed" in lab.hold.why


def test_who_never_ticks_is_held_with_the_open_steps(tmp_path: Path) -> None:
    """Sent back three times, let go, and after the last attempt a person sees what is open."""
    lab = Lab(tmp_path, book(2))
    lab.night((work(1), *[STOP] * 4), attempts=1)
    assert lab.hold is not None
    assert lab.hold.reason == "stuck"
    assert "2 of 2 boxes of the runbook are open: 1. Write file 1; 2. Write file 2" in lab.hold.why
    assert [event.times for event in lab.events() if isinstance(event, SentBack)] == [1, 2, 3]


def test_a_used_up_error_budget_ends_the_run_and_is_named(tmp_path: Path) -> None:
    """One failed attempt is allowed and told, the second ends it; the hold says so."""
    lab = Lab(tmp_path, book(2, "## Error budget\n- per step: 1\n"))
    tries = [bash(f"touch try-{n}; false; sh check.sh") for n in range(2)]
    lab.night((tick(1), *tries, STOP), attempts=3)
    assert lab.hold is not None
    assert "the error budget of step 2. Write file 2 is used up: 2 failed attempts, 1 allowed" in lab.hold.why
    assert "One more failed attempt ends your session" in lab.told()
