"""What a flow may rely on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lab import Lab

from overnight.durable.engine import Flow
from overnight.durable.flow import Cancelled, Finish, Park, Story
from overnight.durable.pools import Pool
from overnight.durable.returned import returns
from overnight.missions.hold import Held, Hold, HoldReason

HOLD = Hold(reason=HoldReason.NEEDS_ANSWER, why="which one?", releases_on="an answer")


def drive(home: Path, flow: Flow, script: Callable[[Lab], Awaitable[None]], **more: Any) -> None:
    """Run a script against an engine that knows one flow."""

    async def main() -> None:
        lab = Lab(home, {"story": flow}, **more)
        async with lab.process():
            await script(lab)

    asyncio.run(main())


def test_a_step_is_remembered_by_name(home: Path) -> None:
    """After a restart finished steps answer from the journal, and only unfinished ones run."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            first = await t.step("first", lab.world.act, "a")
            said = await t.signal("go", str)
            return Finish("landed", "", [first, said, await t.step("second", lab.world.act, "b")])

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            assert lab.row("t1")["wait_for"] == "signal go"
        async with lab.process():
            lab.call("signal", task="t1", name="go", payload="now")
            await lab.settle()
            assert lab.row("t1")["output"] == '["a","now","b"]'
        assert lab.world.begun == {"a": 1, "b": 1}

    asyncio.run(main())


@pytest.mark.parametrize("jump", [7200.0, -7200.0])
def test_a_step_takes_what_passes_whatever_the_clock_is_set_to(home: Path, jump: float) -> None:
    """The seconds of a step that are put on record do not follow a clock that is set meanwhile."""

    async def main() -> None:
        async def jumps() -> None:
            lab.clock.advance(jump)

        async def story(t: Story) -> Finish:
            await t.step("long", jumps)
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            done = lab.journal.db.execute("SELECT data FROM event WHERE what = 'step.done'").fetchone()
            assert 0.0 <= json.loads(done["data"])["seconds"] < abs(jump)

    asyncio.run(main())


async def _number() -> int:
    return 1


async def _silent():  # type: ignore[no-untyped-def]
    return 1


class _Callable:
    async def __call__(self) -> bytes:
        return b""


@pytest.mark.parametrize(("fn", "kind"), [(_number, int), (partial(_number), int), (_Callable(), bytes)])
def test_a_step_knows_what_it_returns(fn: Callable[..., Any], kind: type) -> None:
    """The annotation of a function, partial or callable object says what its record is read back as."""
    assert returns(fn) is kind


def test_a_step_must_say_what_it_returns() -> None:
    """A function without a return annotation is refused before it runs."""
    with pytest.raises(TypeError, match="must say what it returns"):
        returns(_silent)


def test_flows_may_make_their_functions_anew() -> None:
    """The memory of annotations does not keep functions alive that a flow made for one life."""
    import gc
    import weakref

    async def made() -> int:
        return 1

    assert returns(made) is int
    ref = weakref.ref(made)
    del made
    gc.collect()
    assert ref() is None


def test_two_steps_of_one_name_are_a_fault(home: Path) -> None:
    """A name that is used twice holds the task instead of answering for another step."""

    async def story(t: Story) -> Finish:
        await t.step("same", _number)
        await t.step("same", _number)
        return Finish("landed", "", None)

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        await lab.settle()
        assert "two steps of t1 are called 'same'" in lab.row("t1")["hold"]

    drive(home, story, script)


def test_a_fault_backs_off_and_then_waits_for_a_person(home: Path) -> None:
    """An unforeseen failure is tried again after 30 s, 2 min and 8 min, then held; resume starts over."""

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        for wait in (30, 120, 480):
            await lab.settle()
            assert lab.row("t1")["wake_at"] == lab.clock.now() + wait
            lab.clock.advance(wait - 1)
            await lab.settle()
            assert lab.row("t1")["state"] == "waiting"
            lab.clock.advance(1)
        await lab.settle()
        assert (lab.row("t1")["wake_at"], lab.row("t1")["faults"]) == (None, 4)
        lab.call("resume", task="t1")
        await lab.settle()
        assert (lab.row("t1")["wake_at"], lab.row("t1")["faults"]) == (lab.clock.now() + 30, 1)

    async def story(t: Story) -> Finish:
        raise ZeroDivisionError

    drive(home, story, script)


