"""Playing a cassette: by content, whatever the order; what does not fit is told, and nothing but named rules is overlooked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tape_lab import HERE, POST, SSE, THERE, body, exchange, readable, recorder, sample, says

from overnight.cassette.differences import differences
from overnight.cassette.playback import Answer, Live, Mismatch, Playback, Reached
from overnight.cassette.reading import Cassette
from overnight.cassette.rules import RULES, Rules, moved

SESSION_THEN, SESSION_NOW = "11111111-2222-4333-8444-555555555555", "99999999-8888-4777-8666-555555555555"


def tape(folder: Path, *exchanges: tuple[bytes, list[bytes]]) -> Cassette:
    """A cassette of these requests and answers."""
    to = recorder(folder)
    asked = ((b"x-claude-code-session-id", SESSION_THEN.encode()),)
    for request, answer in exchanges:
        exchange(to, request, answer, asked=asked)
    return readable(folder, to.close())


def player(cassette: Cassette, **more: Any) -> Playback:
    return Playback(cassette, HERE, lambda text: text, **more)


def ask(playback: Playback, request: bytes) -> Answer | Reached | Live | Mismatch:
    return playback.find(*POST, {"x-claude-code-session-id": SESSION_NOW}, request)


def heard(found: object) -> bytes:
    assert isinstance(found, Answer)
    return b"".join(found.pieces)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(order=st.permutations(range(6)))
def test_requests_are_answered_in_any_order(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    """Sub-agents and titles ask at once: each gets what it got, whoever comes first."""
    cassette = tape(tmp_path_factory.mktemp("t"), *((body(f"task {n}"), says(f"done {n}")) for n in range(6)))
    playback = player(cassette)
    for n in order:
        assert heard(ask(playback, body(f"task {n}"))) == b"".join(says(f"done {n}"))
    assert (playback.unasked, playback.mismatches) == ((), [])


def test_the_same_request_again_gets_the_next_answer(tmp_path: Path) -> None:
    """A request that failed and was repeated fails and is repeated."""
    to = recorder(tmp_path)
    exchange(to, body("hi"), [b"{}"], status=529, headers={"content-type": "application/json", "retry-after": "1"})
    exchange(to, body("hi"), says("there"))
    playback = player(readable(tmp_path, to.close()))
    first, second = ask(playback, body("hi")), ask(playback, body("hi"))
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.status, first.headers["retry-after"], second.status) == (529, "1", 200)


def test_a_changed_request_is_told_with_a_diff(tmp_path: Path) -> None:
    """Which exchange it is most like, where they differ, and both texts; it gets no answer."""
    playback = player(readable(tmp_path, sample(tmp_path)))
    ask(playback, body("one"))
    found = ask(playback, body("one", "zwei"))
    assert isinstance(found, Mismatch)
    assert found.n == 2
    assert [(d.where, d.lines) for d in found.differences] == [("body.messages[1].content", ("-two", "+zwei"))]
    assert playback.mismatches == [found]
    assert playback.unasked == (2, 3)


def test_going_on_hides_nothing(tmp_path: Path) -> None:
    """The most like exchange answers, and the mismatch stays on record."""
    playback = player(readable(tmp_path, sample(tmp_path)), go_on=True)
    ask(playback, body("one"))
    assert heard(ask(playback, body("one", "zwei"))) == b"".join(says("two"))
    assert heard(ask(playback, body("one", "two", "three"))) == b"".join(says("three"))
    assert [mismatch.n for mismatch in playback.mismatches] == [2]


def test_one_request_more_than_recorded_fits_nowhere(tmp_path: Path) -> None:
    """Unless the recording is known to end before its run did."""
    cassette = tape(tmp_path, (body("one"), says("one")))
    playback = player(cassette)
    ask(playback, body("one"))
    found = ask(playback, body("more"))
    assert isinstance(found, Mismatch)
    assert found.n is None
    ended = player(cassette, ends=True)
    ask(ended, body("one"))
    assert ask(ended, body("more")) == Reached(2)
    assert ended.mismatches == []


def test_until_stops_before_that_exchange(tmp_path: Path) -> None:
    """And before later ones; what comes before is answered."""
    playback = player(readable(tmp_path, sample(tmp_path)), until=2)
    assert heard(ask(playback, body("one"))) == b"".join(says("Hel", "lo"))
    assert ask(playback, body("one", "two")) == Reached(2)
    assert playback.unasked == ()


def test_a_fork_goes_live_where_it_is_told_and_no_sooner(tmp_path: Path) -> None:
    """A request that does not fit before that is no reason to ask the real model."""
    cassette = readable(tmp_path, sample(tmp_path))
    playback = player(cassette, until=2, live=True)
    assert isinstance(ask(playback, body("eins")), Mismatch)
    heard(ask(playback, body("one")))
    assert ask(playback, body("one", "two")) == Live()
    assert ask(playback, body("something new")) == Live()


def test_paths_are_those_of_here(tmp_path: Path) -> None:
    """An answer that names files of then names those of now, however it is cut, and asks about them fit again."""
    path = f"{THERE.worktree}/src/a.py"
    cassette = tape(
        tmp_path,
        (body("go"), says("look into ", path[:9], path[9:])),
        (body("go", f"{path} holds: 1"), says("ok")),
        (body("go", f"{THERE.worktree}2/a.py"), says("another folder")),
    )
    playback = player(cassette)
    assert b"look into /now/work/src/a.py" in heard(ask(playback, body("go")))
    assert heard(ask(playback, body("go", f"{HERE.worktree}/src/a.py holds: 1"))) == b"".join(says("ok"))
    assert isinstance(ask(playback, body("go", f"{HERE.worktree}2/a.py")), Mismatch)
    assert [rule.rule for rule in playback.rules] == ["worktree"]


def test_thoughts_stay_as_they_were_signed() -> None:
    """A real model refuses a thought that was changed."""
    from overnight.cassette.streams import rewritten

    value = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": THERE.worktree}}
    raw = b"data: " + msgspec.json.encode(value) + b"\n\n"
    assert rewritten(raw, SSE["content-type"], moved(THERE, HERE), frozenset({"thinking"})) == (raw, 0)


@pytest.mark.parametrize(
    ("rule", "then", "now"),
    [
        ("worktree", f"in {THERE.worktree}/a", f"in {HERE.worktree}/a"),
        ("worktree", "/x/projects/-then-work/memory", "/x/projects/-now-work/memory"),
        ("home", f"{THERE.home}/.claude", f"{HERE.home}/.claude"),
        ("home", f"{THERE.given}/x", f"{HERE.given}/x"),
        ("session", f"id {SESSION_THEN}", f"id {SESSION_NOW}"),
        ("device", '{"device_id":"' + "a" * 64 + '"}', '{"device_id":"' + "b" * 64 + '"}'),
        ("sub-agent", "agentId: a5050c300d3ae8260", "agentId: adf67222c792d1d83"),
        ("duration", "<usage>duration_ms: 12</usage>", "<usage>duration_ms: 9</usage>"),
        ("date", "Today's date is 2026-11-21.", "Today's date is 2027-01-02."),
        ("ports", "http://127.0.0.1:4001/x", "http://127.0.0.1:5001/x"),
        ("uid", "/tmp/claude-1000/x", "/tmp/claude-0/x"),
    ],
)
def test_every_rule_overlooks_what_it_says(rule: str, then: str, now: str) -> None:
    """And is named for it."""
    old, new = Rules(THERE, SESSION_THEN), Rules(HERE, SESSION_NOW)
    assert old({"text": then}) == new({"text": now})
    assert set(new.used) == {rule} <= RULES.keys()


def test_results_of_calls_at_once_come_in_any_order() -> None:
    """Each with its own content, and the mark of a cache where it was; another content is another request."""

    def message(*results: tuple[str, str]) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [
            {"type": "tool_result", "tool_use_id": name, "content": text} for name, text in results
        ]
        parts[-1]["cache_control"] = {"type": "ephemeral"}
        return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": "go on"}]}]}

    then, now = Rules(THERE), Rules(HERE)
    assert then(message(("a", "1"), ("b", "2"))) == now(message(("b", "2"), ("a", "1")))
    assert now.used["at once"] == 1
    assert then(message(("a", "1"), ("b", "2"))) != now(message(("b", "1"), ("a", "2")))


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("1 passed in 0.01s", "1 passed in 0.02s"),
        ("it is 2026-11-21", "it is 2026-11-22"),
        ("duration_ms: 12", "duration_ms: 13"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8001/"),
        ("commit 1234567", "commit 7654321"),
        ("/elsewhere/then", "/elsewhere/now"),
    ],
)
def test_nothing_else_is_overlooked(then: str, now: str) -> None:
    """What looks like it, and is what the agent saw."""
    assert Rules(THERE, SESSION_THEN)(then) != Rules(HERE, SESSION_NOW)(now)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(VALUES, VALUES)
def test_differences_are_there_exactly_where_values_differ(one: object, other: object) -> None:
    """None for equal values, at least one for others."""
    same = msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
    assert (differences(one, other) == ()) == same
