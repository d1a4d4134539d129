"""Kill it anywhere: whatever the interleaving, every task ends where it should and every effect happens once."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab import FAST, Killed, Killer, Lab

from overnight.durable.engine import Flow
from overnight.durable.flow import Cancelled, Finish, Story
from overnight.durable.journal import verify_journal
from overnight.errors import BadState
from overnight.missions.hold import Held, Hold, HoldReason

LIMIT = Hold(reason=HoldReason.LIMIT_REACHED, why="used up", releases_on="the window resets")


def tell(lab: Lab, *, longer: bool = False) -> Flow:
    """A task's life with everything in it: dependencies, slots, a run that can be stopped, checks that can be dropped,
    an answer with a deadline, a timer, a landing that is past return, a clean-up that waits. `longer`: the same in a
    later version, with one more step in the middle."""
    act, run = lab.world.act, lab.world.run

    async def work(t: Story, key: str) -> None:
        with t.slot("work", t.lane):
            t.at("running")
            await t.step("prepare", act, f"{key}/prepare")
        with t.slot("work", t.lane):
            for n in count(1):
                with t.stopped_by(lab.world.stop, f"{key}/run {n}"):
                    said = await t.step(f"run {n}", run, f"{key}/run {n}")
                if said == "finished":
                    break
            if longer:
                await t.step("measure", act, f"{key}/measure")
            with t.cancellable():
                await t.step("check", run, f"{key}/check")

    async def story(t: Story) -> Finish:
        key, given = f"{t.id}/{t.life}", t.read(dict[str, Any])
        try:
            for other in given.get("after", ()):
                await t.after(other, "landed")
            await work(t, key)
            if given.get("asks"):
                t.at("deciding")
                await t.signal("word", str, timeout=1000)
            if given.get("sleeps"):
                await t.sleep("cool", 30)
            t.at("landing")
            with t.slot("landing", "main"), t.to_the_end():
                await t.step("land", act, f"{key}/land", f"{t.id} landed")
            t.settled()
            await t.step("tidy", act, f"{key}/tidy")
            return Finish("landed", "", t.life)
        except Cancelled:
            await t.step("undo", act, f"{key}/undo")
            await t.sleep("settle", 5)
            await t.step("sweep", act, f"{key}/sweep")
            return Finish("cancelled", "", t.life)

    return story


# -- every commit of one life -------------------------------------------------------------------------------


async def one_life(lab: Lab, killer: Killer) -> None:
    """Whatever a person and the clock have to do to bring the task to its end, from wherever it is."""
    async with lab.process(killer):
        lab.submit("t1", {"asks": True, "sleeps": True}, pool="work")
        for _ in range(50):
            await lab.settle()
            row = lab.row("t1")
            if row["state"] == "done":
                return
            if row["wait_for"] == "signal word":
                lab.call("signal", task="t1", name="word", payload="yes")
            elif row["wake_at"] is not None:
                lab.clock.advance(row["wake_at"] - lab.clock.now())
            else:
                raise AssertionError(row)
        raise AssertionError("it does not end")


def moments(home: Path) -> int:
    """How many moments an undisturbed life has at which it can be killed."""
    killer = Killer()

    async def main() -> None:
        lab = Lab(home, {})
        lab.flows = {"story": tell(lab)}
        await one_life(lab, killer)

    asyncio.run(main())
    return len(killer.moments)


@pytest.mark.parametrize("longer", [False, True], ids=["same code", "one more step"])
def test_a_life_survives_a_kill_at_every_moment(home: Path, longer: bool) -> None:
    """Killed before and after each commit and around each effect, then resumed, also by code with one more step in
    the middle: it lands, each effect happens once, no recorded step runs again, no slot stays taken."""

    async def killed_at(moment: int, home: Path) -> None:
        lab = Lab(home, {})
        lab.flows = {"story": tell(lab)}
        killer = Killer(after=moment)
        await one_life(lab, killer)
        assert killer.dead
        lab.flows = {"story": tell(lab, longer=longer)}
        await one_life(lab, Killer())
        steps = ["prepare", "run 1", "check", "tidy"]
        if longer and moment < total - 1:  # at the last moment it had ended already
            steps.append("measure")
        assert lab.world.done == {"t1 landed": 1} | {f"t1/1/{step}": 1 for step in steps}
        assert lab.world.wrongs == []
        async with lab.process():
            assert (lab.row("t1")["phase"], lab.row("t1")["output"], lab.held()) == ("landed", "1", 0)
            assert lab.events("t1").count("task.ended") == 1
        assert verify_journal(home / "journal.db") > 0

    total = moments(home / "whole")
    assert total > 50
    for moment in range(total):
        asyncio.run(killed_at(moment, home / str(moment)))


# -- any interleaving ---------------------------------------------------------------------------------------

TASKS = ("a", "b", "c", "d")
INPUTS: dict[str, dict[str, Any]] = {
    "a": {"asks": True},
    "b": {"after": ["a"]},
    "c": {"sleeps": True},
    "d": {"after": ["c"], "asks": True, "sleeps": True},
}
task = st.sampled_from(TASKS)
some_acts = st.one_of(
    st.tuples(st.just("submit"), task, st.integers(0, 2)),
    st.tuples(st.sampled_from(("pause", "stop", "stop", "cancel", "resume", "retry", "retry", "decide")), task),
    st.tuples(st.sampled_from(("pause_all", "resume_all")), st.sampled_from(("", "left", "right"))),
    st.tuples(st.just("advance"), st.sampled_from((1, 10, 31, 1000, 100_000))),
    st.tuples(st.sampled_from(("let go", "let go", "help", "help", "step", "fault", "late fault", "hold", "restart"))),
)
#: An act, and whether things come to a standstill after it.
acts = st.tuples(some_acts, st.sampled_from((True, True, False)))
first = st.permutations(TASKS).map(lambda order: [(("submit", task, n % 3), False) for n, task in enumerate(order)])
lives = st.tuples(
    st.none() | st.integers(0, 30) | st.integers(20, 90), st.booleans(), st.lists(acts, min_size=5, max_size=25)
)
plans = st.tuples(first, st.lists(lives, min_size=1, max_size=5))


class Play:
    """A random night, and what is known of it."""

    def __init__(self, home: Path) -> None:
        self.lab = Lab(home, {})
        self.lab.flows = {"story": tell(self.lab)}
        #: (task, life) for which a cancel is known to be on record before its landing began.
        self.cancelled: set[tuple[str, int]] = set()

    async def process(self, killer: Killer, script: list[Any]) -> None:
        async with self.lab.process(killer):
            for act, settles in script:
                if act == ("restart",):
                    return
                await self.do(*act)
                if settles:
                    await self.lab.settle()
            await self.lab.settle()

    async def do(self, what: str, *about: Any) -> None:
        lab, world = self.lab, self.lab.world
        match what:
            case "submit":
                self.submit(about[0], about[1])
            case "pause" | "stop" | "cancel":
                self.want(about[0], what)
            case "resume":
                self.try_to("resume", task=about[0])
            case "retry":
                self.try_to("retry", task=about[0], phase="queued", good="landed")
            case "decide":
                self.try_to("signal", task=about[0], name="word", payload="yes")
            case "pause_all" | "resume_all":
                lab.call(what, lane=about[0])
            case "advance":
                lab.clock.advance(about[0])
            case "let go":
                world.let_go()
            case "fault":
                world.fail = [RuntimeError("once")]
            case "late fault":
                world.fail_late = [RuntimeError("once")]
            case "hold":
                world.fail = [Held(LIMIT)]
            case "step":
                await asyncio.sleep(0)
            case _:
                for row in lab.tasks():
                    self.help(row)
                lab.clock.advance(31)

    def submit(self, task: str, priority: int) -> None:
        lane = "left" if task in "ab" else "right"
        self.lab.submit(task, INPUTS[task], lane=lane, pool="work", priority=priority)

    def try_to(self, verb: str, **arguments: Any) -> bool:
        known = {row["id"] for row in self.lab.tasks()}
        if arguments["task"] not in known:
            return False
        try:
            self.lab.call(verb, **arguments)
        except BadState:
            return False
        return True

    def want(self, task: str, want: str) -> None:
        life = next((row["life"] for row in self.lab.tasks() if row["id"] == task), 0)
        in_time = not self.lab.world.begun[f"{task}/{life}/land"]
        try:
            accepted = self.try_to("want", task=task, want=want)
        except Killed:
            accepted = self.lab.killer.moments[-1][0] == "after"
            if accepted and want == "cancel" and in_time:
                self.cancelled.add((task, life))
            raise
        if accepted and want == "cancel" and in_time:
            self.cancelled.add((task, life))

    async def finish(self) -> None:
        """Morning: nobody kills or meddles any more, everything that waits is given what it waits for."""
        lab = self.lab
        lab.world.gated, lab.world.fail, lab.world.fail_late = False, [], []
        async with lab.process():
            for task in TASKS:
                self.submit(task, 0)
            for lane in ("", "left", "right"):
                lab.call("resume_all", lane=lane)
            for _ in range(100):
                await lab.settle()
                self.judge_ended()
                rows = lab.tasks()
                if all(row["state"] == "done" and row["phase"] == "landed" for row in rows):
                    break
                for row in rows:
                    self.help(row)
                lab.clock.advance(1000)
            else:
                raise AssertionError(f"it does not end: {lab.tasks()}")
            self.judge()

    def help(self, row: dict[str, Any]) -> None:
        if row["state"] == "done" and row["phase"] == "cancelled":
            self.try_to("retry", task=row["id"], phase="queued", good="landed")
        elif row["wait_for"] in ("pause", "hold"):
            self.try_to("resume", task=row["id"])
        elif row["wait_for"] == "signal word":
            self.try_to("signal", task=row["id"], name="word", payload="yes")

    def judge_ended(self) -> None:
        for row in self.lab.tasks():
            if row["state"] == "done" and (row["id"], row["life"]) in self.cancelled:
                assert row["phase"] == "cancelled", f"{row['id']} was cancelled in time and is {row['phase']}"

    def judge(self) -> None:
        lab = self.lab
        assert lab.world.wrongs == []
        assert lab.held() == 0
        for row in lab.tasks():
            task, lives = row["id"], range(1, row["life"] + 1)
            assert lab.world.done[f"{task} landed"] == 1
            by = lab.world.made_by[f"{task} landed"]
            assert by == f"{task}/{row['life']}/land", "a life that landed was called cancelled"
            wants = lab.events(task).count("want.cancel")
            assert row["life"] - 1 <= wants, "a life ended as cancelled that nobody cancelled"
            for life in lives:
                undone = [lab.world.done[f"{task}/{life}/{step}"] for step in ("undo", "sweep")]
                done = [lab.world.done[f"{task}/{life}/{step}"] for step in ("prepare", "check", "tidy")]
                if life == row["life"]:
                    assert (undone, done) == ([0, 0], [1, 1, 1]), f"{task} landed in life {life}"
                else:
                    assert (undone, done[2]) == ([1, 1], 0), f"{task} was cancelled in life {life}"
            assert lab.events(task).count("task.ended") == row["life"]
        assert set(lab.world.done.values()) <= {0, 1}
        assert verify_journal(lab.home / "journal.db") > 0


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(plans)
def test_any_night_ends_well(plan: tuple[list[Any], list[tuple[int | None, bool, list[Any]]]]) -> None:
    """Several tasks, random kills, pauses, stops, cancels, resumes, retries, answers, faults, holds and clock
    advances: once all is resumed every task has landed, each effect happened exactly once, a cancel that came in time
    was heeded, no pool was ever over its limits, no slot stays taken and the chain holds."""

    async def night(home: Path) -> None:
        play = Play(home)
        submits, lives = plan
        await play.process(Killer(), submits)
        for kill_after, gated, script in lives:
            play.lab.world.gated = gated
            await play.process(Killer(after=kill_after), script)
        await play.finish()

    home = Path(tempfile.mkdtemp(prefix="overnight-", dir=FAST if FAST.is_dir() else None))
    try:
        asyncio.run(night(home))
    finally:
        shutil.rmtree(home)
