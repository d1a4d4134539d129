"""Every way in which a model API fails, with the real Claude Code CLI behind the real gateway: the class, the hold that
it leads to, when that ends, and that no attempt is burnt."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct
from scene import KEY, Scene, within

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import Cut, Fail, Garble, Reply, Say, Stall, Use, play, playing
from overnight.agents.scripted.script import Step
from overnight.judge.attempts import Again, GiveUp, Proved, Wait, costs, decide
from overnight.judge.limits import CAP_S, Ceilings
from overnight.missions.hold import HoldReason
from overnight.missions.limits import Contact, Trouble
from overnight.missions.policy import Check, Policy
from overnight.missions.run import Attempt, End, FailureClass, Result, RunOutcome
from overnight.missions.units import Duration

ENVIRON = {"ANTHROPIC_API_KEY": KEY, "PATH": "/usr/bin:/bin"}
WORK = Use("Bash", {"command": "echo hello >> made.txt", "description": "Work"})
POLICY = Policy(checks={"test": Check(run="true")})
WINDOW = {
    "anthropic-ratelimit-unified-5h-status": "allowed",
    "anthropic-ratelimit-unified-5h-reset": "99",
    "anthropic-ratelimit-unified-5h-utilization": "0.96",
}


class Row(Struct, frozen=True, kw_only=True):
    """A failure and what becomes of it."""

    steps: tuple[Step, ...]
    failure: FailureClass | None
    trouble: Trouble | None = None
    #: None: it does not wait.
    hold: HoldReason | None = None
    #: Seconds from the end of the run to the next try; None waits for a person.
    after: tuple[float, float] | None = None
    strikes: int = 0
    upstream: bool = True
    #: Seconds that the CLI waits for an answer, or for the rest of one.
    patience: float | None = None


LIMIT, VENDOR, AUTH = FailureClass.LIMIT, FailureClass.VENDOR, FailureClass.AUTH
#: After the first failure: 20 s, +-25 %.
SOON = (15.0, 25.0)
ROWS = {
    "401": Row(steps=(Fail(401, times=9),), failure=AUTH, hold=HoldReason.AUTH_EXPIRED),
    "403": Row(steps=(Fail(403, times=9),), failure=AUTH, hold=HoldReason.AUTH_EXPIRED),
    "400": Row(
        steps=(Fail(400, "odd", times=9),),
        failure=FailureClass.LAUNCH,
        hold=HoldReason.BOX_UNAVAILABLE,
        after=SOON,
    ),
    "credit": Row(
        steps=(Fail(400, "Your credit balance is too low to access the Anthropic API."),),
        failure=FailureClass.MONEY,
        hold=HoldReason.ALLOWANCE_SPENT,
    ),
    "404-model": Row(
        steps=(Fail(404, "model: x", times=2),),
        failure=FailureClass.LAUNCH,
        hold=HoldReason.BOX_UNAVAILABLE,
        after=SOON,
    ),
    "429": Row(steps=(Fail(429),), failure=LIMIT, trouble=Trouble.RATE, hold=HoldReason.LIMIT_REACHED, after=SOON),
    "429-retry-after": Row(
        steps=(WORK, Fail(429, headers={"retry-after": "300"})),
        failure=LIMIT,
        trouble=Trouble.RATE,
        hold=HoldReason.LIMIT_REACHED,
        after=(295.0, 331.0),
    ),
    "500": Row(
        steps=(WORK, Fail(500)), failure=VENDOR, trouble=Trouble.OUTAGE, hold=HoldReason.VENDOR_OUTAGE, after=SOON, strikes=1
    ),
    "529": Row(
        steps=(Fail(529),), failure=VENDOR, trouble=Trouble.OVERLOADED, hold=HoldReason.VENDOR_OUTAGE, after=SOON, strikes=1
    ),
    "529-retry-after": Row(
        steps=(Fail(529, headers={"retry-after": "90"}),),
        failure=VENDOR,
        trouble=Trouble.OVERLOADED,
        hold=HoldReason.VENDOR_OUTAGE,
        after=(85.0, 121.0),
        strikes=1,
    ),
    "refused": Row(
        steps=(),
        failure=VENDOR,
        trouble=Trouble.NETWORK,
        hold=HoldReason.NETWORK_LOST,
        after=SOON,
        strikes=1,
        upstream=False,
    ),
    "cut": Row(steps=(Cut(), Cut()), failure=VENDOR, trouble=Trouble.NETWORK, hold=HoldReason.NETWORK_LOST, after=SOON),
    "malformed": Row(
        steps=(Garble(),) * 2, failure=VENDOR, trouble=Trouble.OUTAGE, hold=HoldReason.VENDOR_OUTAGE, after=SOON
    ),
    "no-answer": Row(
        steps=(Stall("never", Say("late")),) * 3,
        failure=VENDOR,
        trouble=Trouble.OUTAGE,
        hold=HoldReason.VENDOR_OUTAGE,
        after=SOON,
        patience=3.0,
    ),
    "stalled": Row(
        steps=(WORK, *(Stall("never", Say("late"), midway=True),) * 3),
        failure=VENDOR,
        trouble=Trouble.OUTAGE,
        hold=HoldReason.VENDOR_OUTAGE,
        after=SOON,
        patience=3.0,
    ),
    "too-long": Row(steps=(Fail(400, "prompt is too long: 300000 tokens > 200000 maximum"),), failure=FailureClass.AGENT),
    "max-tokens": Row(steps=(Reply((Say("a"),), stop="max_tokens"),) * 4, failure=FailureClass.AGENT),
    "refusal": Row(steps=(Reply((Say("no"),), stop="refusal"),) * 2, failure=FailureClass.AGENT),
    "empty": Row(steps=(Reply(), Reply()), failure=FailureClass.AGENT),
    "healed": Row(steps=(Cut(), WORK, Say("All done.")), failure=None),
}  # fmt: skip


def run(
    scene: Scene, steps: tuple[Step, ...], *, upstream: bool = True, patience: float | None = None, **more: Any
) -> RunOutcome:
    """One run of the CLI, which repeats nothing of itself: how often it does is its business, how it ends is ours."""

    async def story() -> RunOutcome:
        async with playing(play(*steps)) as (url, _):
            there = url if upstream else "http://127.0.0.1:9"
            waits = {} if patience is None else dict.fromkeys(("answer_limit", "stall_limit"), Duration(patience))
            agent = ClaudeAgent(ClaudeSettings(upstream=there, retries=0, **waits), ENVIRON)
            return await scene.keeper("", "bubblewrap", agent=agent, environ=ENVIRON, **more).keep()

    return within(story())


def tried(outcome: RunOutcome, times: int = 1) -> list[Attempt]:
    return [Attempt(n=n + 1, outcome=outcome, result=Result(commit="base", ref="r")) for n in range(times)]


@pytest.mark.cli
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_each_failure_leads_to_its_hold(scene: Scene, row: Row) -> None:
    """What the API does wrong waits with its own reason and time; what the work does wrong costs an attempt."""
    outcome = run(scene, row.steps, upstream=row.upstream, patience=row.patience)
    assert (outcome.failure, outcome.trouble) == (row.failure, row.trouble), outcome
    assert outcome.contact.account == "claude gateway"
    assert outcome.contact.strikes == row.strikes
    next_ = decide(tried(outcome), "base", POLICY, 1, "t1")
    if row.hold is None:
        assert isinstance(next_, GiveUp | Again | Proved)
        return
    assert isinstance(next_, Wait)
    assert next_.hold.reason is row.hold
    assert next_.hold.about == "claude gateway"
    assert next_.hold.releases_on
    assert next_.hold.then
    assert not any(costs(attempt, "base", POLICY) for attempt in tried(outcome))
    if row.after is None:
        assert next_.hold.until is None
    else:
        assert next_.hold.until is not None
        assert row.after[0] <= next_.hold.until - outcome.ended <= row.after[1]


@pytest.mark.cli
def test_a_run_ends_at_the_ceiling(scene: Scene) -> None:
    """A person's share of a window is kept: the run ends cleanly in its middle, and its work is kept."""
    reset = 4_000_000_000
    headers = {**WINDOW, "anthropic-ratelimit-unified-5h-reset": str(reset)}
    steps = (Reply((WORK,)), Reply((WORK,), headers=headers), *(Reply((WORK,)),) * 50)
    outcome = run(scene, steps, ceilings=Ceilings(stop_above=95))
    assert (outcome.end, outcome.failure, outcome.trouble) == (End.STOPPED_BY_LIMIT, LIMIT, Trouble.CEILING), outcome
    assert outcome.until == reset
    assert "five-hour window of claude gateway is 96% used" in outcome.why
    assert (scene.work / "made.txt").exists()
    (window,) = outcome.contact.windows
    assert (window.name, window.used, window.source) == ("five-hour", 0.96, "headers")


