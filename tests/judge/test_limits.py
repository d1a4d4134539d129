"""Windows, ceilings and the times at which tasks wake."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.judge.limits import (
    CAP_S,
    FLOOR_S,
    FURTHEST_S,
    SPREAD_S,
    Ceiling,
    Ceilings,
    backoff,
    crowded,
    current,
    merged,
    over,
    rejecting,
    unknown,
    wake,
)
from overnight.missions.limits import Window

NOW = 1_000_000.0
CEILINGS = Ceilings(start_below=80, stop_above=95, seven_day=Ceiling(start_below=60))
NAMES = st.sampled_from(["five-hour", "seven-day", "seven-day-opus", "requests"])
WINDOWS = st.builds(
    Window,
    name=NAMES,
    used=st.none() | st.floats(0, 2),
    resets=st.none() | st.floats(NOW - 1e6, NOW + 1e6),
    status=st.sampled_from(["", "allowed", "rejected"]),
    seen=st.floats(NOW - 1e5, NOW),
)


def window(name: str = "five-hour", used: float | None = None, **more: Any) -> Window:
    known: dict[str, Any] = {"resets": NOW + 3600, "seen": NOW - 60, **more}
    return Window(name=name, used=used, **known)


def test_the_latest_word_counts() -> None:
    """Of each window what was said last; of two things said at once the one that knows more."""
    old, new = window(used=0.2, seen=10.0), window(used=0.9, seen=20.0)
    assert merged([new], [old]) == merged([old], [new]) == (new,)
    vague = window(seen=20.0)
    assert merged([new], [vague]) == merged([vague], [new]) == (new,)
    assert merged([new], [window(seen=21.0)]) == (window(seen=21.0),)


@given(st.lists(WINDOWS), st.lists(WINDOWS))
def test_merging_keeps_one_of_each_and_invents_none(known: list[Window], said: list[Window]) -> None:
    """Every window that was named is there once, as somebody said it; saying the same again changes nothing."""
    found = merged(known, said)
    assert [each.name for each in found] == sorted({each.name for each in (*known, *said)})
    assert all(each in (*known, *said) for each in found)
    assert merged(found, said) == found


@given(WINDOWS)
def test_unknown_is_never_zero(one: Window) -> None:
    """A window that has begun anew since it was seen is unknown; nobody says that it is empty."""
    known = current(one, NOW)
    if one.resets is not None and one.resets <= NOW:
        assert (known.used, known.resets, known.status) == (None, None, "")
    else:
        assert known == one


@pytest.mark.parametrize(
    ("windows", "model", "found"),
    [
        ([window(status="rejected")], None, "five-hour"),
        ([window(status="allowed_warning", used=0.99)], None, None),
        ([window(status="rejected", resets=NOW - 1)], None, None),
        ([window(status="rejected", resets=None)], None, None),
        ([window(status="rejected", resets=NOW + FURTHEST_S + 1)], None, None),
        ([window("seven-day-opus", status="rejected")], None, None),
        ([window("seven-day-opus", status="rejected")], "claude-sonnet-5", None),
        ([window("seven-day-opus", status="rejected")], "claude-opus-5-5", "seven-day-opus"),
        ([window("requests", status="rejected")], None, None),
        ([window(status="rejected"), window("seven-day", status="rejected", resets=NOW + 9999)], None, "seven-day"),
    ],
)
def test_what_lets_nothing_through(windows: list[Window], model: str | None, found: str | None) -> None:
    """A subscription's window that says so, until it begins anew; one model's window for that model only."""
    shut = rejecting(windows, NOW, model)
    assert (shut.name if shut else None) == found


@pytest.mark.parametrize(
    ("one", "starts", "goes_on"),
    [
        (window(used=0.79), True, True),
        (window(used=0.7999999999), False, True),
        (window(used=0.8), False, True),
        (window(used=0.95), False, False),
        (window(used=1.7), False, False),
        (window("seven-day", 0.6), False, True),
        (window("seven-day-opus", 0.59), True, True),
        (window("seven-day", 0.95), False, False),
        (window(used=None), True, True),
        (window(used=0.99, resets=NOW - 1), True, True),
        (window("requests", 1.0), True, True),
    ],
)
def test_ceilings(one: Window, starts: bool, goes_on: bool) -> None:
    """A window's own numbers go before those of all; limits of a key are nobody's share."""
    assert (crowded([one], CEILINGS, NOW) is None) is starts
    assert (over([one], CEILINGS, NOW) is None) is goes_on


def test_without_ceilings_everything_goes() -> None:
    """Nothing is bounded that nobody bounded."""
    full = [window(used=1.0), window("seven-day", 1.0)]
    assert crowded(full, Ceilings(), NOW) is None
    assert over(full, Ceilings(), NOW) is None
    assert not unknown([], Ceilings(), NOW)


def test_what_nobody_knows() -> None:
    """With a ceiling for starts, each of the two windows must have been seen since it began anew."""
    assert unknown([], CEILINGS, NOW)
    assert unknown([window(used=0.5)], CEILINGS, NOW)
    assert not unknown([window(used=0.5), window("seven-day", 0.1)], CEILINGS, NOW)
    assert unknown([window(used=0.5, resets=NOW - 1), window("seven-day", 0.1)], CEILINGS, NOW)
    assert not unknown([window(used=0.5)], Ceilings(five_hour=Ceiling(start_below=50)), NOW)
    assert not unknown([], Ceilings(stop_above=90), NOW)


# -- when tasks wake ----------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.text())
def test_back_off_is_within_floor_and_cap(n: int, seed: str) -> None:
    """base x 2^n, +-25 %, at least 10 s, at most 600 s, and the same whenever it is asked for."""
    found = backoff(n, seed)
    assert FLOOR_S <= found <= CAP_S
    assert found == backoff(n, seed)
    if n <= 5:
        assert 0.75 * FLOOR_S * 2**n <= found <= 1.25 * FLOOR_S * 2**n


@given(st.floats(NOW + 1, NOW + FURTHEST_S - 1), st.text(), st.integers(1, 9))
def test_a_known_end_is_waited_for(at: float, seed: str, n: int) -> None:
    """Never before it, and within half a minute after it."""
    assert at < wake(at, NOW, n, seed) <= at + SPREAD_S


@given(st.none() | st.floats(0, NOW) | st.floats(NOW + FURTHEST_S + 1, 1e300), st.text(), st.integers(1, 9))
def test_an_end_that_can_not_be_is_not_believed(at: float | None, seed: str, n: int) -> None:
    """One that is over, or absurdly far off, is waited for like one that nobody knows: with back-off."""
    assert NOW + FLOOR_S <= wake(at, NOW, n, seed) <= NOW + CAP_S


def test_tasks_do_not_wake_at_once() -> None:
    """Two hundred tasks that wait for the same instant wake at two hundred, spread over the whole span."""
    times = sorted(wake(NOW + 60, NOW, 1, f"task-{n}.1.1") - NOW - 60 for n in range(200))
    assert len(set(times)) == 200
    assert all(sum(low <= t < low + 6 for t in times) > 15 for low in (0, 6, 12, 18, 24))
