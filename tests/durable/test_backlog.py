"""Back-pressure: while too many results of a lane wait for a decision, nothing new starts there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lab import Lab

from overnight.durable.engine import make_ready
from overnight.durable.flow import Finish, Story
from overnight.durable.pools import Pool
from overnight.missions.hold import Hold, HoldReason

ASKS = Hold(reason=HoldReason.NEEDS_APPROVAL, why="risk 40 of 100", releases_on="a person")


async def story(t: Story) -> Finish:
    """Work that ends in a question, unless there is no room for one more."""
    with t.slot("work", t.lane):
        if most := t.read(int):
            await t.room("room", most)
        await t.step("run", work)
    await t.signal("decision", str, hold=ASKS)
    return Finish("landed", "", None)


async def work() -> int:
    return 1


def lab_of(home: Path, per_key: int = 1) -> Lab:
    return Lab(home, {"story": story}, {"work": Pool(total=4, per_key=per_key)})


def decide(lab: Lab, task: str) -> None:
    """A ticket was redeemed: that is no matter of this room."""
    with lab.journal.tx("decided"):
        sql = "INSERT INTO signal(task, name, payload, at) VALUES (?, 'decision', '\"yes\"', 0)"
        lab.journal.db.execute(sql, (task,))
        make_ready(lab.journal, task, "decided")
    lab.engine.poke()


def deciding(lab: Lab) -> list[str]:
    return [row["id"] for row in lab.tasks() if row["wait_for"] == "signal decision"]


def held(lab: Lab) -> list[str]:
    return [row["id"] for row in lab.tasks() if HoldReason.PR_BACKLOG in (row["hold"] or "")]


@pytest.mark.parametrize("per_key", [1, 4])
def test_nothing_starts_while_so_many_wait(home: Path, per_key: int) -> None:
    """The first ones come as far as their question, the others are held for it and hold no slot; other lanes go on."""

    async def main() -> None:
        lab = lab_of(home, per_key)
        async with lab.process():
            for n in range(6):
                lab.submit(f"t{n}", 2)
                await lab.settle()
            lab.submit("other", 2, lane="elsewhere")
            await lab.settle()
            assert deciding(lab) == ["other", "t0", "t1"]
            assert held(lab) == ["t2", "t3", "t4", "t5"]
            assert lab.held() == 0
            assert "2 results of repo wait for a decision" in lab.row("t2")["hold"]

    asyncio.run(main())


def test_one_decision_lets_one_start(home: Path) -> None:
    """The first in line; also when it was taken while no process ran."""

    async def main() -> None:
        lab = lab_of(home)
        async with lab.process():
            for n in range(5):
                lab.submit(f"t{n}", 2)
            await lab.settle()
            assert deciding(lab) == ["t0", "t1"]
            decide(lab, "t0")
            await lab.settle()
            assert deciding(lab) == ["t1", "t2"]
        async with lab.process():
            decide(lab, "t1")
            decide(lab, "t2")
            await lab.settle()
            assert deciding(lab) == ["t3", "t4"]
            assert held(lab) == []

    asyncio.run(main())


def test_a_resume_makes_no_room(home: Path) -> None:
    """It looks again, and waits again; a cancel ends it."""

    async def main() -> None:
        lab = lab_of(home)
        async with lab.process():
            for n in range(2):
                lab.submit(f"t{n}", 1)
            await lab.settle()
            lab.call("resume", task="t1")
            await lab.settle()
            assert (deciding(lab), held(lab)) == (["t0"], ["t1"])
            lab.call("want", task="t1", want="cancel")
            await lab.settle()
            assert (lab.row("t1")["phase"], lab.row("t0")["state"]) == ("cancelled", "waiting")

    asyncio.run(main())


def test_without_a_bound_all_start(home: Path) -> None:
    """0 is none."""

    async def main() -> None:
        lab = lab_of(home)
        async with lab.process():
            for n in range(5):
                lab.submit(f"t{n}", 0)
            await lab.settle()
            assert len(deciding(lab)) == 5

    asyncio.run(main())
