"""Two versions of a runbook: what was ticked, and what else was done to it, each with a name. And the words about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise

from msgspec import Struct

from overnight.missions.runbook import MOST_TEXT, Runbook, Scan, Standing, Step


class Kind(StrEnum):
    """What may be wrong with a version that an agent left."""

    MISSING = "missing"
    UNTICKED = "unticked"
    EDITED = "edited"
    REMOVED = "removed"
    ADDED = "added"
    REORDERED = "reordered"
    REWRITTEN = "rewritten"
    #: These two are about how it was ticked, and stay on record only.
    SEVERAL = "several"
    OUT_OF_ORDER = "out-of-order"


_WORDS = {
    Kind.MISSING: "the runbook is not there any more, or is no text",
    Kind.UNTICKED: "the box was emptied again",
    Kind.EDITED: "the words of the step were changed",
    Kind.REMOVED: "the step was removed",
    Kind.ADDED: "a step was added",
    Kind.REORDERED: "the steps stand in another order",
    Kind.REWRITTEN: "the words around the steps were changed",
    Kind.SEVERAL: "several boxes were ticked in one go",
    Kind.OUT_OF_ORDER: "it was ticked while an earlier step is open",
}


class Deviation(Struct, frozen=True):
    """Something other than one more ticked box."""

    kind: Kind
    #: What it is about: a step, or several.
    about: str = ""

    @property
    def words(self) -> str:
        """One line."""
        return f"{self.about}: {_WORDS[self.kind]}" if self.about else _WORDS[self.kind]

    @property
    def of_text(self) -> bool:
        """It is in the file, and stays wrong until it is put back."""
        return self.kind not in (Kind.SEVERAL, Kind.OUT_OF_ORDER)


class Reading(Struct, frozen=True):
    """A version of a runbook, against the one that was given."""

    #: Ids of the given steps that are ticked in it.
    ticked: frozenset[str]
    deviations: tuple[Deviation, ...] = ()


def compare(given: Runbook, text: str | None, known: Iterable[str]) -> Reading:
    """What a version says. text: None when it can't be had. known: ids of the steps that were ticked before."""
    if text is None or len(text) > 2 * MOST_TEXT:
        return Reading(frozenset(), (Deviation(Kind.MISSING),))
    scan = Scan(text)
    ids = {step.id for step in given.steps}
    same = [step for step in scan.steps if step.id in ids]
    bare = {step.id for step in same if not step.ticked}
    ticked = frozenset(step.id for step in same) - bare
    return Reading(ticked, tuple(_deviations(given, scan, same, bare & set(known))))


def _deviations(given: Runbook, scan: Scan, same: Sequence[Step], emptied: set[str]) -> Iterator[Deviation]:
    yield from (Deviation(Kind.UNTICKED, step.words) for step in given.steps if step.id in emptied)
    here = [step.id for step in same]
    known = {step.id: step for step in given.steps}
    gone = [step for step in given.steps if step.id not in here]
    new = [step for step in scan.steps if step.id not in known]
    for step in gone:
        twin = next((each for each in new if each.number == step.number or each.title == step.title), None)
        if twin is not None:
            new.remove(twin)
        yield Deviation(Kind.REMOVED if twin is None else Kind.EDITED, step.words)
    twice = [step for n, step in enumerate(same) if step.id in here[:n]]
    # By its number alone: the words are the agent's.
    yield from (Deviation(Kind.ADDED, f"step {step.number}") for step in [*new, *twice])
    places = [next(n for n, step in enumerate(given.steps) if step.id == each) for each in dict.fromkeys(here)]
    if any(one > other for one, other in pairwise(places)):
        yield Deviation(Kind.REORDERED)
    elif not gone and not new and not twice:
        yield from (Deviation(Kind.EDITED, known[s.id].words) for s in same if s.number != known[s.id].number)
    if tuple(scan.around) != given.around:
        yield Deviation(Kind.REWRITTEN)


def pace(
    given: Runbook, before: Iterable[str], ticked: Iterable[str]
) -> tuple[tuple[Step, ...], tuple[Deviation, ...]]:
    """The steps that were ticked since, in order, and what is unusual about how."""
    known, now = frozenset(before), frozenset(ticked)
    fresh = tuple(step for step in given.steps if step.id in now - known)
    found = [Deviation(Kind.SEVERAL, listed(fresh))] if len(fresh) > 1 else []
    still = given.open(now | known)
    found += [Deviation(Kind.OUT_OF_ORDER, step.words) for step in fresh if still and still[0].number < step.number]
    return fresh, tuple(found)


def standing(given: Runbook, text: str | None, before: Iterable[str]) -> Standing:
    """How far it is in a version. before: ids of the steps that were ticked where the run began."""
    known = tuple(before)
    seen = compare(given, text, known)
    return Standing(
        total=len(given.steps),
        before=known,
        ticked=tuple(step.id for step in given.steps if step.id in seen.ticked),
        open=tuple(step.words for step in given.open(seen.ticked)),
        deviations=tuple(each.words for each in seen.deviations),
    )


def listed(steps: Sequence[Step]) -> str:
    """`step 3` or `steps 3, 4`."""
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(str(step.number) for step in steps)}"


# -- words --------------------------------------------------------------------------------------------------


def protocol(path: str, runbook: Runbook, ticked: Iterable[str]) -> str:
    """What an agent is told of it."""
    left = runbook.open(ticked)
    done = len(runbook.steps) - len(left)
    lines = [
        f"Your task is the checklist `{path}`: {len(runbook.steps)} numbered steps, {done} of them done when this run "
        + (
            f"began. Go on with the first open one, then: {left[0].words}"
            if left
            else "began: finish what else is missing."
        ),
        "- Take one step at a time, in order. When it is really done, change its box from `[ ]` to `[x]`, and only then",
        "  begin the next one.",
        "- Change nothing else in that file, and never take a tick back. Don't do again what is ticked.",
        "- You need not commit: at each tick the supervisor commits all that is in this folder, one commit for the step.",
        "- Your work ends when every box is ticked. If you end your turn before that, you are sent back.",
    ]
    budget, zones = runbook.budget, runbook.zones
    allowed = [f"{budget.per_step} at one step"] if budget.per_step is not None else []
    allowed += [f"{budget.overall} altogether"] if budget.overall is not None else []
    if allowed:
        lines.append(
            f"- So many failed attempts are allowed: {', '.join(allowed)}. A failed attempt is a failing check of the "
            "repository, or a failing command that the step names. One more ends your session."
        )
    lines += [f"- Changes in {_paths(zones.ask)} are for a person to decide."] if zones.ask else []
    lines += [f"- Change nothing in {_paths(zones.forbidden)}."] if zones.forbidden else []
    return "\n".join(lines)


def _paths(globs: Sequence[str]) -> str:
    return ", ".join(f"`{glob}`" for glob in globs)
