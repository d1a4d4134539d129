"""What was spent, by the ledger to the last part of a dollar, and by the bills for which model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

import msgspec

from overnight.durable.ledger import ASKING, PARTS
from overnight.judge.verdict import Opinion
from overnight.missions.codec import decode
from overnight.missions.places import split_run
from overnight.missions.run import RunOutcome
from overnight.report.brief import Cost, ModelCost, RepoCost
from overnight.report.story import Step


class Settled(NamedTuple):
    """A run or an asking that was settled, as the ledger has it."""

    #: `TASK.LIFE.N`, or `TASK.LIFE.N/judge/NAME/K`.
    run: str
    task: str
    repo: str
    #: Epoch seconds.
    at: float
    #: Parts of a dollar.
    usd: int
    tokens: int
    unpriced: bool

    @property
    def whose(self) -> str:
        """The run, without what was asked about it."""
        return self.run.partition(ASKING)[0]

    @property
    def judge(self) -> str:
        """The judge's name; empty for a run."""
        return self.run.partition(ASKING)[2].rpartition("/")[0]


class Known(Protocol):
    """A task with its steps."""

    @property
    def id(self) -> str: ...

    @property
    def steps(self) -> list[Step]: ...


def settled(db: sqlite3.Connection, since: float, until: float) -> list[Settled]:
    """Everything that was settled in a span of time."""
    sql = "SELECT run, task, repo, settled, usd, tokens, unpriced FROM spend WHERE settled >= ? AND settled < ? ORDER BY settled, run"
    return [
        Settled(row["run"], row["task"], row["repo"], row["settled"], row["usd"], row["tokens"], bool(row["unpriced"]))
        for row in db.execute(sql, (since, until))
    ]


def usd_of(paid: Iterable[Settled], task: str, life: int) -> Decimal | None:
    """What one life of a task cost; None when a part of it is not known."""
    own = [each for each in paid if each.task == task and split_run(each.whose)[1] == str(life)]
    return None if not own or any(each.unpriced for each in own) else _dollars(sum(each.usd for each in own))


def cost_of(
    db: sqlite3.Connection, paid: Sequence[Settled], before: Sequence[Settled], tasks: Iterable[Known], *, reaches: bool
) -> Cost:
    """The sums. before: what was settled in the span before. reaches: whether the records go back to its beginning."""
    models = _Models()
    runs, opinions = dict[str, RunOutcome](), dict[tuple[str, str], Opinion]()
    for task in tasks:
        _bills(task, runs, opinions)
    for each in paid:
        models.add(each, runs.get(each.whose), opinions.get((each.whose, each.judge)))
    usd = sum(each.usd for each in paid)
    return Cost(
        usd=_dollars(usd),
        unattributed=_dollars(usd) - sum((each.usd for each in models.rows()), Decimal(0)),
        tokens=sum(each.tokens for each in paid),
        runs=sum(1 for each in paid if not each.judge),
        unknown=sum(1 for each in paid if each.unpriced),
        reserved=_dollars(db.execute("SELECT coalesce(sum(held_usd), 0) FROM spent WHERE which = ''").fetchone()[0]),
        repos=tuple(_repos(paid)),
        models=models.rows(),
        before=_dollars(sum(each.usd for each in before)) if reaches else None,
    )


def _repos(paid: Sequence[Settled]) -> Iterator[RepoCost]:
    for repo in sorted({each.repo for each in paid}):
        own = [each for each in paid if each.repo == repo]
        yield RepoCost(
            repo=repo, usd=_dollars(sum(each.usd for each in own)), tokens=sum(each.tokens for each in own),
            runs=sum(1 for each in own if not each.judge), unknown=sum(1 for each in own if each.unpriced),
        )  # fmt: skip


def _bills(task: Known, runs: dict[str, RunOutcome], opinions: dict[tuple[str, str], Opinion]) -> None:
    """What the task's steps say of its runs and of what judges said about them."""
    for step in task.steps:
        what, _, n = step.name.partition(" ")
        try:
            if what == "run":
                runs[f"{task.id}.{step.life}.{n}"] = decode(step.output, RunOutcome)
            elif what == "judge":
                said = decode(step.output, tuple[Opinion, ...])
                opinions |= {(f"{task.id}.{step.life}.{n}", each.judge): each for each in said}
        except msgspec.MsgspecError:
            continue  # of a version that knew other outcomes


class _Sum:
    def __init__(self) -> None:
        self.usd = self.worth = Decimal(0)
        self.unpriced = False
        self.tokens = self.calls = 0


class _Models:
    """Sums by model; those of judges by themselves."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool], _Sum] = {}

    def add(self, each: Settled, outcome: RunOutcome | None, opinion: Opinion | None) -> None:
        """What the ledger took for one run or asking, as far as it can be said which model it was for."""
        if each.judge:
            if opinion is not None and not each.unpriced:
                found = self._of(opinion.model, judge=True)
                found.usd += _dollars(each.usd)
                found.tokens += each.tokens
                found.calls += 1
            return
        bill = outcome.bill if outcome is not None else None
        for use in bill.models if bill is not None else ():
            found = self._of(use.model, judge=False)
            found.tokens += use.tokens.total
            found.calls += use.calls
            if bill is not None and bill.paid:
                found.usd += use.cost or Decimal(0)
            elif use.cost is None:
                found.unpriced = True
            else:
                found.worth += use.cost

    def _of(self, model: str, *, judge: bool) -> _Sum:
        return self._found.setdefault((model, judge), _Sum())

    def rows(self) -> tuple[ModelCost, ...]:
        """The dearest first."""
        ranked = sorted(self._found.items(), key=lambda pair: (-pair[1].usd, -pair[1].worth, pair[0]))
        return tuple(
            ModelCost(model=model, usd=found.usd, worth=None if found.unpriced else found.worth, tokens=found.tokens,
                      calls=found.calls, judge=judge)
            for (model, judge), found in ranked
        )  # fmt: skip


def _dollars(parts: int) -> Decimal:
    return Decimal(parts) / PARTS
