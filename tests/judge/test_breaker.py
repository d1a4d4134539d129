"""The breaker: what opens it, who may try, what closes it, and that what fails outside burns no attempt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.judge.attempts import Wait, costs, decide
from overnight.judge.breaker import Breaker, Probe, Shut, State, admit, given_back, heard
from overnight.missions.limits import Contact, Trouble
from overnight.missions.policy import Check, Policy
from overnight.missions.run import Attempt, End, FailureClass, Result, RunOutcome

ACCOUNT = "claude direct"
LAUNCH, AUTH, VENDOR = FailureClass.LAUNCH, FailureClass.AUTH, FailureClass.VENDOR
GONE, GOING = Probe(going=False), Probe(going=True)


def failed(run: str, failure: FailureClass, at: float, strikes: int = 0, **more: Any) -> RunOutcome:
    contact = Contact(account=ACCOUNT, strikes=strikes)
    return RunOutcome(run=run, end=End.FAILED, failure=failure, why="it failed", ended=at, contact=contact, **more)


def worked(run: str, at: float) -> RunOutcome:
    return RunOutcome(run=run, end=End.COMPLETED, why="done", ended=at, contact=Contact(account=ACCOUNT, answered=at))


def after(*outcomes: RunOutcome) -> Breaker:
    breaker = Breaker()
    for outcome in outcomes:
        breaker = heard(breaker, outcome, ACCOUNT)
    return breaker


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        ([failed("a", AUTH, 100)], True),
        ([failed("a", VENDOR, 100)], False),
        ([failed("a", VENDOR, 100), failed("b", VENDOR, 200), failed("c", VENDOR, 300)], True),
        ([failed("a", VENDOR, 100), failed("b", VENDOR, 200), failed("c", VENDOR, 1001)], False),
        ([failed("a", VENDOR, 100, strikes=3)], True),
        ([failed("a", VENDOR, 100), failed("a", VENDOR, 100), failed("a", VENDOR, 100)], False),
        ([failed("a", VENDOR, 100), worked("w", 150), failed("b", VENDOR, 200), failed("c", VENDOR, 300)], False),
        ([failed("a", LAUNCH, 100), failed("b", LAUNCH, 200), failed("c", LAUNCH, 3000)], True),
        ([failed("a", LAUNCH, 100), failed("b", VENDOR, 200), failed("c", LAUNCH, 300)], False),
        ([failed("a", LAUNCH, 100), failed("b", LAUNCH, 200), worked("w", 250), failed("c", LAUNCH, 300)], False),
        ([failed(f"r{n}", FailureClass.AGENT, n) for n in range(9)], False),
        ([failed(f"r{n}", FailureClass.LIMIT, n) for n in range(9)], False),
        ([failed(f"r{n}", FailureClass.MONEY, n) for n in range(9)], False),
        ([failed(f"r{n}", FailureClass.STUCK, n) for n in range(9)], False),
        ([failed(f"r{n}", FailureClass.MACHINE, n) for n in range(9)], False),
    ],
)
def test_what_opens_it(outcomes: list[RunOutcome], opens: bool) -> None:
    """One refused login, three failures of the service within 15 minutes, three launches in a row; nothing else."""
    assert (after(*outcomes).state(10_000) is not State.CLOSED) is opens


def test_half_open_lets_one_try_and_its_success_closes() -> None:
    """Before its time nobody may, then one may; the others look again until it has shown something."""
    breaker = after(failed("a", VENDOR, 100, strikes=5))
    until = breaker.until
    assert until is not None
    assert 115 <= until <= 125
    assert admit(breaker, "b", until - 1, GONE) == Shut(until)
    half = admit(breaker, "b", until, GONE)
    assert isinstance(half, Breaker)
    assert (half.probe, half.state(until)) == ("b", State.HALF_OPEN)
    assert isinstance(admit(half, "c", until + 5, GOING), Shut)
    assert admit(half, "b", until + 5, GOING) == half
    assert heard(half, worked("b", until + 60), ACCOUNT) == Breaker()


def test_an_answer_is_enough() -> None:
    """A try that goes on for hours closes it with the model's first answer; one from before it opened says nothing."""
    half = admit(after(failed("a", VENDOR, 100, strikes=5)), "b", 200, GONE)
    assert isinstance(half, Breaker)
    assert admit(half, "c", 210, Probe(going=True, answered=205)) == Breaker()
    assert isinstance(admit(half, "c", 210, Probe(going=True, answered=99)), Shut)


