"""Sums of the brief against the ledger: with bills, judges, and costs that nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal
from overnight.durable.purse import LedgerPurse
from overnight.judge.budget import BudgetSettings
from overnight.judge.limits import Ceilings
from overnight.judge.verdict import Opinion
from overnight.missions.codec import builtins, encode
from overnight.missions.money import Allowance, Bill, Budget, ModelUse
from overnight.missions.run import End, RunOutcome
from overnight.missions.task import Repo, Task
from overnight.missions.tokens import Tokens
from overnight.report.brief import Brief
from overnight.report.brief_read import brief
from overnight.report.nights import Night

NOW = 1_800_000_000.0
NOBODY = RunOutcome(run="", end=End.COMPLETED, why="done")


def used(model: str, cost: str | None, tokens: int = 1000) -> ModelUse:
    """What one model was used for."""
    return ModelUse(model=model, calls=2, tokens=Tokens(input=tokens), cost=None if cost is None else Decimal(cost))


def bill(*uses: ModelUse, paid: bool = True) -> Bill:
    """A run's bill."""
    costs = [use.cost for use in uses]
    cost = None if None in costs else sum((each for each in costs if each is not None), Decimal(0))
    return Bill(route="gateway" if paid else "direct", source="wire", paid=paid, models=uses, cost=cost)


def bill_of(_run: str, outcome: RunOutcome | None) -> Bill | None:
    """As the outcome has it."""
    return outcome.bill if outcome is not None else None


class Books:
    """A journal with a real purse, and tasks whose runs spend."""

    def __init__(self, home: Path) -> None:
        self.home, self.clock = home, ManualClock(NOW)
        self.journal = Journal(home, clock=self.clock)
        self.purse = LedgerPurse(self.journal, BudgetSettings(), lambda _agent: True, bill_of)

    def task(self, ident: str, repo: str = "r") -> Task:
        task = Task(id=ident, repo=Repo(name=repo, path=f"/{repo}", target="main"), title=ident, text=ident)
        arguments = {
            "actor": "t",
            "id": ident,
            "flow": "task",
            "lane": repo,
            "input": builtins(task),
            "phase": "running",
        }
        Desk(self.journal).call("submit", arguments)
        return task

    def run(self, task: Task, n: int, made: Bill | None) -> None:
        """One run, granted and settled, with its step on record."""
        run = f"{task.id}.1.{n}"
        outcome = replace(NOBODY, run=run, bill=made)

        async def story() -> None:
            await self.purse.grant(task, run, "claude", Budget())
            await self.purse.settle(run, outcome)

        asyncio.run(story())
        self.step(task, f"run {n}", outcome)

    def judged(self, task: Task, n: int, judge: str, made: Bill | None) -> None:
        """One opinion, lent for and repaid."""
        run = f"{task.id}.1.{n}"

        async def story() -> None:
            lent = await self.purse.lend(
                task, f"{run}/judge/{judge}", Allowance(usd=Decimal("0.5")), Budget(), paid=True
            )
            await self.purse.repay(lent.id, made)

        asyncio.run(story())
        said = Opinion(judge=judge, family="f", model="judge-model", commit="c", evidence="e", said=None)
        self.step(task, f"judge {n}", (said,))

    def step(self, task: Task, name: str, output: object) -> None:
        now = self.clock.now()
        row = (task.id, 1, name, encode(output).decode(), now, now)
        self.journal.db.execute("INSERT INTO step VALUES (?, ?, ?, ?, ?, ?)", row)

    def brief(self, since: float = NOW - 3600, until: float = NOW + 3600) -> Brief:
        return brief(self.home, Night("", since, until), self.clock.now(), without=str, ceilings=Ceilings())


@pytest.fixture
def books(tmp_path: Path) -> Generator[Books]:
    """Nothing was spent yet."""
    books = Books(tmp_path)
    yield books
    books.journal.close()


def whole(found: Brief) -> None:
    """Every part of the sum is named, and nothing counts twice."""
    cost = found.cost
    assert sum(each.usd for each in cost.repos) == cost.usd
    assert sum((each.usd for each in cost.models), Decimal(0)) + cost.unattributed == cost.usd
    assert sum(each.tokens for each in cost.repos) == cost.tokens
    assert (sum(each.runs for each in cost.repos), sum(each.unknown for each in cost.repos)) == (
        cost.runs,
        cost.unknown,
    )


def test_the_sum_is_the_bills_to_the_last_part(books: Books) -> None:
    """Two repos, two models, a judge: exact sums, by repo and by model."""
    one, two = books.task("one"), books.task("two", "s")
    books.run(one, 1, bill(used("opus", "1.000000000001"), used("haiku", "0.1")))
    books.judged(one, 1, "j", bill(used("judge-model", "0.25")))
    books.run(two, 1, bill(used("opus", "0.5")))
    found = books.brief()
    whole(found)
    assert found.cost.usd == Decimal("1.850000000001")
    assert {(each.model, each.judge): each.usd for each in found.cost.models} == {
        ("opus", False): Decimal("1.500000000001"), ("haiku", False): Decimal("0.1"), ("judge-model", True): Decimal("0.25"),
    }  # fmt: skip
    assert {each.repo: each.usd for each in found.cost.repos} == {"r": Decimal("1.350000000001"), "s": Decimal("0.5")}
    assert (found.cost.runs, found.cost.unknown, found.cost.unattributed) == (2, 0, 0)


def test_what_is_unknown_is_never_zero(books: Books) -> None:
    """A run without a bill and one with an unpriced model count at their allowance, and nobody is blamed for it."""
    one, two = books.task("one"), books.task("two")
    books.run(one, 1, None)
    books.run(two, 1, bill(used("mystery", None)))
    found = books.brief()
    whole(found)
    [taken] = books.journal.db.execute("SELECT sum(usd) FROM spend").fetchone()
    assert found.cost.usd == Decimal(taken) / 10**12 >= 5
    assert (found.cost.unknown, found.cost.unattributed) == (2, found.cost.usd)


def test_a_subscription_is_worth_something_and_bills_nothing(books: Books) -> None:
    """What was not billed by use stands beside the sum, not in it."""
    one = books.task("one")
    books.run(one, 1, bill(used("opus", "3"), paid=False))
    found = books.brief()
    whole(found)
    [model] = found.cost.models
    assert (found.cost.usd, model.usd, model.worth, found.cost.unknown) == (0, 0, Decimal(3), 0)


def test_each_night_has_its_own(books: Books) -> None:
    """What was settled before is the night before's; what goes on is set aside."""
    one = books.task("one")
    books.run(one, 1, bill(used("opus", "1")))
    books.clock.advance(7200)
    books.run(one, 2, bill(used("opus", "2")))
    asyncio.run(books.purse.grant(one, "one.1.3", "claude", Budget()))
    second = books.brief(NOW + 3600, NOW + 3 * 3600)
    whole(second)
    assert (second.cost.usd, second.cost.reserved, second.cost.before) == (2, 2, None)
    assert books.brief(NOW - 3600, NOW + 3600).cost.usd == 1
    both = books.brief(NOW - 3600, NOW + 3 * 3600)
    assert both.cost.usd == 3
