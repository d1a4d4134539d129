"""How a run gets along with its runbook: ticks, failed attempts, turns that would end too early. Value in, value out."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from overnight.missions.runbook import Runbook, RunbookLimits, RunbookOrder, RunbookUse, Standing, Step, parse
from overnight.missions.runbook_versions import Deviation, compare, listed, pace

#: Deviations that are kept for the outcome.
MOST_KEPT = 50
#: Open steps that are told.
MOST_TOLD = 5


class Course(Struct, frozen=True, kw_only=True):
    """What is remembered of a run."""

    runbook: Runbook
    limits: RunbookLimits = RunbookLimits()
    path: str = ""
    #: Ids of the steps that were ever seen ticked, and of those that are now.
    ever: frozenset[str] = frozenset()
    now: frozenset[str] = frozenset()
    #: Numbers of the steps that this run ticked.
    fresh: tuple[int, ...] = ()
    #: What is wrong with the file now, and what ever was.
    wrong: tuple[Deviation, ...] = ()
    deviations: tuple[str, ...] = ()
    #: Failed attempts by the id of the step.
    failed: dict[str, int] = {}
    #: Turns that would have ended without a tick since the one before, and altogether.
    idle: int = 0
    sent_back: int = 0

    @property
    def open(self) -> tuple[Step, ...]:
        """The open steps, in order."""
        return self.runbook.open(self.now)

    @property
    def spent(self) -> str:
        """Why the error budget is used up; empty while it is not."""
        budget, altogether = self.runbook.budget, sum(self.failed.values())
        for step in self.runbook.steps:
            if budget.per_step is not None and (count := self.failed.get(step.id, 0)) > budget.per_step:
                return (
                    f"the error budget of step {step.words} is used up: {_attempts(count)}, {budget.per_step} allowed"
                )
        if budget.overall is not None and altogether > budget.overall:
            return f"the error budget of the runbook is used up: {_attempts(altogether)}, {budget.overall} allowed"
        return ""

    @property
    def use(self) -> RunbookUse:
        """For the run's outcome."""
        return RunbookUse(
            ticked=self.fresh,
            failed=self.failed,
            sent_back=self.sent_back,
            deviations=self.deviations,
            spent=self.spent,
        )


class Seen(Struct, frozen=True):
    """What is new in the file."""

    #: Steps that were never seen ticked before.
    fresh: tuple[Step, ...] = ()
    deviations: tuple[Deviation, ...] = ()


def begin(order: RunbookOrder, limits: RunbookLimits) -> Course:
    """Raises RunbookInvalid."""
    ticked = frozenset(order.ticked)
    runbook = parse(order.text, order.path)
    return Course(runbook=runbook, limits=limits, path=order.path, ever=ticked, now=ticked, failed=order.failed)


def seen(course: Course, text: str | None) -> tuple[Course, Seen]:
    """The file as it is now; None when it can't be had."""
    reading = compare(course.runbook, text, course.ever)
    fresh, unusual = pace(course.runbook, course.ever, reading.ticked)
    new = tuple(each for each in (*reading.deviations, *unusual) if each not in course.wrong)
    kept = tuple(dict.fromkeys((*course.deviations, *(each.words for each in new))))[:MOST_KEPT]
    course = replace(
        course, ever=course.ever | reading.ticked, now=reading.ticked, wrong=reading.deviations, deviations=kept,
        fresh=(*course.fresh, *(step.number for step in fresh)), idle=0 if fresh else course.idle,
    )  # fmt: skip
    return course, Seen(fresh, new)


def tried(course: Course, command: str, checks: Iterable[str]) -> tuple[Course, str]:
    """A command failed. With what the agent is to be told when that was an attempt at the open step."""
    if not course.open:
        return course, ""
    step = course.open[0]
    parts = {part.strip() for part in (command, *re.split(r"&&|\|\||[;|\n]", command))}
    if parts.isdisjoint((*checks, *step.commands)):
        return course, ""
    count = course.failed.get(step.id, 0) + 1
    course = replace(course, failed={**course.failed, step.id: count})
    budget, altogether = course.runbook.budget, sum(course.failed.values())
    if course.spent or (count != budget.per_step and altogether != budget.overall):
        return course, ""
    what = f"{_attempts(count)} at step {step.number}, {altogether} altogether"
    return course, (
        f"Note from the supervisor: the error budget is used up ({what}). One more failed attempt ends your session: "
        "find the cause before you try again."
    )


def ended(course: Course) -> tuple[Course, str]:
    """The agent would end its turn: what it is sent back with; empty when it may go."""
    wrong = [each.words for each in course.wrong if each.of_text]
    if not (course.open or wrong) or not_again(course):
        return course, ""
    course = replace(course, idle=course.idle + 1, sent_back=course.sent_back + 1)
    parts = ["Note from the supervisor: this is not the end."]
    if wrong:
        parts.append(f"In `{course.path}` only boxes may be changed. Put back what was there ({'; '.join(wrong)}).")
    if course.open:
        count = f"{len(course.open)} of {len(course.runbook.steps)} boxes are open"
        parts.append(f"{count} in `{course.path}`. Go on with step {course.open[0].words}")
    parts.append("If you cannot go on without a person, end with one line: `BLOCKED: what you need to know`.")
    return course, "\n".join(parts)


def not_again(course: Course) -> str:
    """Why it is not sent back once more; empty while it may be."""
    if course.idle >= course.limits.idle_ends:
        return f"it would end its turn for the {_th(course.idle + 1)} time in a row without a ticked box"
    if course.sent_back >= course.limits.ends:
        return f"it was sent back {course.sent_back} times"
    return ""


def _attempts(count: int) -> str:
    return f"{count} failed attempt{'s' if count != 1 else ''}"


def _th(count: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{count}{'th' if count % 100 in (11, 12, 13) else ends.get(count % 10, 'th')}"


# -- after the run ------------------------------------------------------------------------------------------


def unfinished(standing: Standing | None) -> tuple[str, ...]:
    """What the runbook itself says against a landing."""
    if standing is None:
        return ()
    found = [f"in the runbook {each}; only its boxes may be changed" for each in standing.deviations]
    if standing.open:
        more = f" and {len(standing.open) - MOST_TOLD} more" if len(standing.open) > MOST_TOLD else ""
        found.append(
            f"{len(standing.open)} of {standing.total} boxes of the runbook are open: {'; '.join(standing.open[:MOST_TOLD])}{more}"
        )
    return tuple(found)


def told(steps: tuple[Step, ...]) -> str:
    """For a commit's first line: `Step 3: Title`, or `Steps 3, 4: Title; Title`."""
    what = listed(steps)
    return f"{what[0].upper()}{what[1:]}: {'; '.join(step.title for step in steps)}"
