"""Pause, stop, cancel and resume, in every state that a task can be in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from lab import Killer, Lab

from overnight.durable.flow import Cancelled, Finish, Story
from overnight.durable.pools import Pool
from overnight.errors import BadInput, BadState, UnknownTask
from overnight.missions.hold import Held, Hold, HoldReason

POOLS = {"work": Pool(total=1), "other": Pool(total=1)}
#: Where a task can be when a person says something.
STATES = ("ready", "in a step", "slot", "signal", "timer", "dependency", "fault", "paused", "all paused", "unwinding")


async def never() -> str:
    return await asyncio.get_running_loop().create_future()


class Stage(Lab):
    """One task brought to a state."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, {}, POOLS)
        self.flows = {"story": self.story}
        self.state = ""

    async def story(self, t: Story) -> Finish:
        if t.id != "t1":
            with t.slot("work", "repo"):
                await t.step("hog", self.world.run, f"{t.id}/{t.life}/hog")
            return Finish("landed", "", None)
        key = f"{t.id}/{t.life}"
        try:
            with t.slot("other", "repo"):
                await t.step("begin", self.world.act, f"{key}/begin")
                with t.stopped_by(self.world.stop, f"{key}/run"):
                    await t.step("run", self.world.run, f"{key}/run")
            await self.wait(t)
            await t.step("end", self.world.act, f"{key}/end")
        except Cancelled:
            if self.state == "unwinding":
                await t.signal("bye", str)
            await t.step("undo", self.world.act, f"{key}/undo")
            return Finish("cancelled", "", None)
        return Finish("landed", "", None)

    async def wait(self, t: Story) -> None:
        match self.state:
            case "slot":
                with t.slot("work", "repo"):
                    await t.step("with slot", self.world.act, "with slot")
            case "signal" | "unwinding" | "paused":
                await t.signal("go", str)
            case "timer":
                await t.sleep("nap", 100)
            case "dependency":
                await t.after("hog", "landed")
            case _:
                pass

    async def bring_to(self, state: str) -> None:
        self.state = state
        self.world.gated = state in ("in a step", "slot", "dependency")
        if state in ("slot", "dependency"):
            self.submit("hog")
            await self.settle()
            self.world.gated = False
        if state == "fault":
            self.world.fail = [RuntimeError("once")]
        if state == "all paused":
            self.call("pause_all")
        self.submit("t1")
        if state == "ready":
            return
        await self.settle()
        if state == "paused":
            self.call("want", task="t1", want="pause")
        if state == "unwinding":
            self.call("want", task="t1", want="cancel")
        await self.settle()
        expected = {
            "in a step": None, "slot": "slot", "signal": "signal go", "timer": "signal sleep nap", "fault": "hold",
            "dependency": "task hog", "paused": "pause", "all paused": "pause-all", "unwinding": "signal bye",
        }  # fmt: skip
        assert self.row("t1")["wait_for"] == expected[state]

    async def let_all_end(self) -> None:
        """Give the task whatever it may wait for."""
        self.call("resume_all")
        if self.row("t1")["wait_for"] == "pause":
            self.call("resume", task="t1")
        self.world.gated = False
        self.world.let_go()
        for name in ("go", "bye"):
            if self.row("t1")["state"] != "done":
                self.call("signal", task="t1", name=name, payload="")
        for _ in range(3):
            await self.settle()
            self.clock.advance(100)
        await self.settle()


