"""What comes after a run, as a table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.judge.attempts import Again, Ask, GiveUp, Proved, Wait, broken, costs, decide, flaky, planted
from overnight.missions.hold import HoldReason
from overnight.missions.policy import Check, Paths, Policy
from overnight.missions.run import Attempt, CheckResult, End, FailureClass, Result, RunOutcome

POLICY = Policy(checks={"test": Check(run="true")}, paths=Paths(forbidden=("infra/**",)))
BASE = "base"


def check(passed: bool, name: str = "test") -> CheckResult:
    return CheckResult(name=name, command="true", commit="c", passed=passed, code=0 if passed else 1, seconds=0.1)


def attempt(end: End = End.COMPLETED, failure: FailureClass | None = None, **more: Any) -> Attempt:
    outcome = RunOutcome(
        run="t.1.1", end=end, failure=failure, why="because", ended=1000.0, until=more.pop("until", None)
    )
    result = Result(
        commit=more.pop("commit", "work"),
        ref="r",
        changed=more.pop("changed", ("a.py",)),
        refused=more.pop("refused", ()),
    )
    return Attempt(n=1, outcome=outcome, result=result, checks=more.pop("checks", (check(True),)), **more)


def after(*attempts: Attempt, limit: int = 3) -> Any:
    return decide(attempts, BASE, POLICY, limit, "t")


def test_proved_work_lands() -> None:
    """A commit of its own on which every check passes is proved."""
    assert after(attempt()) == Proved()


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (attempt(commit=BASE, changed=(), checks=()), "nothing was changed"),
        (attempt(checks=(check(False),), broke=("test",)), "check 'test' fails"),
        (attempt(checks=(check(False),)), "not one check passes"),
        (attempt(refused=("a gitlink",)), "not importable: a gitlink"),
        (attempt(changed=("infra/prod/main.tf",)), "infra/prod/main.tf must not be changed"),
        (attempt(changed=("overnight.toml",)), "overnight.toml must not be changed"),
        (attempt(changed=("app/.Claude/settings.json",)), "app/.Claude/settings.json acts on whoever opens the folder"),
        (attempt(End.FAILED, FailureClass.AGENT), "because"),
    ],
)
def test_unproved_work_runs_again_and_then_fails(one: Attempt, why: str) -> None:
    """The next run is told what was missing; after the last attempt the task fails with the same words."""
    again = after(one)
    assert isinstance(again, Again)
    assert why in again.why
    given_up = after(one, one, one)
    assert isinstance(given_up, GiveUp)
    assert why in given_up.why
    assert "3 attempts" in given_up.why


def test_a_run_that_was_ended_for_getting_nowhere_is_no_failure_of_its_task() -> None:
    """It costs an attempt; after the last one a person is asked, and each resume is one more run."""
    one = attempt(End.STOPPED_BY_LIMIT, FailureClass.STUCK)
    assert isinstance(after(one), Again)
    assert costs(one, BASE, POLICY)
    held = after(one, one, one)
    assert isinstance(held, Wait)
    assert (held.hold.reason, held.hold.until) == (HoldReason.STUCK, None)
    assert "because (after 3 attempts)" in held.hold.why
    assert "overnight resume" in held.hold.releases_on
    assert isinstance(after(one, one, one, one), Wait)
    assert isinstance(after(one, one, one, attempt()), Proved)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".claude/settings.json", True),
        ("deep/.claude/hooks/x.sh", True),
        (".vscode/tasks.json", True),
        (".idea/workspace.xml", True),
        (".cursor/mcp.json", True),
        (".devcontainer/devcontainer.json", True),
        (".mcp.json", True),
        (".envrc", True),
        ("sub/.ENVRC", True),
        ("CLAUDE.md", False),
        (".claude/commands/review.md", False),
        ("src/claude/settings.json", False),
        ("envrc", False),
    ],
)
def test_planted_settings_are_found_unless_the_policy_gives_them_free(path: str, found: bool) -> None:
    """What runs programs on whoever opens the folder does not land; words for agents weigh elsewhere."""
    assert bool(planted((path, "a.py"), POLICY)) is found
    free = replace(POLICY, paths=Paths(settings=(".claude/**", "**/.claude/**", ".vscode/**")))
    still = found and "claude" not in path.lower() and "vscode" not in path
    assert bool(planted((path, "a.py"), free)) is still


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (FailureClass.AUTH, HoldReason.AUTH_EXPIRED),
        (FailureClass.MONEY, HoldReason.ALLOWANCE_SPENT),
        (FailureClass.LAUNCH, HoldReason.BOX_UNAVAILABLE),
        (FailureClass.VENDOR, HoldReason.VENDOR_OUTAGE),
        (FailureClass.LIMIT, HoldReason.LIMIT_REACHED),
    ],
)
def test_what_says_nothing_about_the_work_waits(failure: FailureClass, reason: HoldReason) -> None:
    """It holds with its own reason and never spends an attempt, however often it happens."""
    one = attempt(End.FAILED, failure)
    assert after(one).hold.reason is reason
    rows = after(*[one] * 20, limit=1)
    assert isinstance(rows, Wait)


def test_a_failed_launch_is_tried_again_and_the_third_in_a_row_opens_the_breaker() -> None:
    """What passes by itself costs minutes and no night; what does not is something that a person has to mend."""
    one = attempt(End.FAILED, FailureClass.LAUNCH)
    waits = [after(*[one] * n).hold for n in (1, 2)]
    assert [hold.reason for hold in waits] == [HoldReason.BOX_UNAVAILABLE] * 2
    first, second = (hold.until for hold in waits)
    assert first is not None
    assert second is not None
    assert 1010.0 <= first < second
    third = after(one, one, one).hold
    assert (third.reason, third.until) == (HoldReason.BREAKER_OPEN, None)


def test_a_known_reset_is_waited_for() -> None:
    """A subscription window says when it opens; its tasks wake right after that, not all at once."""
    until = after(attempt(End.FAILED, FailureClass.LIMIT, until=4711.0)).hold.until
    assert 4712.0 <= until <= 4741.0


@given(st.integers(1, 30), st.text(min_size=1))
def test_back_off_stays_within_floor_and_cap(times: int, run: str) -> None:
    """base x 2^n with +-25 %, never under 10 s, never over 600 s."""
    one = attempt(End.FAILED, FailureClass.VENDOR)
    one = replace(one, outcome=replace(one.outcome, run=run))
    until = after(*[one] * times).hold.until
    assert until is not None
    assert 10.0 <= until - 1000.0 <= 600.0


def test_a_lost_run_is_run_again_and_five_in_a_row_wait() -> None:
    """A machine that goes down costs nothing; one that always does needs a person."""
    one = attempt(End.LOST, FailureClass.MACHINE)
    assert isinstance(after(*[one] * 4), Again)
    assert after(*[one] * 5).hold.reason is HoldReason.FAULT


def test_a_blocked_agent_asks() -> None:
    """Its question is the hold."""
    asked = after(attempt(End.BLOCKED))
    assert isinstance(asked, Ask)
    assert asked.hold.why == "because"


def test_a_check_that_was_red_already_is_not_blamed_on_the_task() -> None:
    """Only what passed on the base can be broken."""
    base = (check(False, "old"), check(True, "new"))
    assert broken(base, (check(False, "old"), check(False, "new"))) == ("new",)


RED, GREEN = replace(check(False), commit="c"), replace(check(True), commit="c")


@pytest.mark.parametrize(
    ("baseline", "before", "now", "names"),
    [
        ((), (attempt(checks=(RED,)),), (GREEN,), ("test",)),
        ((), (attempt(checks=(replace(RED, commit="older"),)),), (GREEN,), ()),
        ((), (attempt(checks=(replace(RED, commit="older", wavers=True),)),), (GREEN,), ("test",)),
        ((replace(RED, commit=BASE, wavers=True),), (), (GREEN,), ("test",)),
        ((replace(RED, commit=BASE),), (), (GREEN,), ()),
        ((), (attempt(checks=(RED,)),), (RED,), ()),
        ((), (attempt(checks=(RED,)),), (replace(GREEN, name="lint"),), ()),
        ((), (attempt(checks=(GREEN,)),), (GREEN,), ()),
    ],
)
def test_a_check_is_flaky_when_one_commit_both_passed_and_failed(
    baseline: tuple[CheckResult, ...], before: tuple[Attempt, ...], now: tuple[CheckResult, ...], names: tuple[str, ...]
) -> None:
    """In a row of tries, or from one attempt to the next; a check that was mended by another commit is not."""
    assert flaky(baseline, before, now) == names
