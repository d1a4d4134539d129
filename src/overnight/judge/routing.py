"""Which model should do it: the cheapest that can. Rules and words decide, no model is asked, and every choice says why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from overnight.missions import wording
from overnight.missions.policy import Tier
from overnight.missions.task import Task

#: From the cheapest to the dearest.
TIERS = tuple(Tier)


class Kind(StrEnum):
    """What sort of work a task is, by its words; outcomes and costs are compared kind by kind."""

    #: Typos, docs, comments, translations.
    TEXT = "text"
    #: Renames, removals, version bumps, formatting: the end shows by itself.
    CHORE = "chore"
    TEST = "test"
    FIX = "fix"
    FEATURE = "feature"
    #: Security, money, data, concurrency, design: a mistake is dear.
    DELICATE = "delicate"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task that fits everything said here gets the tier; a list that is empty fits every task."""

    tier: Tier
    #: Whole words, any of which must be in the task's text; case does not matter.
    words: tuple[str, ...] = ()
    #: Names of repos.
    repos: tuple[str, ...] = ()
    #: Kinds of work.
    kinds: tuple[Kind, ...] = ()


class Routing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models by tier. Without models, every agent chooses for itself."""

    #: Tier = model, in the agent's own words: `small = "haiku"`. A tier without one takes the next dearer.
    tiers: dict[Tier, str] = field(default_factory=dict[Tier, str])
    #: The first that fits decides, before the words of the task do.
    rules: tuple[Rule, ...] = ()
    #: A failed attempt is followed by one with the next dearer tier.
    escalate: bool = True
    #: Percent of a budget that is left; below it a task gets one tier less. 0 never does that.
    downgrade_below: Annotated[int, Meta(ge=0, le=100)] = 10


class Route(Struct, frozen=True, kw_only=True):
    """The model of one run."""

    kind: Kind
    #: None: the agent's own choice, or a model named by a person.
    tier: Tier | None = None
    #: In the agent's own words; None leaves it to the agent.
    model: str | None = None
    #: Every reason, in the order in which they counted.
    why: tuple[str, ...] = ()


class Asked(Struct, frozen=True, kw_only=True):
    """What a repo's policy says about models."""

    model: str | None = None
    tier: Tier | None = None


def route(task: Task, asked: Asked, routing: Routing, *, failed: int = 0, left: float | None = None) -> Route:
    """The model for a task's next run.

    failed: attempts spent so far. left: the part of the tightest budget that is left, 0 to 1; None without a budget.
    """
    kind, because = kind_of(task)
    if named := _named(task, asked):
        return Route(kind=kind, model=named[0], why=(named[1],))
    if not routing.tiers:
        return Route(kind=kind, why=("no models are configured by tier: the agent chooses",))
    tier, why = _first(task, asked, routing, kind, because)
    moves = tuple(_moved(tier, routing, failed, left))
    taken, model, missing = _model(moves[-1][0] if moves else tier, routing)
    return Route(kind=kind, tier=taken, model=model, why=(why, *(because for _, because in moves), *missing))


def _named(task: Task, asked: Asked) -> tuple[str, str] | None:
    if task.model is not None:
        return task.model, "the task names this model"
    if asked.model is not None and task.tier is None:
        return asked.model, "the repo's policy names this model"
    return None


def _first(task: Task, asked: Asked, routing: Routing, kind: Kind, because: str) -> tuple[Tier, str]:
    if task.tier is not None:
        return task.tier, "the task names this tier"
    if asked.tier is not None:
        return asked.tier, "the repo's policy names this tier"
    for n, rule in enumerate(routing.rules, 1):
        if (fits := _fits(rule, task, kind)) is not None:
            return rule.tier, f"rule {n} of the settings{fits}"
    return _BY_KIND[kind], f"{kind} work ({because})"


def _fits(rule: Rule, task: Task, kind: Kind) -> str | None:
    if (rule.repos and task.repo.name not in rule.repos) or (rule.kinds and kind not in rule.kinds):
        return None
    if not rule.words:
        return ""
    text = f"{task.title}\n{task.text}"
    found = next((word for word in rule.words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.I)), None)
    return None if found is None else f' ("{found}")'


def _moved(tier: Tier, routing: Routing, failed: int, left: float | None) -> Iterator[tuple[Tier, str]]:
    at = TIERS.index(tier)
    if routing.escalate and failed:
        up = min(at + failed, len(TIERS) - 1)
        if up > at:
            at = up
            yield TIERS[at], f"{failed} failed {'attempt' if failed == 1 else 'attempts'} before"
    if left is not None and 100 * left < routing.downgrade_below and at > TIERS.index(Tier.SMALL):
        at -= 1
        yield TIERS[at], f"{max(0, round(100 * left))} % of the budget is left"