def test_a_fault_whose_words_are_no_utf_8_is_held_like_any_other(home: Path) -> None:
    """A failure that names a file with odd bytes neither spins nor takes the engine down."""

    async def story(t: Story) -> Finish:
        raise OSError("no such file: caf\udce9")

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        await lab.settle()
        assert "caf\\\\udce9" in lab.row("t1")["hold"]
        assert lab.events("t1").count("task.fault") == 1

    drive(home, story, script)


@pytest.mark.parametrize("value", [object(), {"x": "\udce9"}, 1 + 2j])
def test_an_end_that_cannot_be_written_is_a_fault(home: Path, value: object) -> None:
    """A value without a JSON form holds its task and no other."""

    async def story(t: Story) -> Finish:
        return Finish("landed", "", value if t.id == "bad" else None)

    async def script(lab: Lab) -> None:
        lab.submit("bad")
        lab.submit("good")
        await lab.settle()
        assert (lab.row("bad")["state"], lab.row("bad")["wait_for"]) == ("waiting", "hold")
        assert lab.row("good")["state"] == "done"

    drive(home, story, script)


def test_a_flow_that_is_not_known_is_a_fault(home: Path) -> None:
    """A task whose flow this version lacks is held and says which flows there are."""

    async def script(lab: Lab) -> None:
        lab.call("submit", id="t1", flow="other", lane="repo", input=None, phase="queued")
        await lab.settle()
        assert "no flow is called 'other'; known: story" in lab.row("t1")["hold"]

    drive(home, lambda t: _finish(), script)


async def _finish() -> Finish:
    return Finish("landed", "", None)


def test_a_flow_must_finish(home: Path) -> None:
    """A flow that returns something else is held, not taken for landed."""

    async def story(t: Story) -> Any:
        return None

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        await lab.settle()
        assert "returned None, not a Finish" in lab.row("t1")["hold"]

    drive(home, story, script)


def test_held_parks_without_costing_a_fault(home: Path) -> None:
    """A step that can't be done now runs again when its hold ends; a time in the past does not make it spin."""
    until = [0.0]

    async def script(lab: Lab) -> None:
        until[0] = lab.clock.now() - 5
        lab.world.fail = [Held(Hold(reason=HoldReason.LIMIT_REACHED, why="", releases_on="", until=until[0]))]
        lab.submit("t1")
        await lab.settle()
        assert (lab.row("t1")["faults"], lab.row("t1")["wake_at"]) == (0, lab.clock.now() + 1)
        lab.clock.advance(1)
        await lab.settle()
        assert lab.row("t1")["phase"] == "landed"

    async def main() -> None:
        async def story(t: Story) -> Finish:
            await t.step("act", lab.world.act, "a")
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        async with lab.process():
            await script(lab)

    asyncio.run(main())


def test_a_step_that_cancels_itself_is_a_fault(home: Path) -> None:
    """A cancellation that nobody asked for is tried again with back-off, not at once and for ever."""

    async def broken() -> int:
        raise asyncio.CancelledError

    async def story(t: Story) -> Finish:
        return Finish("landed", "", await t.step("broken", broken))

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        await lab.settle()
        assert "'broken' was cancelled" in lab.row("t1")["hold"]

    drive(home, story, script)


def test_a_database_of_a_step_is_not_the_journal(home: Path) -> None:
    """A step that fails on a database of its own is a fault of that task; the engine goes on."""

    async def locked() -> int:
        raise sqlite3.OperationalError("database is locked")

    async def story(t: Story) -> Finish:
        return Finish("landed", "", await t.step("look", locked) if t.id == "bad" else None)

    async def script(lab: Lab) -> None:
        lab.submit("bad")
        lab.submit("good")
        await lab.settle()
        assert "database is locked" in lab.row("bad")["hold"]
        assert lab.row("good")["state"] == "done"

    drive(home, story, script)


