"""Judges in the story of a task: those that can't be reached are waited for, and what nobody decides ends as the policy says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool
from overnight.flows.judging import ROUNDS
from overnight.flows.landing import LANDING
from overnight.flows.rehearsal import POLICY, Act, World
from overnight.flows.task import WORK, carry_out
from overnight.judge.risk import Band, Risk
from overnight.judge.verdict import Outside, Said, Word
from overnight.missions.clarify import Clarify
from overnight.missions.codec import builtins, decode
from overnight.missions.hold import Hold, HoldReason, Late, Patience
from overnight.missions.judging import Quorum
from overnight.missions.policy import Policy
from overnight.missions.task import Phase, Repo, Task
from overnight.missions.units import Duration

PASS = Said(verdict=Word.PASS, confidence=0.9, blocking=(), other=(), gaps=(), injection=False)
FAIL = replace(PASS, verdict=Word.FAIL, blocking=("it loses data",))
TWO = replace(POLICY, judges=Quorum(families=2))
HOUR = 3600.0


def judged(policy: Policy = TWO, **says: Said) -> World:
    world = World({"t1": (Act.GOOD,)}, policy)
    world.verdicts = {family: lambda _commit, said=said: said for family, said in says.items()}
    return world


class Night:
    """A task in a world, and the hours that pass."""

    def __init__(self, home: Path, world: World, text: str = "Say two.") -> None:
        self.clock = ManualClock()
        self.journal = Journal(home, clock=self.clock)
        self.engine = Engine(
            self.journal,
            {"task": lambda t: carry_out(t, world.house())},
            {WORK: Pool(total=1), LANDING: Pool(per_key=1)},
        )
        self.desk = Desk(self.journal, self.engine.poke)
        task = Task(id="t1", repo=Repo(name="shop", path="/shop", target="main"), title=text, text=text)
        facts = {
            "id": "t1",
            "flow": "task",
            "lane": "shop",
            "input": builtins(task),
            "phase": Phase.QUEUED,
            "pool": WORK,
        }
        self.desk.call("submit", {**facts, "actor": "test"})

    async def settle(self) -> None:
        await self.engine.idle()

    async def wait(self, hours: float) -> None:
        """Hours that pass in small steps."""
        for _ in range(max(1, int(hours * 4))):
            self.clock.advance(HOUR / 4 if hours >= 0.25 else hours * HOUR)
            await self.settle()

    @property
    def row(self) -> Any:
        return self.journal.db.execute("SELECT * FROM task").fetchone()

    @property
    def hold(self) -> Hold | None:
        held = self.row["hold"]
        return decode(held, Hold) if held else None

    def reason(self) -> HoldReason | None:
        return self.hold.reason if self.hold else None

    def told(self, what: str) -> int:
        return self.journal.db.execute("SELECT count(*) FROM event WHERE what = ?", (what,)).fetchone()[0]


def play(home: Path, world: World, script: Callable[[Night], Any], text: str = "Say two.") -> None:
    """Run a script against a night."""

    async def main() -> None:
        night = Night(home, world, text)
        driving = asyncio.create_task(night.engine.run())
        try:
            await night.settle()
            await script(night)
        finally:
            night.engine.close()
            await driving
            night.journal.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("outside", "reason"),
    [
        (Outside.LIMIT, HoldReason.LIMIT_REACHED),
        (Outside.VENDOR, HoldReason.VENDOR_OUTAGE),
        (Outside.NETWORK, HoldReason.NETWORK_LOST),
    ],
)
def test_a_judge_out_of_reach_is_waited_for(tmp_path: Path, outside: Outside, reason: HoldReason) -> None:
    """The hold names it and ends by itself; only it is asked again, and then the result lands without anybody."""
    world = judged(a=PASS, b=PASS)
    world.away["b"] = outside

    async def script(night: Night) -> None:
        assert night.reason() is reason
        assert night.hold is not None
        assert night.hold.until is not None
        assert "judge b gave no verdict" in night.hold.why
        del world.away["b"]
        await night.wait(0.5)
        assert (night.row["phase"], world.landed["t1"]) == ("landed", 1)

    play(tmp_path, world, script)
    assert world.asked == {"a": 1, "b": 2}


def test_an_outage_without_end_is_a_persons(tmp_path: Path) -> None:
    """After so many tries it waits for a decision, with the reason; whoever answered was asked once."""
    world = judged(a=PASS, b=PASS)
    world.away["b"] = Outside.VENDOR

    async def script(night: Night) -> None:
        await night.wait(12)
        assert night.reason() is HoldReason.NEEDS_APPROVAL
        assert night.hold is not None
        assert "1 of 2 families" in night.hold.why

    play(tmp_path, world, script)
    assert world.asked == {"a": 1, "b": ROUNDS}


def test_nobody_is_waited_for_whose_word_would_not_help(tmp_path: Path) -> None:
    """One that answered has doubts: a person is asked at once."""
    world = judged(a=replace(PASS, gaps=("the migration",)), b=PASS)
    world.away["b"] = Outside.LIMIT

    async def script(night: Night) -> None:
        assert night.reason() is HoldReason.NEEDS_APPROVAL

    play(tmp_path, world, script)


def late(policy: Policy, reason: HoldReason, then: Late) -> Policy:
    return replace(policy, holds={reason: Patience(after=Duration(2 * HOUR), then=then)})


def test_judges_that_disagree_are_asked_again_in_time(tmp_path: Path) -> None:
    """All of them, about the same commit; when they agree then, it lands."""
    policy = late(TWO, HoldReason.JUDGES_DISAGREE, Late.RETRY)
    world = judged(policy, a=PASS, b=FAIL)

    async def script(night: Night) -> None:
        assert night.reason() is HoldReason.JUDGES_DISAGREE
        world.verdicts["b"] = lambda _: PASS
        await night.wait(1.5)
        assert night.reason() is HoldReason.JUDGES_DISAGREE
        await night.wait(1)
        assert (night.row["phase"], world.landed["t1"]) == ("landed", 1)

    play(tmp_path, world, script)
    assert world.asked == {"a": 2, "b": 2}


def test_a_result_that_nobody_looks_at_is_dropped_with_its_work_kept(tmp_path: Path) -> None:
    """Nothing lands, the reason is not a person's, and the work tree is tidied."""
    world = judged(late(POLICY, HoldReason.NEEDS_APPROVAL, Late.DROP))
    world.risk = Risk(score=50, band=Band.MEDIUM)

    async def script(night: Night) -> None:
        assert night.reason() is HoldReason.NEEDS_APPROVAL
        await night.wait(3)
        assert night.row["phase"] == "cancelled"
        assert "nobody released it in time" in night.row["output"]

    play(tmp_path, world, script)
    assert (world.landed["t1"], world.worktrees) == (0, set())


def test_a_vague_task_takes_the_recommended_answers_in_time(tmp_path: Path) -> None:
    """Its run is told what holds, as if a person had answered `defaults`."""
    policy = late(replace(POLICY, clarify=Clarify()), HoldReason.NEEDS_ANSWER, Late.DEFAULT)
    world = judged(policy)

    async def script(night: Night) -> None:
        assert night.reason() is HoldReason.NEEDS_ANSWER
        await night.wait(3)
        assert night.row["phase"] == "landed"
        assert night.told("hold.timed-out") == 1

    play(tmp_path, world, script, text="Make it better")
    (spec,) = world.specs.values()
    assert "A new test shows it, and every check passes" in spec.prompt
