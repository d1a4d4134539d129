"""Holds that nobody released in time: what the policy says is done, at its time, once, and on record."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab import Lab

from overnight.durable.engine import Flow
from overnight.durable.flow import Cancelled, Finish, Story
from overnight.missions.codec import decode
from overnight.missions.hold import TIME_OUTS, Held, Hold, HoldReason, Late, Patience, bounded
from overnight.missions.units import Duration

HOUR = 3600.0
ASKED = Hold(reason=HoldReason.NEEDS_ANSWER, why="which?", releases_on="an answer", default="defaults")
OPEN = Hold(reason=HoldReason.NEEDS_ANSWER, why="the agent asks", releases_on="an answer")
STUCK = Hold(reason=HoldReason.STUCK, why="it goes in circles", releases_on="a person")
SPLIT = Hold(reason=HoldReason.JUDGES_DISAGREE, why="one passes it", releases_on="a person")
LOGIN = Hold(reason=HoldReason.AUTH_EXPIRED, why="401", releases_on="a login")
Rules = Mapping[HoldReason, Patience]


def after(hours: float, then: Late, hold: Hold = ASKED) -> Rules:
    return {hold.reason: Patience(after=Duration(hours * HOUR), then=then)}


def asks(rules: Rules, hold: Hold = ASKED) -> Flow:
    """A flow that asks one question in words."""

    async def flow(t: Story) -> Finish:
        t.patience = rules
        try:
            words = await t.ask("answer", hold)
        except Cancelled as cancelled:
            return Finish("cancelled", str(cancelled), None)
        return Finish("landed", "", words)

    return flow


def holds(rules: Rules) -> Flow:
    """A flow that holds between two runs, waits for a word that may be asked for again, and needs a login."""
    tried: list[int] = []

    async def login() -> int:
        tried.append(1)
        if len(tried) < 3:
            raise Held(LOGIN)
        return len(tried)

    async def flow(t: Story) -> Finish:
        t.patience = rules
        await t.hold("after run 1", STUCK)
        word = await t.signal("decision", str, hold=SPLIT, retries=True)
        return Finish("landed", "", [word, await t.step("login", login)])

    return flow


class Seen(NamedTuple):
    """A task after some time."""

    row: dict[str, Any]
    #: (what, why), in order.
    events: list[tuple[str, str]]

    @property
    def hold(self) -> Hold:
        return decode(self.row["hold"], Hold)

    def whys(self, what: str) -> list[str]:
        return [why for each, why in self.events if each == what]


def night(home: Path, flow: Flow, *hours: float, restart: bool = False, then: Mapping[str, Any] | None = None) -> Seen:
    """One task, and so many hours, one after another. restart: nobody runs while they pass. then: a call after them."""

    async def main() -> Seen:
        lab = Lab(home, {"story": flow})
        async with lab.process():
            lab.submit("t1")
            await lab.settle()
            for each in () if restart else hours:
                lab.clock.advance(each * HOUR)
                await lab.settle()
        if restart:
            lab.clock.advance(sum(hours) * HOUR)
        async with lab.process():
            await lab.settle()
            if then:
                lab.call(**then)
                await lab.settle()
            rows = lab.journal.db.execute("SELECT what, why FROM event WHERE task = 't1' ORDER BY seq").fetchall()
            return Seen(lab.row("t1"), [(row["what"], row["why"]) for row in rows])

    return asyncio.run(main())


@pytest.mark.parametrize("restart", [False, True])
def test_the_recommended_answer_is_taken_where_nobody_answers(home: Path, *, restart: bool) -> None:
    """At its time and not before, also when nobody ran meanwhile; the hold says so from the beginning."""
    rules = after(12, Late.DEFAULT)
    early = night(home, asks(rules), 11.9, restart=restart)
    assert (early.row["state"], early.hold.late, early.hold.then) == (
        "waiting", Late.DEFAULT, "the recommended answers are taken",
    )  # fmt: skip
    late = night(home.with_name("late"), asks(rules), 12.1, restart=restart)
    assert (late.row["phase"], late.row["output"]) == ("landed", '"defaults"')
    assert late.whys("hold.timed-out") == [
        "needs-answer: nobody released it in time; the recommended answers are taken"
    ]


def test_a_question_without_a_recommended_answer_waits_on(home: Path) -> None:
    """Nobody makes one up."""
    seen = night(home, asks(after(1, Late.DEFAULT), OPEN), 1000)
    assert (seen.row["state"], seen.hold) == ("waiting", OPEN)


def test_a_person_who_comes_in_time_is_heard(home: Path) -> None:
    """Nothing of the time-out is left then."""
    call = {"verb": "signal", "task": "t1", "name": "answer", "payload": "b"}
    seen = night(home, asks(after(12, Late.DROP)), 11, then=call)
    assert (seen.row["output"], seen.whys("hold.timed-out")) == ('"b"', [])


def test_what_is_dropped_ends_with_that_reason(home: Path) -> None:
    """As a cancel does, so that its flow cleans up; but no person is said to have done it."""
    seen = night(home, asks(after(2, Late.DROP)), 3)
    assert (seen.row["state"], seen.row["phase"]) == ("done", "cancelled")
    assert seen.whys("task.ended") == ["needs-answer: nobody released it in time; it is dropped, and its work is kept"]


def test_what_is_escalated_waits_on_as_urgent(home: Path) -> None:
    """One event for whoever tells people, one mark on the hold, and the wait goes on for ever; an answer still ends it."""
    seen = night(home, asks(after(2, Late.ESCALATE)), 3, 1000)
    assert (seen.row["state"], seen.hold.urgent, seen.hold.until, seen.hold.late) == ("waiting", True, None, None)
    assert seen.whys("hold.escalated") == ["needs-answer: which?"]
    call = {"verb": "signal", "task": "t1", "name": "answer", "payload": "b"}
    assert night(home.with_name("answered"), asks(after(2, Late.ESCALATE)), 3, then=call).row["output"] == '"b"'


def test_what_is_retried_goes_on_wherever_it_waits(home: Path) -> None:
    """A hold between runs, a wait for a word that may be asked for again, and a step that could not be done: each in turn."""
    rules = {hold.reason: Patience(after=Duration(HOUR), then=Late.RETRY) for hold in (STUCK, SPLIT, LOGIN)}
    seen = night(home, holds(rules), 1.1, 1.1, 1.1, 1.1)
    assert (seen.row["phase"], seen.row["output"]) == ("landed", "[null,3]")
    assert len(seen.whys("hold.timed-out")) == 4


def test_without_a_rule_it_waits_for_ever(home: Path) -> None:
    """That is the default, and a rule about another reason changes nothing."""
    seen = night(home, asks(after(1, Late.RETRY, STUCK)), 100_000)
    assert (seen.row["state"], seen.row["wake_at"], seen.hold) == ("waiting", None, ASKED)


def test_nothing_says_yes_in_anybodys_place() -> None:
    """An approval can't be given, and what waits by a person's own wish or for another task has no time-out."""
    assert set(TIME_OUTS[HoldReason.NEEDS_APPROVAL]) == {Late.DROP, Late.ESCALATE}
    assert all(Late.DEFAULT not in ways for reason, ways in TIME_OUTS.items() if reason is not HoldReason.NEEDS_ANSWER)
    assert not TIME_OUTS.keys() & {HoldReason.PAUSED, HoldReason.DEPENDENCY}


@given(
    st.sampled_from(HoldReason), st.sampled_from(Late), st.floats(1, 1e6), st.one_of(st.none(), st.floats(0, 1e6)), st.text(max_size=3)
)  # fmt: skip
def test_a_time_out_only_adds_an_end_to_a_wait(
    reason: HoldReason, then: Late, seconds: float, until: float | None, default: str
) -> None:
    """What ends by itself is left alone; what is bounded says when and what, and is otherwise the same hold."""
    hold = Hold(reason=reason, why="w", releases_on="r", until=until, default=default)
    found = bounded(hold, {reason: Patience(after=Duration(seconds), then=then)}, 1000.0)
    if found == hold:
        fits = then in TIME_OUTS.get(reason, ()) and (then is not Late.DEFAULT or default)
        assert until is not None or not fits
    else:
        assert until is None
        assert (found.until, found.late) == (1000.0 + seconds, then)
        assert found.then
        assert (found.reason, found.why, found.releases_on) == (reason, "w", "r")