def _model(tier: Tier, routing: Routing) -> tuple[Tier, str, tuple[str, ...]]:
    """The tier's model, else that of the next dearer one that has any, else of the next cheaper."""
    at = TIERS.index(tier)
    order = (*TIERS[at:], *reversed(TIERS[:at]))
    taken = next(each for each in order if each in routing.tiers)
    why = () if taken is tier else (f"{tier} has no model here",)
    return taken, routing.tiers[taken], why


_BY_KIND = {
    Kind.TEXT: Tier.SMALL,
    Kind.CHORE: Tier.SMALL,
    Kind.TEST: Tier.STANDARD,
    Kind.FIX: Tier.STANDARD,
    Kind.FEATURE: Tier.STANDARD,
    Kind.DELICATE: Tier.STRONG,
}
_DELICATE = (
    r"secur\w*|vulnerab\w*|CVE-\d+-\d+|crypto\w*|encrypt\w*|decrypt\w*|signature|auth\w*|oauth|password|permission\w*|"
    r"payment\w*|billing|invoice\w*|money|migrat\w*|schema|data ?base|race condition|dead-?lock|thread-?safe\w*|concurren\w*|"
    r"transaction\w*|memory (?:leak|safety)|unsafe|performance|latency|throughput|architect\w*|re-?design\w*|re-?write|refactor\w*"
)
_WORDS = (
    (Kind.DELICATE, _DELICATE),
    (Kind.TEXT, r"typos?|spelling|README|docs?|documentation|docstrings?|comments?|translat\w*|change-?log|licen[cs]e"),
    (Kind.CHORE, r"renam\w*|remov\w*|delet\w*|drop|bump|pin|upgrade|format|sort|move|revert|deprecate"),
    (Kind.TEST, r"(?:add|write|extend) (?:\w+ ){0,4}(?:tests?|coverage)|flaky|coverage"),
    (Kind.FIX, r"fix\w*|bugs?|crash\w*|wrong|fails?|broken|regression|error|instead of|should not|traceback"),
)
_KINDS = tuple((kind, re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE)) for kind, words in _WORDS)
#: A task that names more places than this is no chore, whatever its words are.
_MANY_PLACES = 8


def kind_of(task: Task) -> tuple[Kind, str]:
    """What sort of work it is, and which word says so. The title counts before the text."""
    for text in (task.title, task.text):
        for kind, pattern in _KINDS:
            if found := pattern.search(text):
                return _unless_large(kind, f'"{found[0]}"', task)
    return Kind.FEATURE, "nothing says otherwise"


def _unless_large(kind: Kind, why: str, task: Task) -> tuple[Kind, str]:
    places = len(wording.read(task.text).anchors)
    if kind in (Kind.TEXT, Kind.CHORE) and places > _MANY_PLACES:
        return Kind.FEATURE, f"{why}, but it names {places} places"
    return kind, why


# -- what came of it ----------------------------------------------------------------------------------------


class Tried(Struct, frozen=True, kw_only=True):
    """One run that is over, as the record has it."""

    kind: Kind
    tier: Tier | None
    model: str | None
    #: Its result was proved and landed.
    landed: bool
    #: Dollars; None is unknown.
    cost: float | None


class Line(Struct, frozen=True, kw_only=True):
    """What came of one model at one kind of work."""

    kind: Kind
    tier: Tier | None
    model: str | None
    runs: int
    landed: int
    #: Dollars of the runs whose cost is known; None when no run's is.
    cost: float | None
    #: Runs whose cost is unknown.
    unpriced: int


def ledger(tried: Sequence[Tried]) -> tuple[Line, ...]:
    """Outcome and cost for each kind, tier and model; by kind, then from the cheapest tier to the dearest."""
    groups: dict[tuple[Kind, Tier | None, str | None], list[Tried]] = {}
    for each in tried:
        groups.setdefault((each.kind, each.tier, each.model), []).append(each)
    lines = [_line(key, runs) for key, runs in groups.items()]
    return tuple(
        sorted(lines, key=lambda line: (line.kind, TIERS.index(line.tier) if line.tier else -1, line.model or ""))
    )


def _line(key: tuple[Kind, Tier | None, str | None], runs: Sequence[Tried]) -> Line:
    kind, tier, model = key
    known = [run.cost for run in runs if run.cost is not None]
    return Line(
        kind=kind,
        tier=tier,
        model=model,
        runs=len(runs),
        landed=sum(run.landed for run in runs),
        cost=sum(known) if known else None,
        unpriced=len(runs) - len(known),
    )