@pytest.mark.cli
def test_a_lifted_ceiling_ends_nothing(scene: Scene) -> None:
    """What a person lifts does not hold."""
    steps = (Reply((WORK,), headers={**WINDOW, "anthropic-ratelimit-unified-5h-reset": "4000000000"}), Say("All done."))
    outcome = run(scene, steps, ceilings=Ceilings(stop_above=95), lifted=lambda: True)
    assert outcome.end is End.COMPLETED, outcome


def outcome_of(trouble: Trouble | None, failure: FailureClass, **more: Any) -> RunOutcome:
    contact = Contact(account="claude direct", answered=900.0)
    return RunOutcome(
        run="t1.1.1",
        end=End.FAILED,
        failure=failure,
        why="x",
        trouble=trouble,
        ended=1000.0,
        session="s",
        contact=contact,
        **more,
    )


@pytest.mark.parametrize(
    ("outcome", "reason", "releases", "after"),
    [
        (
            outcome_of(Trouble.WINDOW, LIMIT, until=5000.0),
            HoldReason.LIMIT_REACHED,
            "the window begins anew",
            (4001.0, 4030.0),
        ),
        (
            outcome_of(Trouble.CEILING, LIMIT, until=5000.0),
            HoldReason.LIMIT_REACHED,
            "overnight limits lift",
            (4001.0, 4030.0),
        ),
        (outcome_of(Trouble.WINDOW, LIMIT, until=900.0), HoldReason.LIMIT_REACHED, "the window begins anew", SOON),
        (outcome_of(Trouble.RATE, LIMIT), HoldReason.LIMIT_REACHED, "takes requests again", SOON),
        (outcome_of(Trouble.OVERLOADED, VENDOR), HoldReason.VENDOR_OUTAGE, "answers again", SOON),
        (outcome_of(Trouble.OUTAGE, VENDOR), HoldReason.VENDOR_OUTAGE, "answers again", SOON),
        (outcome_of(Trouble.NETWORK, VENDOR), HoldReason.NETWORK_LOST, "reached again", SOON),
        (outcome_of(None, AUTH), HoldReason.AUTH_EXPIRED, "every other task on claude direct", None),
        (
            outcome_of(None, FailureClass.MONEY, until=7.0),
            HoldReason.ALLOWANCE_SPENT,
            "overnight budget set",
            (-993.0, -993.0),
        ),
        (outcome_of(None, FailureClass.LAUNCH), HoldReason.BOX_UNAVAILABLE, "mend what it says", SOON),
    ],
)
def test_each_trouble_says_what_releases_it(
    outcome: RunOutcome, reason: HoldReason, releases: str, after: tuple[float, float] | None
) -> None:
    """The table without the CLI: reason, what releases it, when, and what happens then."""
    next_ = decide(tried(outcome), "base", POLICY, 1, "t1")
    assert isinstance(next_, Wait)
    hold = next_.hold
    assert hold.reason is reason
    assert releases in hold.releases_on
    assert hold.then == ("another run begins" if outcome.failure is FailureClass.LAUNCH else "its session goes on")
    assert (hold.until is None) is (after is None)
    if hold.until is not None and after is not None:
        assert after[0] <= hold.until - outcome.ended <= after[1] <= max(CAP_S, 4030.0)