def on_stage(home: Path, script: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        stage = Stage(home)
        async with stage.process():
            await script(stage)
        assert stage.world.wrongs == []

    asyncio.run(main())


@pytest.mark.parametrize("state", STATES)
def test_cancel_ends_a_task_from_any_state(home: Path, state: str) -> None:
    """At once, except that a clean-up under way goes on; it is cleaned up once and holds nothing."""

    async def script(stage: Stage) -> None:
        await stage.bring_to(state)
        stage.call("want", task="t1", want="cancel")
        await stage.settle()
        if state == "unwinding":
            assert stage.row("t1")["wait_for"] == "signal bye"
            stage.call("signal", task="t1", name="bye", payload="")
            await stage.settle()
        row = stage.row("t1")
        assert (row["state"], row["phase"], row["want"], row["hold"]) == ("done", "cancelled", None, None)
        assert (stage.world.done["t1/1/undo"], stage.world.done["t1/1/end"]) == (1, 0)
        with pytest.raises(BadState):
            stage.call("want", task="t1", want="cancel")

    on_stage(home, script)


@pytest.mark.parametrize("want", ["pause", "stop"])
@pytest.mark.parametrize("state", STATES)
def test_pause_and_stop_hold_a_task_in_any_state(home: Path, state: str, want: str) -> None:
    """It waits without a slot until a person resumes it, and then goes on to its end; stop ends the step under way."""

    async def script(stage: Stage) -> None:
        await stage.bring_to(state)
        stage.call("want", task="t1", want=want)
        await stage.settle()
        row = stage.row("t1")
        if state == "unwinding":
            assert row["wait_for"] == "signal bye"
        elif state == "in a step" and want == "pause":
            assert (row["state"], row["want"]) == ("ready", "pause")
            stage.world.let_go()
            await stage.settle()
            row = stage.row("t1")
        if state != "unwinding":
            assert (row["state"], row["wait_for"], row["want"], row["wake_at"]) == ("waiting", "pause", None, None)
        stage.clock.advance(10_000)
        await stage.settle()
        assert stage.row("t1")["state"] == "waiting"
        await stage.let_all_end()
        assert stage.row("t1")["phase"] == ("cancelled" if state == "unwinding" else "landed")
        assert stage.held() == 0

    on_stage(home, script)


@pytest.mark.parametrize("state", STATES)
def test_resume_never_does_harm(home: Path, state: str) -> None:
    """Said in any state, and twice, it releases what a person may release, and repeats or skips nothing."""

    async def script(stage: Stage) -> None:
        await stage.bring_to(state)
        for _ in range(2):
            stage.call("resume", task="t1")
            stage.call("resume", task="t1")
            await stage.settle()
            if stage.row("t1")["state"] == "done":
                break
        await stage.let_all_end()
        phase = stage.row("t1")["phase"]
        assert phase == ("cancelled" if state == "unwinding" else "landed")
        assert set(stage.world.done.values()) == {1}
        assert stage.events("t1").count("task.ended") == 1

    on_stage(home, script)


@pytest.mark.parametrize("want", ["", "pause", "stop", "cancel"])
@pytest.mark.parametrize("state", STATES)
def test_nothing_spins(home: Path, state: str, want: str) -> None:
    """Once things stand still the engine asks the journal nothing, whatever waits and whatever is wished."""

    async def script(stage: Stage) -> None:
        await stage.bring_to(state)
        if want:
            stage.call("want", task="t1", want=want)
        await stage.settle()
        asked: list[str] = []
        stage.journal.db.set_trace_callback(asked.append)
        for _ in range(100):
            await asyncio.sleep(0)
        stage.journal.db.set_trace_callback(None)
        assert asked == []

    on_stage(home, script)


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        (("stop", "pause"), "stop"),
        (("cancel", "pause"), "cancel"),
        (("pause", "stop"), "stop"),
        (("stop", "cancel"), "cancel"),
    ],
)
def test_the_stronger_wish_stands(home: Path, said: tuple[str, ...], stands: str) -> None:
    """A pause said after a stop or a cancel does not weaken it."""

    async def script(stage: Stage) -> None:
        stage.call("pause_all")
        stage.submit("t1")
        for want in said:
            stage.call("want", task="t1", want=want)
        assert stage.row("t1")["want"] == stands

    on_stage(home, script)