def test_a_failed_try_keeps_it_open_for_longer() -> None:
    """Each next try comes later, up to ten minutes; a try that never began frees its place."""
    breaker, waits = after(failed("a", VENDOR, 100, strikes=5)), list[float]()
    for n in range(9):
        assert breaker.until is not None
        now = breaker.until
        half = admit(breaker, f"p{n}", now, GONE)
        assert isinstance(half, Breaker)
        assert given_back(half, f"p{n}") == replace(half, probe="")
        breaker = heard(half, failed(f"p{n}", VENDOR, now), ACCOUNT)
        assert breaker.until is not None
        waits.append(breaker.until - now)
    assert waits[:3] == sorted(waits[:3])
    assert all(360 <= wait <= 600 for wait in waits[-3:])


def test_a_refused_login_waits_for_a_person() -> None:
    """No time opens it; a person's word after it opened lets one task try, and not the same word twice."""
    breaker = after(failed("a", AUTH, 100))
    assert admit(breaker, "b", 1e9, GONE) == Shut(None)
    assert admit(breaker, "b", 200, GONE, insisted=99) == Shut(None)
    half = admit(breaker, "b", 200, GONE, insisted=150)
    assert isinstance(half, Breaker)
    again = heard(half, failed("b", AUTH, 210), ACCOUNT)
    assert admit(again, "b2", 220, GONE, insisted=150) == Shut(None)


def test_a_try_that_died_is_taken_over() -> None:
    """A run that is not there any more holds no place."""
    half = admit(after(failed("a", VENDOR, 100, strikes=5)), "b", 200, GONE)
    assert isinstance(half, Breaker)
    taken = admit(half, "c", 210, GONE)
    assert isinstance(taken, Breaker)
    assert taken.probe == "c"


# -- properties ---------------------------------------------------------------------------------------------

POLICY = Policy(checks={"test": Check(run="true")})
OUTSIDE = st.sampled_from([LAUNCH, AUTH, VENDOR, FailureClass.LIMIT, FailureClass.MONEY])


@given(st.lists(st.tuples(OUTSIDE, st.sampled_from([None, *Trouble])), min_size=1, max_size=40))
def test_what_fails_outside_burns_no_attempt(failures: list[tuple[FailureClass, Trouble | None]]) -> None:
    """However often and in whatever order: with a single attempt the task still waits, and never fails."""
    attempts = [
        Attempt(n=n + 1, outcome=failed(f"t.1.{n + 1}", failure, 1000.0 + n, trouble=trouble), result=Result(commit="base", ref="r"))
        for n, (failure, trouble) in enumerate(failures)
    ]  # fmt: skip
    assert not any(costs(attempt, "base", POLICY) for attempt in attempts)
    for n in range(len(attempts)):
        assert isinstance(decide(attempts[: n + 1], "base", POLICY, 1, "t"), Wait)


#: What may happen next: somebody wants to start, one that runs ends in some way, time passes, a person insists.
MOVES = st.one_of(
    st.just(("start", "")),
    st.tuples(st.just("end"), st.sampled_from(["worked", "launch", "auth", "vendor", "agent", "lost"])),
    st.tuples(st.just("wait"), st.sampled_from(["5", "60", "700"])),
    st.just(("insist", "")),
)


@given(st.lists(MOVES, max_size=80), st.integers(0, 3))
def test_at_most_one_tries_while_it_is_half_open(moves: list[tuple[str, str]], oldest: int) -> None:
    """Whatever happens in whatever order, of runs that began while it was not closed at most one goes on at a time."""
    now, count, insisted = 0.0, 0, None
    breaker, running, trying = Breaker(), list[str](), set[str]()
    for what, how in moves:
        now += 1.0
        if what == "wait":
            now += float(how)
        elif what == "insist":
            insisted = now
        elif what == "start":
            count += 1
            run, before = f"r{count}", breaker
            found = admit(breaker, run, now, Probe(going=breaker.probe in running), insisted=insisted)
            if isinstance(found, Shut):
                assert before.cause is not None
                continue
            breaker = found
            running.append(run)
            if breaker.cause is not None:
                trying.add(run)
                assert breaker.probe == run
        elif running:
            run = running.pop(min(oldest, len(running) - 1))
            trying.discard(run)
            outcome = (
                worked(run, now)
                if how == "worked"
                else failed(run, FailureClass(how if how != "lost" else "machine"), now)
            )
            breaker = heard(breaker, outcome, ACCOUNT)
            assert heard(breaker, outcome, ACCOUNT) == breaker
        if breaker.cause is None:
            trying.clear()
        assert len(trying & set(running)) <= 1
