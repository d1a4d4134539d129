"""Pools: nobody over the limit, nobody forgotten, the most urgent first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lab import Killer, Lab

from overnight.durable.flow import Finish, Story
from overnight.durable.pools import Pool, Rate


def crowd(home: Path, pool: Pool) -> Lab:
    """Tasks that each take one slot of one pool, keyed by lane, for as long as the gate is shut."""
    lab = Lab(home, {}, {"work": pool})

    async def story(t: Story) -> Finish:
        with t.slot("work", t.lane):
            await t.step("run", lab.world.run, t.id)
        return Finish("landed", "", None)

    lab.flows = {"story": story}
    lab.world.gated = True
    return lab


def running(lab: Lab) -> list[str]:
    return list(lab.world.gates)


def test_total_and_per_key_limits_hold(home: Path) -> None:
    """As many at once as the limits allow and no more; whoever ends makes room for the next."""

    async def main() -> None:
        lab = crowd(home, Pool(total=3, per_key=2))
        async with lab.process():
            for n in range(4):
                lab.submit(f"a{n}", lane="a", pool="work")
            for n in range(4):
                lab.submit(f"b{n}", lane="b", pool="work")
            seen: list[list[str]] = []
            while any(row["state"] != "done" for row in lab.tasks()):
                await lab.settle()
                seen.append(running(lab))
                lab.world.let_go()
            assert seen[0] == ["a0", "a1", "b0"]
            assert max(len(row) for row in seen) == 3
            assert lab.world.wrongs == []
            assert lab.held() == 0

    asyncio.run(main())


@pytest.mark.parametrize("pooled", ["work", None], ids=["queued with its pool", "found out in the flow"])
def test_higher_priority_goes_first_then_age(home: Path, pooled: str | None) -> None:
    """Among those that wait, whichever way they came to wait."""

    async def main() -> None:
        lab = crowd(home, Pool(total=1))
        async with lab.process():
            lab.submit("first", pool=pooled)
            await lab.settle()
            for id, priority in (("low", -1), ("old", 0), ("urgent", 5), ("new", 0)):  # noqa: A001
                lab.clock.advance(1)
                lab.submit(id, pool=pooled, priority=priority)
                await lab.settle()
            order: list[str] = []
            for _ in range(5):
                order += running(lab)
                lab.world.let_go()
                await lab.settle()
            assert order == ["first", "urgent", "old", "new", "low"]

    asyncio.run(main())


def test_nobody_jumps_the_queue(home: Path) -> None:
    """A live task that needs a slot lines up behind more urgent ones that wait, even when there is room."""

    async def main() -> None:
        lab = crowd(home, Pool(total=1))
        async with lab.process():
            lab.submit("first")
            await lab.settle()
            lab.submit("waits", priority=1, pool="work")
            lab.submit("comes")
            lab.world.let_go()
            await lab.settle()
            assert running(lab) == ["waits"]

    asyncio.run(main())


def test_a_paused_lane_does_not_block_the_others(home: Path) -> None:
    """Lanes may share a key: those that are not paused get their slots past those that are."""

    async def main() -> None:
        lab = crowd(home, Pool(total=2, per_key=2))

        async def story(t: Story) -> Finish:
            with t.slot("work", "shared"):
                await t.step("run", lab.world.run, t.id)
            return Finish("landed", "", None)

        lab.flows = {"story": story}
        async with lab.process():
            lab.submit("hog1")
            lab.submit("hog2")
            await lab.settle()
            for n in range(3):
                lab.submit(f"shut{n}", lane="shut")
            lab.submit("open", lane="open")
            await lab.settle()
            lab.call("pause_all", lane="shut")
            lab.world.let_go()
            await lab.settle()
            assert running(lab) == ["open"]
            lab.call("resume_all", lane="shut")
            await lab.settle()
            assert running(lab) == ["open", "shut0"]

    asyncio.run(main())


@pytest.mark.parametrize("start", [1_000_000.0, 1_763_700_000.123, 0.1])
@pytest.mark.parametrize("seconds", [0.1, 60.0, 3599.7])
def test_a_rate_counts_starts_not_ends(home: Path, start: float, seconds: float) -> None:
    """In no window are there more starts than allowed, however short the runs; the next one comes at the very moment
    at which the window lets it."""

    async def main() -> None:
        lab = crowd(home, Pool(rate=Rate(2, seconds)))
        lab.clock.advance(start - lab.clock.now())
        lab.world.gated = False
        async with lab.process():
            for n in range(5):
                lab.submit(f"t{n}", pool="work")
            await lab.settle()
            ends = [2]
            for _ in range(2):
                until = lab.engine._next_timer()
                assert until is not None
                lab.clock.advance((until - lab.clock.now()) / 2)
                await lab.settle()
                assert sum(lab.world.done.values()) == ends[-1]
                while lab.clock.now() < until:
                    lab.clock.advance(max(until - lab.clock.now(), 1e-9))
                await lab.settle()
                ends.append(sum(lab.world.done.values()))
            assert ends == [2, 4, 5]
            assert lab.world.wrongs == []

    asyncio.run(main())


def test_a_clock_set_back_does_not_shut_a_rate_for_years(home: Path) -> None:
    """Grants from a future that was a mistake do not count; the ones after the correction do."""

    async def main() -> None:
        lab = crowd(home, Pool(rate=Rate(1, 60.0)))
        lab.world.gated = False
        lab.clock.advance(10 * 365 * 86400.0)
        async with lab.process():
            lab.submit("t1", pool="work")
            await lab.settle()
        lab.clock.advance(-10 * 365 * 86400.0)
        async with lab.process():
            lab.submit("t2", pool="work")
            lab.submit("t3", pool="work")
            await lab.settle()
            assert [row["state"] for row in lab.tasks()] == ["done", "done", "waiting"]
            lab.clock.advance(60)
            await lab.settle()
            assert lab.row("t3")["state"] == "done"

    asyncio.run(main())


def test_a_crash_keeps_a_slot_for_its_task(home: Path) -> None:
    """After a restart the slot is still the interrupted task's, and nobody else's."""

    async def main() -> None:
        lab = crowd(home, Pool(total=1))
        async with lab.process():
            lab.submit("first", pool="work")
            lab.submit("second", pool="work", priority=9)
            await lab.settle()
            holder = running(lab)
        async with lab.process():
            await lab.settle()
            assert running(lab) == holder
            assert lab.held() == 1
            lab.world.let_go()
            await lab.settle()
            assert len(running(lab)) == 1
            assert running(lab) != holder

    asyncio.run(main())


def test_a_pool_that_is_gone_strands_nobody(home: Path) -> None:
    """A new version without a pool of that name lets its waiters say what they need now, or holds them by name."""

    async def main() -> None:
        lab = crowd(home, Pool(total=1))
        async with lab.process():
            lab.submit("first")
            await lab.settle()
            lab.submit("second", pool="work")
            await lab.settle()
        lab.pools = {"other": Pool()}
        async with lab.process():
            await lab.settle()
            assert "no pool is called 'work'; known: other" in lab.row("second")["hold"]

    asyncio.run(main())


def test_a_slot_is_given_back_when_its_block_fails(home: Path) -> None:
    """A flow that goes on after the failure goes on without the slot."""

    async def main() -> None:
        lab = crowd(home, Pool(total=1))

        async def story(t: Story) -> Finish:
            try:
                with t.slot("work", t.lane):
                    await t.step("act", lab.world.act, "act")
            except ZeroDivisionError:
                await t.step("run", lab.world.run, "run")
            return Finish("landed", "", None)

        lab.flows = {"story": story}
        lab.world.fail = [ZeroDivisionError()]
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            assert (running(lab), lab.held()) == (["run"], 0)

    asyncio.run(main())


def test_a_slot_left_by_a_kill_goes_back_when_the_task_moves_on(home: Path) -> None:
    """Killed between the last step of a block and the giving back: the next step does not run with a slot too many."""

    async def main() -> None:
        lab = crowd(home, Pool(total=1))
        lab.pools = {**lab.pools, "other": Pool(total=1)}

        async def story(t: Story) -> Finish:
            with t.slot("work", t.lane):
                await t.step("one", lab.world.act, "one")
            if t.id == "a":
                with t.slot("other", t.lane):
                    await t.step("two", lab.world.run, "two")
            else:
                await t.step("free", lab.world.run, "free")
            return Finish("landed", "", None)

        lab.flows = {"story": story}
        for task, gate, slots in (("a", "two", [("other", "repo")]), ("b", "free", [])):
            killer = Killer()
            killer.at = ("after", "step one")
            async with lab.process(killer):
                lab.submit(task)
                await lab.settle()
            async with lab.process():
                assert lab.held() == 1
                await lab.settle()
                rows = lab.journal.db.execute("SELECT pool, key FROM slot WHERE released IS NULL").fetchall()
                assert (running(lab), [tuple(row) for row in rows]) == ([gate], slots)
                lab.world.let_go()
                await lab.settle()

    asyncio.run(main())


def test_slots_do_not_nest(home: Path) -> None:
    """Two slots at once could lock two tasks against each other: it is a fault."""

    async def main() -> None:
        lab = crowd(home, Pool())

        async def story(t: Story) -> Finish:
            with t.slot("work", "a"), t.slot("work", "b"):
                return Finish("landed", "", None)

        lab.flows = {"story": story}
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            assert "slots do not nest" in lab.row("t1")["hold"]

    asyncio.run(main())


def test_ten_thousand_waiting_tasks_are_rows(home: Path) -> None:
    """Submitting, restarting and waiting drive none of them; one that is called alone runs."""

    async def main() -> None:
        lab = Lab(home, {}, {"work": Pool(total=0)})

        async def story(t: Story) -> Finish:
            lab.world.begun[t.id] += 1
            if t.id.startswith("s"):
                await t.signal("go", str)
            else:
                with t.slot("work", t.lane):
                    raise AssertionError("there is no room")
            return Finish("landed", "", None)

        lab.flows = {"story": story}
        async with lab.process():
            with lab.journal.tx("many"):
                for n in range(10_000):
                    lab.submit(f"q{n}", lane=f"repo {n % 50}", pool="work")
            lab.submit("s1")
            await lab.settle()
        assert lab.world.begun == {"s1": 1}
        async with lab.process():
            await lab.settle()
            assert lab.world.begun == {"s1": 1}
            assert len(asyncio.all_tasks()) == 2
            lab.call("signal", task="s1", name="go", payload="")
            await lab.settle()
            assert lab.world.begun == {"s1": 2}
            assert lab.row("s1")["state"] == "done"

    asyncio.run(main())
