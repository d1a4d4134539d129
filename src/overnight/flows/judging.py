"""The story of a judgement: evidence about exactly this commit, judges who see nothing else, a person where code can't tell."""

from __future__ import annotations

from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from overnight.durable.flow import Story
from overnight.flows.deciding import ask_about, decided_in_time
from overnight.judge.autonomy import AskPerson, Blocked, Disagree, Land, Repair, course
from overnight.judge.holds import judges_away
from overnight.judge.risk import with_doubts
from overnight.judge.verdict import Failed, Opinion, Passed, Tally, out_of_reach, tally
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.judging import BLOCKED
from overnight.missions.policy import LandingMode
from overnight.missions.run import Attempt, CheckResult
from overnight.missions.task import Phase, Task
from overnight.ports import Examined, Ground, House

#: Times in a row that judges who can't be reached are waited for before a person is asked: about three hours of an outage.
ROUNDS = 24


class Approved(Struct, frozen=True):
    """It may land: of itself, or because a person said so."""

    #: Who said so; empty when nobody had to.
    by: str
    #: What it was said about, where that was looked at.
    examined: Examined | None = None
    opinions: tuple[Opinion, ...] = ()
    #: A person has yet to say so, once the forge's checks are green as well.
    hold: Hold | None = None


class Redo(Struct, frozen=True):
    """Another run mends what the judges found. Costs this attempt."""

    issues: tuple[str, ...]


class Rejected(Struct, frozen=True):
    """A person said no."""

    why: str


async def judged(
    t: Story,
    house: House,
    task: Task,
    ground: Ground,
    baseline: tuple[CheckResult, ...],
    attempt: Attempt,
    spec: str,
    *,
    mends: bool,
) -> Approved | Redo | Rejected:
    """Whether a result whose checks passed may land.

    spec: what was asked for and answered, as judges get it. mends: another run is left.
    """
    t.at(Phase.JUDGING)
    n = attempt.n
    examined = await t.step(f"examine {n}", house.examiner.examine, task, ground, baseline, attempt, spec)
    if (task.landing or ground.policy.landing) is LandingMode.BRANCH:
        return Approved("")  # it stays on a branch: whoever merges it decides
    opinions: tuple[Opinion, ...] = ()
    for k in count(1):
        opinions = await _opinions(t, house, task, ground, attempt, examined, opinions, k)
        t.at(Phase.DECIDING)
        about = {"commit": examined.commit, "evidence": examined.evidence, "author": examined.family}
        if k < ROUNDS and (missing := out_of_reach(opinions, ground.policy.judges, **about)):
            await t.hold(f"judge {_key(n, k)}", judges_away(missing, k, task.id))
            continue
        result = tally(opinions, ground.policy.judges, **about)
        if (done := await _decided(t, task, ground, _key(n, k), examined, result, mends=mends)) is not None:
            return replace(done, examined=examined, opinions=opinions) if isinstance(done, Approved) else done
        opinions = ()  # all of them are asked anew
    raise AssertionError("count() does not end")


def _key(n: int, k: int) -> str:
    """Names the k-th asking about the n-th result."""
    return f"{n}" if k == 1 else f"{n}.{k}"


async def _opinions(
    t: Story,
    house: House,
    task: Task,
    ground: Ground,
    attempt: Attempt,
    examined: Examined,
    heard: tuple[Opinion, ...],
    k: int,
) -> tuple[Opinion, ...]:
    """What judges say; who gave a verdict before is not asked again."""
    if not ground.policy.judges.families or examined.risk.blocks:  # nothing that they say would outweigh a block
        return ()
    t.at(Phase.JUDGING)
    run, budget, judge = attempt.outcome.run, ground.policy.limits.budget, house.judges.judge
    with t.cancellable():
        return await t.step(f"judge {_key(attempt.n, k)}", judge, task, examined, run, house.purse, budget, heard)


async def _decided(
    t: Story, task: Task, ground: Ground, n: str, examined: Examined, result: Tally, *, mends: bool
) -> Approved | Redo | Rejected | None:
    """None: the judges are to be asked again."""
    sure = result.confidence if isinstance(result, Passed) else None
    match course(result, with_doubts(examined.risk, sure, ground.policy.risk), examined.standing, mends=mends):
        case Land():
            return Approved("")
        case Repair(why=why):
            return Redo(result.issues if isinstance(result, Failed) and not examined.risk.blocks else (why,))
        case AskPerson(why=why):
            hold = _hold(task, examined.commit, HoldReason.NEEDS_APPROVAL, why)
            if _later(task, ground, examined):
                return Approved("", hold=hold)
            return await _asked(t, n, examined.commit, hold)
        case Disagree(why=why):
            hold = _hold(task, examined.commit, HoldReason.JUDGES_DISAGREE, why)
            if _later(task, ground, examined):
                return Approved("", hold=hold)
            return await _asked(t, n, examined.commit, hold)
        case Blocked(why=why):
            hold = _hold(task, examined.commit, HoldReason.NEEDS_APPROVAL, f"{BLOCKED}{why}", " --anyway")
            return await _asked(t, n, examined.commit, hold, anyway=True)


def _later(task: Task, ground: Ground, examined: Examined) -> bool:
    """Whether a person is asked on its pull request, and not before: what the forge's checks run is changed by nobody."""
    runs_there = any(factor.name == "workflows" for factor in examined.risk.factors)
    return (task.landing or ground.policy.landing).remote and not runs_there


def _hold(task: Task, commit: str, reason: HoldReason, why: str, how: str = "") -> Hold:
    ways = f'`overnight approve {task.id}{how}` or `overnight reject {task.id} "why"`'
    return Hold(
        reason=reason, why=f"{why} (commit {commit[:12]})", releases_on=f"`overnight diff {task.id}` shows it; {ways}"
    )


async def _asked(t: Story, n: str, commit: str, hold: Hold, *, anyway: bool = False) -> Approved | Rejected | None:
    """Wait for a person's word on exactly this commit: one about another is none. anyway: a plain yes is not enough.

    None: nobody came in time, and the policy has the judges asked again.
    """
    for k in count(1):
        ask, retries = ask_about(t, f"{n}.{k}", commit, anyway=anyway), hold.reason is HoldReason.JUDGES_DISAGREE
        decision = await decided_in_time(t, f"decision {n}.{k}", hold, ask, retries=retries)
        if decision is None:
            return None
        # A ticket is about nothing else; older journals hold words that are.
        if decision.commit != commit or (decision.approved and anyway and not decision.anyway):
            continue
        return Approved(decision.by) if decision.approved else Rejected(decision.why or "a person said no")
    raise AssertionError("count() does not end")