def test_a_cancel_is_not_taken_back(home: Path) -> None:
    """A resume after a cancel, even at once, leaves the task cancelled."""

    async def script(stage: Stage) -> None:
        await stage.bring_to("in a step")
        stage.call("want", task="t1", want="cancel")
        stage.call("resume", task="t1")
        await stage.settle()
        assert stage.row("t1")["phase"] == "cancelled"

    on_stage(home, script)


def test_wishes_survive_a_restart(home: Path) -> None:
    """What a person said while no daemon ran is heeded by the next one."""

    async def main() -> None:
        stage = Stage(home)
        async with stage.process():
            await stage.bring_to("signal")
            stage.engine.close()
            stage.call("want", task="t1", want="cancel")
        async with stage.process():
            await stage.settle()
            assert stage.row("t1")["phase"] == "cancelled"

    asyncio.run(main())


@pytest.mark.parametrize("want", ["stop", "cancel"])
def test_a_step_that_may_be_dropped_is_dropped(home: Path, want: str) -> None:
    """It is not recorded, and runs again after a resume; one that may not be dropped is let finish."""
    asked: list[str] = []

    async def main() -> None:
        async def slow() -> str:
            asked.append("slow")
            return await never() if len(asked) == 1 else "done"

        async def story(t: Story) -> Finish:
            with t.cancellable():
                await t.step("slow", slow)
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            while not asked:  # noqa: ASYNC110 (the engine is to run)
                await asyncio.sleep(0)
            lab.call("want", task="t1", want=want)
            await lab.engine.idle()
            if want == "cancel":
                assert lab.row("t1")["phase"] == "cancelled"
                return
            assert lab.row("t1")["wait_for"] == "pause"
            lab.call("resume", task="t1")
            await lab.engine.idle()
            assert (lab.row("t1")["phase"], asked) == ("landed", ["slow", "slow"])

    asyncio.run(main())


def test_a_stop_taken_back_in_time_starts_the_step_anew(home: Path) -> None:
    """Stop and resume before the dropped step noticed: it runs again at once, without a fault."""
    asked: list[str] = []

    async def main() -> None:
        async def slow() -> str:
            asked.append("slow")
            if len(asked) > 1:
                return "done"
            try:
                return await never()
            finally:
                lab.call("resume", task="t1")

        async def story(t: Story) -> Finish:
            with t.cancellable():
                await t.step("slow", slow)
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            while not asked:  # noqa: ASYNC110 (the engine is to run)
                await asyncio.sleep(0)
            lab.call("want", task="t1", want="stop")
            await lab.engine.idle()
            assert (lab.row("t1")["phase"], asked, lab.events("t1").count("task.fault")) == ("landed", ["slow"] * 2, 0)

    asyncio.run(main())


def test_a_stop_that_fails_is_told_and_tried_again(home: Path) -> None:
    """It harms no other task, is on record, and is repeated while the step goes on; never twice at once."""
    tries: list[str] = []

    async def main() -> None:
        async def stop(key: str) -> None:
            tries.append(key)
            if len(tries) == 1:
                raise ConnectionError("not now")
            await lab.world.stop(key)

        async def story(t: Story) -> Finish:
            with t.stopped_by(stop, "run"):
                await t.step("run", lab.world.run, "run")
            await t.step("more", lab.world.act, "more")
            return Finish("landed", "", None)

        lab = Lab(home, {"story": story})
        lab.world.gated = True
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            lab.call("want", task="t1", want="stop")
            await lab.settle()
            lab.engine.poke()
            await lab.settle()
            assert (tries, lab.events("t1").count("step.stop-failed")) == (["run"], 1)
            lab.clock.advance(30)
            await lab.engine.idle()
            assert (tries, lab.row("t1")["wait_for"]) == (["run", "run"], "pause")

    asyncio.run(main())