def test_a_flow_cannot_outlive_its_parking(home: Path) -> None:
    """Steps in a flow's `finally` do not run when the task merely parks, even if the flow swallows everything."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            try:
                await t.signal("go", str)
            finally:
                with contextlib.suppress(BaseException):
                    await t.step("clean up", lab.world.act, "cleaned")
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            assert (lab.row("t1")["state"], lab.row("t1")["wait_for"]) == ("waiting", "signal go")
            assert not lab.world.begun
            lab.call("signal", task="t1", name="go", payload="")
            await lab.settle()
            assert lab.world.done == {"cleaned": 1}

    asyncio.run(main())


def test_the_phase_is_told_once_for_each_change(home: Path) -> None:
    """A phase reached by parking is told like one reached by a step; replays tell nothing anew."""

    async def story(t: Story) -> Finish:
        t.at("preparing")
        await t.step("a", _number)
        t.at("deciding")
        await t.signal("go", str)
        t.at("landing")
        await t.step("b", _number)
        return Finish("landed", "", None)

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        await lab.settle()
        assert lab.row("t1")["phase"] == "deciding"
        lab.call("signal", task="t1", name="go", payload="")
        await lab.settle()
        sql = "SELECT why FROM event WHERE what = 'task.phase' ORDER BY seq"
        assert [row["why"] for row in lab.journal.db.execute(sql)] == ["preparing", "deciding", "landing"]

    drive(home, story, script)


# -- signals and timers -------------------------------------------------------------------------------------


def test_a_signal_that_comes_early_waits_for_its_taker(home: Path) -> None:
    """Signals sent before, while and after a task parks are each taken once, in order."""
    heard: list[str | None] = []

    async def story(t: Story) -> Finish:
        said = [await t.signal("word", str, key=f"word {n}") for n in range(3)]
        heard[:] = said
        return Finish("landed", "", None)

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        lab.call("signal", task="t1", name="word", payload="one")
        await lab.settle()
        for word in ("two", "three"):
            lab.call("signal", task="t1", name="word", payload=word)
        await lab.settle()
        assert heard == ["one", "two", "three"]

    drive(home, story, script)


def test_a_signal_that_comes_while_parking_is_heard(home: Path) -> None:
    """A signal committed between the look into the inbox and the parking does not get lost."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            try:
                said = await t.signal("go", str)
            except Park:
                lab.call("signal", task="t1", name="go", payload="in time")
                raise
            return Finish("landed", "", said)

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            assert lab.row("t1")["output"] == '"in time"'

    asyncio.run(main())


@pytest.mark.parametrize(("put", "take"), [("want", "resume"), ("pause_all", "resume_all")])
def test_a_resume_that_comes_while_parking_is_heard(home: Path, put: str, take: str) -> None:
    """A pause taken back between its being heeded and the parking leaves nobody paused."""
    one = {"task": "t1"} if put == "want" else {}
    resumed: list[bool] = []

    async def main() -> None:
        async def story(t: Story) -> Finish:
            await t.step("one", lab.world.run, "one")
            try:
                await t.step("two", lab.world.act, "two")
            except Park:
                lab.call(take, **one)
                resumed.append(True)
                raise
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        lab.world.gated = True
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            lab.call(put, **one, **({"want": "pause"} if one else {}))
            lab.world.let_go()
            await lab.settle()
            assert (resumed, lab.row("t1")["phase"]) == ([True], "landed")

    asyncio.run(main())


