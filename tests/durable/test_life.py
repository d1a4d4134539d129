"""The engine's own life: closing, breaking, beginning again, standing still."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lab import Killed, Killer, Lab

from overnight.durable.engine import Engine
from overnight.durable.flow import Finish, Story
from overnight.durable.journal import verify_journal
from overnight.durable.pools import Pool
from overnight.missions.hold import Hold, HoldReason


class Stubborn:
    """Steps that make something else of being cancelled."""

    def __init__(self, how: str) -> None:
        self.how, self.begun = how, asyncio.Event()

    async def step(self) -> str:
        self.begun.set()
        try:
            return await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if self.how == "returns":
                return "half done"
            if self.how == "raises":
                raise RuntimeError("interrupted") from None
            raise


@pytest.mark.parametrize("how", ["cancelled", "returns", "raises"])
@pytest.mark.parametrize("end", ["close", "cancel"])
def test_closing_drops_what_runs_without_a_word(home: Path, how: str, end: str) -> None:
    """Closing, or cancelling the drive, commits nothing, whatever steps and flows make of it; the next engine runs the
    step again, in the slot it had."""

    async def main() -> None:
        stubborn = Stubborn(how)

        async def story(t: Story) -> Finish:
            try:
                with t.slot("work", "repo"):
                    said = await (t.step("long", stubborn.step) if first else t.step("long", lab.world.act, "again"))
            except Exception:
                said = await t.step("excuse", lab.world.act, "excuse")
            finally:
                await t.step("at last", lab.world.act, "at last")
            return Finish("landed", "", said)

        first = True
        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            await stubborn.begun.wait()
            before = len(lab.killer.moments)
            if end == "close":
                lab.engine.close()
            else:
                lab.driver.cancel()
            await asyncio.wait({lab.driver}, timeout=30)
            lab.driver = asyncio.create_task(asyncio.sleep(0))
            assert len(lab.killer.moments) == before
            assert lab.held() == 1
            assert not lab.world.begun
            first = False
            lab.engine = Engine(lab.journal, lab.flows, lab.pools)
            lab.driver = asyncio.create_task(lab.engine.run())
            await lab.settle()
            assert lab.row("t1")["output"] == '"again"'
            lab.engine.close()
            await lab.driver
        assert verify_journal(home / "journal.db") > 0

    asyncio.run(main())


@pytest.mark.parametrize("moment", range(12))
def test_a_broken_engine_says_so_and_another_goes_on(home: Path, moment: int) -> None:
    """Whatever breaks a commit ends `run` with exactly that, not in silence; the journal is whole and a new engine on
    the same home ends the task."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            with t.slot("work", "repo"):
                t.at("running")
                await t.step("one", lab.world.act, f"{t.id}/1/one")
                await t.step("two", lab.world.act, f"{t.id}/1/two")
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        killer = Killer()
        async with lab.process(killer):
            lab.engine.close()
            await lab.driver
            for n in range(3):
                lab.submit(f"t{n}")
            killer.left = moment
            lab.engine = Engine(lab.journal, lab.flows, lab.pools)
            lab.driver = asyncio.create_task(lab.engine.run())
            with pytest.raises(Killed):
                await lab.driver
            assert lab.engine.live == {}
            await lab.engine.idle()
        async with lab.process():
            await lab.settle()
            lab.clock.advance(60)
            await lab.settle()
            assert {row["phase"] for row in lab.tasks()} == {"landed"}
            assert set(lab.world.done.values()) == {1}
            assert lab.world.wrongs == []

    asyncio.run(main())


def test_idle_waits_for_all_that_goes_on_by_itself(home: Path) -> None:
    """It returns after the last step, not between two of them, also when a timer has just come."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            for n in range(5):
                await t.step(f"step {n}", lab.world.act, f"{t.id}/1/{n}")
            await t.sleep("nap", 10)
            await t.step("last", lab.world.act, f"{t.id}/1/last")
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        async with lab.process():
            await lab.engine.idle()
            for n in range(300):
                lab.submit(f"t{n}")
            await lab.engine.idle()
            assert {row["wait_for"] for row in lab.tasks()} == {"signal sleep nap"}
            lab.clock.advance(10)
            await lab.engine.idle()
            assert {row["phase"] for row in lab.tasks()} == {"landed"}
        await lab.engine.idle()

    asyncio.run(main())


def test_nothing_is_kept_of_tasks_that_are_over(home: Path) -> None:
    """Fifty tasks: some end, some fail, some are stopped in mid-step, some wait. Engine and loop hold nothing of any of
    them afterwards: whatever is to be remembered is in the journal."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            n = t.read(int)
            with t.slot("work", "repo"), t.stopped_by(lab.world.stop, f"{t.id}/run"):
                said = await t.step("run", lab.world.run, f"{t.id}/run")
            if n % 5 == 1:
                raise RuntimeError("it is broken")
            if n % 5 == 2:
                await t.hold("ask", Hold(reason=HoldReason.CONFLICT, why="look", releases_on="a word"))
            return Finish("landed", "", said)

        lab = Lab(home, {"story": story}, {"work": Pool(total=4)})
        async with lab.process():
            await lab.settle()
            others = asyncio.all_tasks()
            for n in range(50):
                lab.world.gated = n % 5 == 3
                lab.submit(f"t{n}", n)
                await lab.settle()
                if lab.world.gated:
                    lab.call("want", task=f"t{n}", want="cancel")
                    await lab.settle()
            phases = [row["state"] for row in lab.tasks()]
            assert {state: phases.count(state) for state in phases} == {"done": 30, "waiting": 20}
            assert (lab.engine.live, lab.engine.stories, lab.engine._interrupts) == ({}, {}, {})
            assert len(asyncio.all_tasks() - others) <= 1, "one, in which the clock waits for the next retry"
            assert lab.held() == 0

    asyncio.run(main())