def test_a_retry_is_a_new_life(home: Path) -> None:
    """Steps and unheard signals of the old life answer nothing; a second retry, or one of a landed task, is refused."""

    async def main() -> None:
        async def story(t: Story) -> Finish:
            await t.step("act", lab.world.act, f"{t.life}")
            said = await t.signal("go", str)
            return Finish(said or "silence", "", t.life)

        lab = Lab(home, {"story": story})
        async with lab.process():
            lab.submit("t1")
            for word in ("failed", "unheard"):
                lab.call("signal", task="t1", name="go", payload=word)
            await lab.settle()
            assert lab.row("t1")["phase"] == "failed"
            assert lab.call("retry", task="t1", phase="queued", good="landed") == 2
            with pytest.raises(BadState, match="has not ended"):
                lab.call("retry", task="t1", phase="queued", good="landed")
            await lab.settle()
            assert lab.row("t1")["wait_for"] == "signal go"
            lab.call("signal", task="t1", name="go", payload="landed")
            await lab.settle()
            assert (lab.row("t1")["phase"], lab.row("t1")["output"], lab.world.done) == (
                "landed",
                "2",
                {"1": 1, "2": 1},
            )
            with pytest.raises(BadState, match="landed"):
                lab.call("retry", task="t1", phase="queued", good="landed")

    asyncio.run(main())


@pytest.mark.parametrize("lane", ["", "repo"])
def test_a_general_pause_lets_nothing_new_start(home: Path, lane: str) -> None:
    """The step under way ends, no slot is given; cancelled tasks may still clean up. Twice is once."""

    async def script(stage: Stage) -> None:
        await stage.bring_to("in a step")
        for _ in range(2):
            stage.call("pause_all", lane=lane)
        stage.submit("queued", pool="work")
        stage.submit("t2", lane="free")
        stage.world.let_go()
        await stage.settle()
        assert stage.row("t1")["wait_for"] == ("pause-lane" if lane else "pause-all")
        assert stage.row("queued")["wait_for"] == "slot"
        assert (stage.row("t2")["state"] == "done") == bool(lane) or stage.world.gates
        stage.call("want", task="t1", want="cancel")
        await stage.settle()
        assert stage.row("t1")["phase"] == "cancelled"
        stage.world.gated = False
        assert [stage.call("resume_all", lane=lane) for _ in range(2)] == [True, False]
        stage.world.let_go()
        await stage.settle()
        assert {row["state"] for row in stage.tasks()} == {"done"}

    on_stage(home, script)


@pytest.mark.parametrize(
    ("verb", "arguments", "error"),
    [
        ("want", {"task": "nope", "want": "pause"}, UnknownTask),
        ("want", {"task": "nope", "want": "explode"}, BadInput),
        ("resume", {"task": "nope"}, UnknownTask),
        ("retry", {"task": "nope", "phase": "queued", "good": "landed"}, UnknownTask),
        ("signal", {"task": "nope", "name": "x"}, UnknownTask),
        ("fly", {}, BadInput),
    ],
)
def test_the_desk_refuses_what_is_not_there(home: Path, verb: str, arguments: dict[str, Any], error: type) -> None:
    """Unknown tasks, wishes and verbs are clear errors, and nothing is written."""

    async def script(stage: Stage) -> None:
        before = stage.journal.db.execute("SELECT count(*) FROM event").fetchone()[0]
        with pytest.raises(error):
            stage.call(verb, **arguments)
        assert stage.journal.db.execute("SELECT count(*) FROM event").fetchone()[0] == before

    on_stage(home, script)


def test_submitting_twice_is_submitting_once(home: Path) -> None:
    """The second time says so and changes nothing, also after the task has ended."""

    async def script(stage: Stage) -> None:
        assert stage.submit("t1") is True
        await stage.settle()
        assert stage.submit("t1", priority=9) is False
        assert (stage.row("t1")["state"], stage.row("t1")["priority"]) == ("done", 0)

    on_stage(home, script)