@pytest.mark.parametrize("word", ["pause", "pause-all", "hold", "slot", "task t0"])
def test_a_signal_called_like_a_wait_wakes_nobody(home: Path, word: str) -> None:
    """A signal whose name is a word of ours does not release a paused task, nor make the engine spin."""

    async def story(t: Story) -> Finish:
        await t.step("a", _number)
        return Finish("landed", "", None)

    async def script(lab: Lab) -> None:
        lab.call("pause_all")
        lab.submit("t1")
        lab.call("signal", task="t1", name=word, payload=None)
        await lab.settle()
        assert lab.row("t1")["wait_for"] == "pause-all"

    drive(home, story, script)


def test_an_answer_of_the_wrong_shape_is_refused(home: Path) -> None:
    """It is put on record and dropped; the task goes on waiting and takes the next good one."""

    async def story(t: Story) -> Finish:
        return Finish("landed", "", await t.signal("count", int))

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        await lab.settle()
        for wrong in ("seven", None, {"x": 1}):
            lab.call("signal", task="t1", name="count", payload=wrong)
        await lab.settle()
        assert (lab.row("t1")["wait_for"], lab.events("t1").count("signal.refused")) == ("signal count", 3)
        lab.call("signal", task="t1", name="count", payload=7)
        await lab.settle()
        assert lab.row("t1")["output"] == "7"

    drive(home, story, script)


def test_a_wait_ends_at_its_deadline_and_not_before(home: Path) -> None:
    """The deadline is set once: restarts in between do not prolong it."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            return Finish("landed", "", await t.signal("go", str, timeout=100))

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            lab.clock.advance(99)
        async with lab.process():
            await lab.settle()
            assert lab.row("t1")["state"] == "waiting"
            lab.clock.advance(1)
            await lab.settle()
            assert (lab.row("t1")["output"], lab.events("t1").count("signal.timeout")) == ("null", 1)

    asyncio.run(main())


def test_a_timer_that_passed_while_nobody_ran_rings_at_once(home: Path) -> None:
    """Time that passes between two daemons counts."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            await t.sleep("nap", 100)
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
        lab.clock.advance(1_000_000)
        async with lab.process():
            await lab.settle()
            assert lab.row("t1")["phase"] == "landed"

    asyncio.run(main())


def test_a_hold_of_the_flow_is_released_by_resume_or_time(home: Path) -> None:
    """`Story.hold` waits once; what released it is remembered."""

    async def story(t: Story) -> Finish:
        await t.hold("one", HOLD)
        await t.hold("two", Hold(reason=HoldReason.STUCK, why="", releases_on="", until=1_000_050.0))
        return Finish("landed", "", None)

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        await lab.settle()
        lab.call("resume", task="t1")
        lab.call("resume", task="t1")
        await lab.settle()
        assert lab.row("t1")["wait_for"] == "signal release two"
        lab.clock.advance(60)
        await lab.settle()
        assert lab.row("t1")["phase"] == "landed"

    drive(home, story, script)


# -- dependencies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_a_task_waits_for_another(home: Path, order: tuple[str, str]) -> None:
    """Whichever is submitted first, the dependent one goes on when the other has landed."""

    async def story(t: Story) -> Finish:
        if t.id == "second":
            await t.after("first", "landed")
        else:
            await t.signal("go", str)
        return Finish("landed", "", None)

    async def script(lab: Lab) -> None:
        for task in order:
            lab.submit(task)
            await lab.settle()
        assert lab.row("second")["wait_for"] == "task first"
        lab.call("signal", task="first", name="go", payload="")
        await lab.settle()
        assert [row["phase"] for row in lab.tasks()] == ["landed", "landed"]

    drive(home, story, script)


def test_a_task_that_ended_badly_holds_the_ones_after_it(home: Path) -> None:
    """The hold names the other's end; a retry of that one that lands releases it, a resume does not."""
    phases = ["failed", "landed"]

    async def story(t: Story) -> Finish:
        if t.id == "second":
            await t.after("first", "landed")
            return Finish("landed", "", None)
        return Finish(phases.pop(0), "", None)

    async def script(lab: Lab) -> None:
        lab.submit("first")
        lab.submit("second")
        await lab.settle()
        lab.call("resume", task="second")
        await lab.settle()
        assert "first, which this task waits for, is failed" in lab.row("second")["hold"]
        lab.call("retry", task="first", phase="queued", good="landed")
        await lab.settle()
        assert [row["phase"] for row in lab.tasks()] == ["landed", "landed"]

    drive(home, story, script)


