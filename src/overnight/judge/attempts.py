"""What comes after a run: land, run again, wait, or give up. Decided on evidence; the agent's words count for nothing."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from overnight.judge.change import Sort, sort_of
from overnight.judge.course import unfinished
from overnight.judge.holds import hold_for
from overnight.missions.globs import matching
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.policy import Policy
from overnight.missions.run import Attempt, CheckResult, End, FailureClass

#: A change to the policy itself is never landed by the task that made it.
OWN_POLICY = "overnight.toml"
#: Wardens lost in a row (kill -9, reboot) before a person is asked.
LOST_IN_A_ROW = 5


class Proved(Struct, frozen=True):
    """The commit passed everything that is asked of it here."""


class Again(Struct, frozen=True):
    """Another run, told why."""

    why: str


class Wait(Struct, frozen=True):
    """Nothing is wrong with the work: wait, then run again. Costs no attempt."""

    hold: Hold


class Ask(Struct, frozen=True):
    """The agent can't go on without a person's answer."""

    hold: Hold


class GiveUp(Struct, frozen=True):
    """No attempt is left."""

    why: str


Next = Proved | Again | Wait | Ask | GiveUp


def broken(base: Sequence[CheckResult], now: Sequence[CheckResult]) -> tuple[str, ...]:
    """Checks that fail now and were not red on the base already."""
    red = {check.name for check in base if not check.passed}
    return tuple(check.name for check in now if not check.passed and check.name not in red)


def flaws(attempt: Attempt, base: str, policy: Policy) -> tuple[str, ...]:
    """What stands between this attempt and its landing; empty when nothing does."""
    found = [f"not importable: {why}" for why in attempt.result.refused]
    if attempt.result.commit == base or not attempt.result.changed:  # commits that take each other back, or are empty
        found.append("nothing was changed")
    found += [
        f"{path} must not be changed by a task"
        for path in matching(attempt.result.changed, (OWN_POLICY, *policy.paths.forbidden))
    ]
    found += [
        f"{path} acts on whoever opens the folder with an agent or an editor, and must not be changed by a task"
        for path in planted(attempt.result.changed, policy)
    ]
    found += unfinished(attempt.runbook)
    found += [f"check {name!r} fails and passed on the base" for name in attempt.broke]
    found += list(attempt.issues)
    if attempt.checks and not any(check.passed for check in attempt.checks):
        found.append("not one check passes, so nothing proves the change")
    return tuple(found)


def flaky(baseline: Sequence[CheckResult], before: Sequence[Attempt], checks: Sequence[CheckResult]) -> tuple[str, ...]:
    """Names of those of these checks that pass, and were seen to pass by chance: one and the same commit passed and
    failed, in a row of tries or in one attempt and the next."""
    earlier = (*baseline, *(check for attempt in before for check in attempt.checks))
    wavering = {check.name for check in earlier if check.wavers}
    failed = {(check.name, check.commit) for check in earlier if not check.passed}
    return tuple(
        check.name
        for check in checks
        if check.passed and (check.name in wavering or (check.name, check.commit) in failed)
    )


def planted(changed: Sequence[str], policy: Policy) -> tuple[str, ...]:
    """Settings of agents and editors, which run programs without being asked; not the ones the policy gives free.

    What agents are told in words (`CLAUDE.md`) is not among them: it weighs in the risk.
    """
    free = set(matching(changed, policy.paths.settings))
    return tuple(
        path
        for path in changed
        if path not in free and not path.lower().endswith(".md") and sort_of(path) is Sort.AGENT
    )


def decide(attempts: Sequence[Attempt], base: str, policy: Policy, limit: int, task: str) -> Next:
    """What to do after the last of these attempts. limit: attempts that may be spent."""
    last = attempts[-1]
    if (next_ := _outside(attempts, task)) is not None:
        return next_
    if (next_ := _along_the_runbook(attempts, policy, task)) is not None:
        return next_
    if last.outcome.end is End.HANDED_OVER:
        return _handed_over(attempts, policy.limits.context.hand_overs, task)
    problems = flaws(last, base, policy)
    if last.outcome.end is End.COMPLETED and not problems:
        return Proved()
    if last.outcome.end is End.BLOCKED:
        how = f'`overnight answer {task} "..."`, or `overnight cancel {task}`'
        return Ask(Hold(reason=HoldReason.NEEDS_ANSWER, why=last.outcome.why, releases_on=how))
    if last.outcome.end is End.STOPPED:
        return Again("it was stopped by a person")
    said = () if last.outcome.end is End.COMPLETED else (last.outcome.why, *unfinished(last.runbook))
    why = "; ".join(said or problems)
    spent = sum(1 for attempt in attempts if costs(attempt, base, policy))
    if spent >= limit and (last.outcome.failure is FailureClass.STUCK or (last.runbook and last.runbook.open)):
        # Ending it was no verdict on the work: a person may see what it needs.
        how = f"`overnight resume {task}` gives it one more run, or `overnight cancel {task}`"
        return Wait(_hold(HoldReason.STUCK, f"{why} (after {_runs(spent)})", how, None))
    if spent >= limit:
        return GiveUp(f"{why} (after {spent} attempts)" if spent > 1 else why)
    return Again(why)


def costs(attempt: Attempt, base: str, policy: Policy) -> bool:
    """Whether an attempt counts: the work was tried and was not good enough."""
    if advanced(attempt):
        return False
    if attempt.outcome.failure is not None:
        return attempt.outcome.failure.costs_attempt
    return attempt.outcome.end is End.COMPLETED and bool(flaws(attempt, base, policy))


def _handed_over(attempts: Sequence[Attempt], most: int, task: str) -> Next:
    """A fresh run goes on from the notes; but not for ever."""
    row = next(
        (n for n, each in enumerate(reversed(attempts)) if each.outcome.end is not End.HANDED_OVER), len(attempts)
    )
    if row <= most:
        return Again(attempts[-1].outcome.why)
    why = f"its context was full {row} times in a row, and it has not come to an end: it may be too much for one task"
    how = f"`overnight resume {task}` gives it one more run, or `overnight cancel {task}` and add it in smaller parts"
    return Wait(_hold(HoldReason.STUCK, why, how, None))


def advanced(attempt: Attempt) -> bool:
    """A part of its runbook was done and more is left: that is how a long one is meant to go."""
    standing = attempt.runbook
    insecure = attempt.outcome.failure is FailureClass.SECURITY
    return standing is not None and standing.progressed and bool(standing.open) and not insecure


def _along_the_runbook(attempts: Sequence[Attempt], policy: Policy, task: str) -> Next | None:
    """What a runbook says that is not done yet; None when nothing of its own."""
    last = attempts[-1]
    why = "; ".join(unfinished(last.runbook))
    how = f"`overnight resume {task}` gives it one more run, or `overnight cancel {task}`"
    if (use := last.outcome.runbook) is not None and use.spent:
        return Wait(_hold(HoldReason.STUCK, f"{use.spent}; {why}", how, None))
    if last.outcome.end in (End.BLOCKED, End.STOPPED) or not advanced(last):
        return None
    runs = sum(1 for attempt in attempts if advanced(attempt))
    if runs <= policy.limits.runbook.runs:
        return Again(why)
    return Wait(_hold(HoldReason.STUCK, f"{runs} runs ticked boxes, and it has not come to an end: {why}", how, None))


def _outside(attempts: Sequence[Attempt], task: str) -> Next | None:
    """Failures that say nothing about the work."""
    outcome = attempts[-1].outcome
    row = _in_a_row(attempts)
    resume = f"`overnight resume {task}`"
    match outcome.failure:
        case FailureClass.MACHINE if row < LOST_IN_A_ROW:
            return Again("the run was lost with its machine")
        case FailureClass.MACHINE:
            return Wait(_hold(HoldReason.FAULT, f"{row} runs in a row were lost: {outcome.why}", resume, None))
        case FailureClass.LAUNCH if outcome.resumed is not None:
            return Again(f"its session could not be gone on with: {outcome.why}")
        case _:
            hold = hold_for(outcome, row, task)
            return None if hold is None else Wait(hold)


def _runs(count: int) -> str:
    return f"{count} attempts" if count > 1 else "its only attempt"


def _in_a_row(attempts: Sequence[Attempt]) -> int:
    count = 0
    for attempt in reversed(attempts):
        if attempt.outcome.failure is not attempts[-1].outcome.failure:
            break
        count += 1
    return count


def _hold(reason: HoldReason, why: str, releases_on: str, until: float | None) -> Hold:
    return Hold(reason=reason, why=why, releases_on=releases_on, until=until)