def landing(lab: Lab) -> Callable[[Story], Awaitable[Finish]]:
    async def story(t: Story) -> Finish:
        try:
            with t.slot("work", t.lane), t.to_the_end():
                await t.step("land", lab.world.act, f"{t.id}/{t.life}/land")
            await t.step("tidy", lab.world.act, f"{t.id}/{t.life}/tidy")
        except Cancelled:
            return Finish("cancelled", "", bool(lab.world.done[f"{t.id}/{t.life}/land"]))
        return Finish("landed", "", None)

    return story


@pytest.mark.parametrize("first", ["", "pause", "pause_all"])
@pytest.mark.parametrize("how", ["killed", "failed"])
def test_what_was_begun_past_return_is_looked_at_before_a_wish_is_heeded(home: Path, how: str, first: str) -> None:
    """A step that may have been done when its process was killed, or it failed, is gone through with: a cancel, also
    after a pause, is heeded only once its outcome is known."""

    async def main() -> None:
        lab = Lab(home, {}, POOLS)
        lab.flows = {"story": landing(lab)}
        killer = Killer()
        async with lab.process(killer):
            if how == "failed":
                lab.world.fail_late = [RuntimeError("lost the line")]
            else:
                killer.at = ("world", "did t1/1/land")
            lab.submit("t1")
            await lab.settle()
        assert lab.world.done["t1/1/land"] == 1
        async with lab.process():
            if first == "pause":
                lab.call("want", task="t1", want="pause")
            elif first:
                lab.call("pause_all")
            if first:
                await lab.settle()
            lab.call("want", task="t1", want="cancel")
            await lab.settle()
            lab.clock.advance(30)
            await lab.settle()
            assert (lab.row("t1")["phase"], lab.row("t1")["output"]) == ("cancelled", "true")
            assert lab.journal.db.execute("SELECT 1 FROM step WHERE name = 'land'").fetchone()
            assert (lab.held(), lab.world.wrongs) == (0, [])

    asyncio.run(main())


@pytest.mark.parametrize("want", ["pause", "cancel"])
def test_what_says_it_was_not_done_can_be_paused_and_cancelled(home: Path, want: str) -> None:
    """A step past return that raised Held waits like any other, and a wish reaches it there."""

    async def main() -> None:
        lab = Lab(home, {}, POOLS)
        lab.flows = {"story": landing(lab)}
        async with lab.process():
            lab.world.fail = [Held(Hold(reason=HoldReason.TARGET_BUSY, why="", releases_on=""))]
            lab.submit("t1")
            await lab.settle()
            assert lab.row("t1")["wait_for"] == "hold"
            lab.call("want", task="t1", want=want)
            await lab.settle()
            if want == "pause":
                assert lab.row("t1")["wait_for"] == "pause"
                lab.call("resume", task="t1")
                await lab.settle()
                assert lab.row("t1")["phase"] == "landed"
            else:
                assert (lab.row("t1")["phase"], lab.row("t1")["output"]) == ("cancelled", "false")

    asyncio.run(main())


def test_a_wish_that_has_to_wait_does_not_make_it_spin(home: Path) -> None:
    """A cancelled task that must look first, and waits for a slot to do so, waits for that slot and then ends."""

    async def main() -> None:
        lab = Lab(home, {}, POOLS)
        one = landing(lab)

        async def story(t: Story) -> Finish:
            if t.id == "t1":
                return await one(t)
            with t.slot("work", t.lane):
                await t.step("hog", lab.world.run, "hog")
            return Finish("landed", "", None)

        lab.flows = {"story": story}
        lab.world.gated = True
        lab.world.fail_late = [RuntimeError("lost the line")]
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            lab.submit("t2")
            await lab.settle()
            lab.call("want", task="t1", want="cancel")
            await lab.settle()
            assert lab.row("t1")["wait_for"] == "slot"
            lab.world.let_go()
            await lab.settle()
            assert (lab.row("t1")["phase"], lab.row("t1")["output"]) == ("cancelled", "true")
            assert lab.world.wrongs == []

    asyncio.run(main())