def test_a_task_that_ends_while_another_parks_on_it_is_seen(home: Path) -> None:
    """No end falls between the look and the parking."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            if t.id == "second":
                try:
                    await t.after("first", "landed")
                except Park:  # a flow never does this: it opens the gap that is to be tested
                    lab.call("signal", task="first", name="go", payload="")
                    while lab.row("first")["state"] != "done":  # noqa: ASYNC110 (the engine is to run)
                        await asyncio.sleep(0)
                    raise
            else:
                await t.signal("go", str)
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("first")
            await lab.settle()
            lab.submit("second")
            await lab.settle()
            assert lab.row("second")["phase"] == "landed"

    asyncio.run(main())


# -- cancelled ----------------------------------------------------------------------------------------------


def test_an_uncaught_cancel_ends_the_task(home: Path) -> None:
    """A flow that has nothing to clean up need not catch Cancelled."""

    async def story(t: Story) -> Finish:
        await t.signal("go", str)
        return Finish("landed", "", None)

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        await lab.settle()
        lab.call("want", task="t1", want="cancel")
        await lab.settle()
        assert (lab.row("t1")["state"], lab.row("t1")["phase"]) == ("done", "cancelled")

    drive(home, story, script)


def test_clean_up_may_wait_like_anything_else(home: Path) -> None:
    """A cancelled task that waits for a signal, a timer, a slot or another task in its clean-up is woken by it, and
    is not cancelled a second time."""

    async def story(t: Story) -> Finish:
        try:
            await t.signal("never", str)
        except Cancelled:
            await t.signal("bye", str)
            await t.sleep("cool down", 10)
            await t.after("other", "landed")
            with t.slot("work", "repo"):
                await t.step("undo", _number)
            return Finish("cancelled", "", None)
        return Finish("landed", "", None)

    async def script(lab: Lab) -> None:
        lab.submit("t1")
        await lab.settle()
        lab.call("want", task="t1", want="cancel")
        await lab.settle()
        assert lab.row("t1")["wait_for"] == "signal bye"
        lab.call("want", task="t1", want="cancel")
        lab.call("want", task="t1", want="pause")
        await lab.settle()
        assert lab.row("t1")["wait_for"] == "signal bye"
        lab.call("signal", task="t1", name="bye", payload="")
        await lab.settle()
        assert lab.row("t1")["wait_for"] == "signal sleep cool down"
        lab.clock.advance(10)
        await lab.settle()
        assert lab.row("t1")["wait_for"] == "task other"
        lab.call("submit", id="other", flow="done", lane="repo", input=None, phase="queued")
        await lab.settle()
        assert (lab.row("t1")["state"], lab.row("t1")["phase"]) == ("done", "cancelled")
        assert lab.held() == 0

    async def main() -> None:
        lab = Lab(home, {"story": story, "done": lambda t: _finish()})
        async with lab.process():
            await script(lab)

    asyncio.run(main())


def test_past_the_point_of_no_return_a_cancel_comes_too_late(home: Path) -> None:
    """What has landed is not called cancelled, also when the cancel comes in the middle of what is left to do."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            await t.step("land", lab.world.run, "land")
            t.settled()
            await t.signal("look", str)
            await t.step("tidy", lab.world.run, "tidy")
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story}, {"work": Pool()})
        lab.world.gated = True
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            lab.call("want", task="t1", want="cancel")
            lab.world.let_go()
            await lab.settle()
            assert lab.row("t1")["wait_for"] == "signal look"
        async with lab.process():
            lab.call("signal", task="t1", name="look", payload="")
            await lab.settle()
            lab.world.let_go()
            await lab.settle()
            assert lab.row("t1")["phase"] == "landed"

    asyncio.run(main())
