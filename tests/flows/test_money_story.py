"""Money in the story of tasks: with a real ledger, killed at every instant, nothing is lost and nothing counts twice."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_task_story import Night, meddle, task

from overnight.durable.desk import Desk
from overnight.durable.journal import Journal, connect, read_events
from overnight.durable.ledger import Ledger
from overnight.durable.purse import LedgerPurse
from overnight.flows.rehearsal import POLICY, Act, World
from overnight.judge.budget import BudgetSettings
from overnight.missions.hold import Held, Hold, HoldReason
from overnight.missions.money import Allowance, Amount, Bill, Budget, ModelUse
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec
from overnight.missions.task import Phase
from overnight.missions.tokens import Tokens
from overnight.missions.units import Money
from overnight.ports import Fleet, House

FIVE = BudgetSettings()
PART = 10**12


def usd(amount: str) -> Amount:
    """A limit in dollars."""
    return Amount(usd=Money(amount))


def billed(cost: str | None, **more: Any) -> Bill:
    """The bill of a run on a route that is billed by use."""
    known = None if cost is None else Decimal(cost)
    use = ModelUse(model="m", calls=1, tokens=Tokens(input=900, output=100), cost=known)
    return Bill(route="gateway", source="wire", paid=True, models=(use,), cost=known, **more)


class Spender:
    """A fleet whose runs spend: what they were given is noted, what they spend is scripted."""

    def __init__(self, inner: Fleet, costs: Callable[[str], Bill | None], given: dict[str, Allowance | None]) -> None:
        self._inner, self._costs, self._given = inner, costs, given

    async def run(self, spec: RunSpec) -> RunOutcome:
        assert self._given.setdefault(spec.id, spec.allowance) == spec.allowance, (
            "a run is given one allowance for ever"
        )
        return replace(await self._inner.run(spec), bill=self._costs(spec.id))

    async def stop(self, run: str, why: str) -> None:
        await self._inner.stop(run, why)


class PaidNight(Night):
    """A night with a real ledger."""

    def __init__(
        self,
        home: Path,
        world: World,
        costs: Callable[[str], Bill | None],
        budget: BudgetSettings = FIVE,
        *,
        paid: bool = True,
    ) -> None:
        super().__init__(home, world)
        self._costs, self._budget, self._paid = costs, budget, paid
        #: What each run was given.
        self.given: dict[str, Allowance | None] = {}

    def purse(self, journal: Journal) -> LedgerPurse:
        """As the daemon has it."""

        def bill_of(run: str, outcome: RunOutcome | None) -> Bill | None:
            if outcome is not None or run in self.world.outcomes:
                return self._costs(run)
            return Bill(route="none", source="wire", paid=False, cost=Decimal(0))

        return LedgerPurse(journal, self._budget, lambda _: self._paid, bill_of)

    def house(self, journal: Journal) -> House:
        made = super().house(journal)
        return replace(made, purse=self.purse(journal), fleet=Spender(made.fleet, self._costs, self.given))

    def parked(self, journal: Journal, task: str) -> None:
        """As the daemon has it."""
        Ledger(journal).rest(task, lambda run: run in self.world.outcomes or run in self.world.agents)

    def rows(self) -> list[sqlite3.Row]:
        """The ledger."""
        db = connect(self.home / "journal.db", read_only=True)
        try:
            return db.execute("SELECT * FROM spend ORDER BY run").fetchall()
        finally:
            db.close()

    def told(self, what: str) -> list[str]:
        """Reasons of the events of this kind."""
        db = connect(self.home / "journal.db", read_only=True)
        try:
            return [event.why for event in read_events(db) if event.what == what]
        finally:
            db.close()


def spent(night: PaidNight) -> Decimal:
    """By all runs together."""
    return Decimal(sum(row["usd"] for row in night.rows())) / PART


def test_a_run_takes_what_it_used(tmp_path: Path) -> None:
    """The default gives a task 5 USD; its run takes its exact cost, and the rest is there for the next one."""
    costs = {"a.1.1": "1.000000000001", "a.1.2": "0.5"}
    night = PaidNight(tmp_path, World({"a": [Act.BREAKS, Act.GOOD]}), lambda run: billed(costs[run]))
    night.submit(task("a"))
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}
    assert {run: found.usd for run, found in night.given.items() if found} == {
        "a.1.1": Decimal(5), "a.1.2": Decimal("3.999999999999"),
    }  # fmt: skip
    assert spent(night) == Decimal("1.500000000001")
    assert all(row["reserved_usd"] == 0 and row["settled"] for row in night.rows())


def test_a_task_that_spent_its_budget_waits_for_a_person(tmp_path: Path) -> None:
    """No run starts with too little left; a limit that a person raises releases it, and the task lands."""
    world = World({"a": [Act.BREAKS, Act.GOOD]})
    night = PaidNight(tmp_path, world, lambda _: billed("4.99"))
    night.submit(task("a"))
    night.drive()
    assert "allowance-spent" in (night.hold("a") or "")
    assert "the task's budget (this machine's) of 5 USD" in (night.hold("a") or "")
    assert sum(world.agents.values()) == 1
    night.call("put", kind="budget", key="task a", value={"usd": "9"})
    night.call("release", reason="allowance-spent")
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}
    assert spent(night) == Decimal("9.98")


class Shut:
    """A fleet that starts nothing of one task until it is opened."""

    def __init__(self, inner: Fleet, night: ShutNight) -> None:
        self._inner, self._night = inner, night

    async def run(self, spec: RunSpec) -> RunOutcome:
        if spec.task in self._night.shut:
            raise Held(Hold(reason=HoldReason.CANARY_FAILED, why="it failed", releases_on="once it passes"))
        return await self._inner.run(spec)

    async def stop(self, run: str, why: str) -> None:
        await self._inner.stop(run, why)


class ShutNight(PaidNight):
    """A night in which a run may be granted money and yet not start."""

    shut: frozenset[str] = frozenset()

    def house(self, journal: Journal) -> House:
        made = super().house(journal)
        return replace(made, fleet=Shut(made.fleet, self))

    def reserved(self) -> Decimal:
        """Set aside for all runs together."""
        return Decimal(sum(row["reserved_usd"] for row in self.rows())) / PART


def test_a_task_that_waits_keeps_no_money(tmp_path: Path) -> None:
    """Between grant and start it may wait for days: others have the money meanwhile, and it gets what is left then."""
    budget = BudgetSettings(day=usd("6"), task=usd("5"))
    night = ShutNight(tmp_path, World({"a": [Act.GOOD], "b": [Act.GOOD]}), lambda _: billed("2.5"), budget)
    night.shut = frozenset({"a"})
    night.submit(task("a"))
    night.drive()
    assert "canary-failed" in (night.hold("a") or "")
    assert night.reserved() == 0
    assert night.told("budget.granted") == ["5 USD"]
    night.submit(task("b"))
    night.drive()
    assert night.phases()["b"] == Phase.LANDED
    found = night.given["b.1.1"]
    assert found is not None
    assert found.usd == 5
    night.shut = frozenset()
    night.call("release", reason="canary-failed")
    night.drive()
    assert set(night.phases().values()) == {Phase.LANDED}
    found = night.given["a.1.1"]
    assert found is not None
    assert found.usd == Decimal("3.5")
    assert (spent(night), night.reserved()) == (5, 0)
    assert night.told("budget.granted") == ["5 USD", "5 USD", "3.5 USD"]


def test_a_task_that_waited_goes_on_only_with_money(tmp_path: Path) -> None:
    """What it had given back is spent by then: it waits for the next day, whose budget its run takes."""
    budget = BudgetSettings(day=usd("5"))
    night = ShutNight(tmp_path, World({"a": [Act.GOOD], "b": [Act.GOOD]}), lambda _: billed("4.99"), budget)
    night.shut = frozenset({"a"})
    night.submit(task("a"), task("b"))
    night.drive()
    night.clock.advance(200)
    night.drive()
    assert night.phases()["b"] == Phase.LANDED
    night.shut = frozenset()
    night.call("release", reason="canary-failed")
    night.drive()
    assert "allowance-spent" in (night.hold("a") or "")
    assert night.given.keys() == {"b.1.1"}
    night.clock.advance(2 * 86_400)
    night.drive()
    assert set(night.phases().values()) == {Phase.LANDED}
    assert len({row["day"] for row in night.rows()}) == 2


def test_a_day_begins_anew(tmp_path: Path) -> None:
    """A day's budget that is spent holds tasks until midnight by the machine's clock, and then they go on by themselves."""
    budget = BudgetSettings(day=usd("5.02"))
    night = PaidNight(tmp_path, World({"a": [Act.GOOD], "b": [Act.GOOD]}), lambda _: billed("4.99"), budget)
    night.submit(task("a"), task("b"))
    night.drive()
    assert Phase.LANDED in night.phases().values()
    (held,) = [who for who, phase in night.phases().items() if phase != Phase.LANDED]
    assert "set aside for runs that go on" in (night.hold(held) or "")
    night.clock.advance(200)
    night.drive()
    assert "set aside" not in (night.hold(held) or "")
    assert "allowance-spent" in (night.hold(held) or "")
    night.clock.advance(2 * 86_400)
    night.drive()
    assert set(night.phases().values()) == {Phase.LANDED}


def test_a_stop_in_mid_run_holds_until_the_limit_begins_anew(tmp_path: Path) -> None:
    """A run that its warden ended for want of money parks its task; it costs no attempt, and a resume goes on."""
    world = World({"a": [Act.GOOD]})
    night = PaidNight(tmp_path, world, lambda _: billed("1"))
    world.outcomes["a.1.1"] = RunOutcome(
        run="a.1.1", end=End.STOPPED_BY_LIMIT, failure=FailureClass.MONEY, why="the allowance is spent", until=None
    )
    night.submit(task("a", attempts=1))
    night.drive()
    assert "allowance-spent" in (night.hold("a") or "")
    night.call("release", reason="allowance-spent")
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}


def test_unknown_cost_counts_in_full(tmp_path: Path) -> None:
    """Whatever nobody knows the price of takes the whole allowance, and is marked."""
    night = PaidNight(tmp_path, World({"a": [Act.GOOD]}), lambda _: billed(None))
    night.submit(task("a"))
    night.drive()
    (row,) = night.rows()
    assert (row["usd"], row["unpriced"]) == (5 * PART, 1)


def test_thresholds_are_told_once(tmp_path: Path) -> None:
    """Each share of each limit, in the journal, by whoever passes it first."""
    budget = BudgetSettings(day=usd("10"), task=usd("20"))
    night = PaidNight(tmp_path, World({"a": [Act.GOOD], "b": [Act.GOOD]}), lambda _: billed("4.1"), budget)
    night.submit(task("a"), task("b"))
    night.drive()
    night.clock.advance(200)
    night.drive()
    day = [why for why in night.told("budget.threshold") if "day" in why]
    assert [why.split(" ")[0] for why in day] == ["50", "75", "80"]


def test_every_threshold_is_an_event(tmp_path: Path) -> None:
    """50, 75, 80, 90 and 100 % of a limit, in order, each in the journal with whose limit it is."""
    costs = {"a.1.1": "5", "b.1.1": "2.5", "c.1.1": "0.5", "d.1.1": "1", "e.1.1": "1"}
    night = PaidNight(
        tmp_path, World({name: [Act.GOOD] for name in "abcde"}), lambda run: billed(costs[run]),
        BudgetSettings(day=usd("10"), task=usd("20")),
    )  # fmt: skip
    for name in "abcde":
        night.submit(task(name))
        night.drive()
        assert night.phases()[name] == Phase.LANDED
    day = [why for why in night.told("budget.threshold") if "day" in why]
    assert [why.partition(" ")[0] for why in day] == ["50", "75", "80", "90", "100"]
    assert all("% of the day's budget of all repos" in why for why in day)


def test_a_subscription_needs_no_money(tmp_path: Path) -> None:
    """Where nothing is billed by use no dollars are set aside; tokens are bounded all the same."""
    budget = BudgetSettings(day=Amount(usd=Money("0"), tokens=10_000))
    night = PaidNight(
        tmp_path, World({"a": [Act.GOOD]}), lambda _: replace(billed("3"), paid=False), budget, paid=False
    )
    night.submit(task("a"))
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}
    (row,) = night.rows()
    assert (row["usd"], row["tokens"], night.given["a.1.1"]) == (0, 1000, replace(night.given["a.1.1"] or Allowance(), usd=None, tokens=10_000))  # fmt: skip


def test_the_repo_is_bounded_by_the_machine(tmp_path: Path) -> None:
    """A repo may ask for less than the machine allows, never for more."""
    for asked, given_ in (("2", "2"), ("500", "5")):
        home = tmp_path / asked
        home.mkdir()
        policy = replace(POLICY, limits=replace(POLICY.limits, budget=Budget(task=usd(asked))))
        night = PaidNight(home, World({"a": [Act.GOOD]}, policy), lambda _: billed("1"))
        night.submit(task("a"))
        night.drive()
        found = night.given["a.1.1"]
        assert found is not None
        assert found.usd == Decimal(given_)


def test_a_ledger_that_can_not_be_read_gives_nothing(tmp_path: Path) -> None:
    """No run starts, and the task says why."""
    world = World({"a": [Act.GOOD]})
    night = PaidNight(tmp_path, world, lambda _: billed("1"))
    night.submit(task("a"))
    db = sqlite3.connect(tmp_path / "journal.db")
    db.execute("DROP TABLE spend")
    db.commit()
    db.close()
    night.drive()
    assert world.agents.total() == 0
    assert "spend" in (night.hold("a") or "")


SCRIPTS = [[Act.GOOD], [Act.BREAKS, Act.GOOD], [Act.LOST, Act.GOOD]]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: "-".join(s))
def test_killed_at_every_point_no_money_is_lost_or_doubled(script: Sequence[Act]) -> None:
    """Before and after every commit and inside every act: the ledger ends the same, to the last digit."""
    total = _a_night(script, frozenset())
    for point in range(1, total + 1):
        _a_night(script, frozenset({point}))


def _a_night(script: Sequence[Act], kill_at: frozenset[int]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        night = PaidNight(Path(folder), World({"a": script}), lambda _: billed("1.000000000007"))
        night.submit(task("a"))
        night.kill_at = kill_at
        night.drive()
        assert night.phases() == {"a": Phase.LANDED}, kill_at
        rows = night.rows()
        assert [row["run"] for row in rows] == [f"a.1.{n + 1}" for n in range(len(script))], kill_at
        assert all(row["settled"] and not row["reserved_usd"] for row in rows)
        assert spent(night) == len(script) * Decimal("1.000000000007"), kill_at
        assert len(night.told("budget.settled")) == len(night.told("budget.granted")) == len(script)
        return night.points


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    scripts=st.lists(st.sampled_from([*SCRIPTS, [Act.NOTHING]]), min_size=1, max_size=3),
    kills=st.sets(st.integers(1, 150), max_size=5),
    meddling=st.lists(
        st.tuples(st.integers(1, 120), st.sampled_from(["pause", "stop", "cancel", "resume"]), st.integers(0, 2)),
        max_size=4,
    ),
    day=st.sampled_from(["3", "7", "100"]),
)
def test_no_interleaving_overspends(
    scripts: list[list[Act]], kills: set[int], meddling: list[tuple[int, str, int]], day: str
) -> None:
    """Several tasks, kills, pauses and cancels in any order: at no instant is more taken and set aside than a limit
    allows, each run is in the ledger once, and at the end nothing is set aside for a task that is over."""
    with tempfile.TemporaryDirectory() as folder:
        ids = [f"t{n}" for n in range(len(scripts))]
        budget = BudgetSettings(day=usd(day))
        given_: dict[str, Allowance | None] = {}

        def costs(run: str) -> Bill:
            """Up to what the run was given, as the gateway sees to it."""
            allowance = given_[run]
            assert allowance is not None
            assert allowance.usd is not None
            return billed(str(min(Decimal("0.9"), allowance.usd)))

        night = PaidNight(Path(folder), World(dict(zip(ids, scripts, strict=True))), costs, budget)
        night.given = given_
        night.submit(*(task(who) for who in ids))
        night.kill_at = frozenset(kills)
        todo = sorted(meddling)

        def between(desk: Desk, point: int) -> None:
            sums = desk.journal.db.execute("SELECT total(usd + reserved_usd) AS taken FROM spend").fetchone()
            assert sums["taken"] <= int(day) * PART
            while todo and todo[0][0] <= point:
                _, verb, n = todo.pop(0)
                meddle(desk, verb, ids[n % len(ids)])

        night.between = between
        night.drive()
        night.kill_at = frozenset()
        for _ in range(2):
            for who in ids:
                if night.phases()[who] not in (Phase.LANDED, Phase.FAILED, Phase.CANCELLED):
                    night.call("resume", task=who)
            night.drive()
        over = {who for who, phase in night.phases().items() if phase in (Phase.LANDED, Phase.FAILED, Phase.CANCELLED)}
        for row in night.rows():
            if row["task"] in over:
                assert row["settled"]
            if row["settled"] and row["run"] in night.world.outcomes:
                took = costs(row["run"]).cost
                assert took is not None
                assert row["usd"] == int(took * PART)
