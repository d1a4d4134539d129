"""What is told, how much it matters, when, and in which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.judge.telling import QUOTE, TEXT, Span, message_of, notice_of, read_span, when
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.notice import Happening, Line, Notice, Priority

KEY = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"


def held(
    reason: HoldReason, why: str = "because", until: float | None = None, about: str = "", **more: str
) -> Notice | None:
    """The notice of a task that is held."""
    hold = Hold(reason=reason, why=why, releases_on="`overnight resume t1`", until=until, about=about)
    return notice_of(Happening(what="task.held", task="t1", repo="shop", title="Mend it", life=1, hold=hold))


@pytest.mark.parametrize(
    ("reason", "until", "priority"),
    [
        (HoldReason.NEEDS_APPROVAL, None, Priority.HIGH),
        (HoldReason.NEEDS_ANSWER, None, Priority.HIGH),
        (HoldReason.AUTH_EXPIRED, None, Priority.HIGH),
        (HoldReason.CANARY_FAILED, None, Priority.URGENT),
        (HoldReason.DISK_LOW, None, Priority.URGENT),
        (HoldReason.LIMIT_REACHED, 9.0, Priority.LOW),
        (HoldReason.VENDOR_OUTAGE, 9.0, Priority.LOW),
        (HoldReason.VENDOR_OUTAGE, None, Priority.HIGH),
        (HoldReason.BREAKER_OPEN, 9.0, Priority.NORMAL),
        (HoldReason.BREAKER_OPEN, None, Priority.HIGH),
        (HoldReason.BOX_UNAVAILABLE, 9.0, None),
        (HoldReason.BOX_UNAVAILABLE, None, Priority.HIGH),
        (HoldReason.PAUSED, None, None),
        (HoldReason.PR_BACKLOG, None, None),
        (HoldReason.FAULT, 9.0, None),
        (HoldReason.FAULT, None, Priority.HIGH),
    ],
)
def test_how_much_a_hold_matters(reason: HoldReason, until: float | None, priority: Priority | None) -> None:
    """What needs a person is high, what stops everything urgent, what passes by itself low, a person's own wish nothing."""
    found = held(reason, until=until)
    assert (found.priority if found else None) == priority


def test_every_reason_has_words() -> None:
    """No hold is told with words that are made of its name, but for those nobody is told of."""
    for reason in HoldReason:
        found = held(reason, why="t0 is failed")
        assert found is None or "is held:" not in found.title, reason


def test_a_merge_that_broke_its_target_is_told_at_once() -> None:
    """It needs a person before the digest: what was taken back, and where; no link that a thumb could hit."""
    why = "ci: green on 1, red on 2; https://forge.example/pull/9 takes it back"
    found = notice_of(Happening(what="landing.reverted", task="t1", repo="shop", title="Mend it", life=1, why=why))
    assert found is not None
    assert (found.priority, found.do) == (Priority.HIGH, "`overnight show t1`")
    assert "broke its target" in found.title
    assert "takes it back" in found.quote
    assert "://" not in found.quote


def test_one_fact_has_one_key() -> None:
    """Numbers that change make no new fact, another reason or task does; what is about an account is one fact for all."""
    one = held(HoldReason.STUCK, "silent for 8m")
    again = held(HoldReason.STUCK, "silent for 9m")
    other = held(HoldReason.STUCK, "it goes in circles")
    assert one is not None
    assert again is not None
    assert other is not None
    assert one.key == again.key != other.key
    shared = [
        notice_of(Happening(what="task.held", task=task, hold=Hold(
            reason=HoldReason.AUTH_EXPIRED, why=task, releases_on="x", about="claude direct")))
        for task in ("a", "b")
    ]  # fmt: skip
    assert len({each.key for each in shared if each}) == 1


def test_words_of_others_are_quoted_clean_and_short() -> None:
    """A reason and a title come redacted, without control characters and lines of their own, cut, and with no link."""
    evil = f"\x1b[31mApproved!\x1b[0m\nAPPROVE NOW https://evil.example/ {KEY} \u202e " + "x" * 5000
    found = held(HoldReason.STUCK, evil)
    assert found is not None
    message = message_of([Line(notice=found)])
    quote = next(line for line in message.text.splitlines() if line.startswith("» "))
    assert "APPROVE NOW" in quote
    assert len(quote) <= QUOTE + 10
    for bad in ("\x1b", "\u202e", KEY, "https://"):
        assert bad not in message.title + message.text
    titled = notice_of(Happening(what="task.ended", task="t1", repo="shop", phase="failed", title=evil, why=evil))
    assert titled is not None
    assert KEY not in titled.title
    assert "\n" not in titled.title


@given(
    st.lists(
        st.tuples(st.text(max_size=2000), st.sampled_from(list(Priority)), st.integers(1, 10**9)),
        min_size=1,
        max_size=60,
    )
)
def test_a_message_is_never_too_long(facts: list[tuple[str, Priority, int]]) -> None:
    """However many facts and whatever they say, the text fits, and its priority is that of the first."""
    lines = [
        Line(notice=Notice(key=str(n), priority=priority, title=f"t{n}", quote=text[:QUOTE], do="look"), count=count)
        for n, (text, priority, count) in enumerate(facts)
    ]
    message = message_of(lines)
    assert len(message.text.encode()) <= max(TEXT, 4 * QUOTE + 100)
    assert message.priority == min((p for _, p, _ in facts), key=list(Priority).index)


def test_what_needs_a_person_comes_first() -> None:
    """Urgent before high before the rest, and of equals what is asked; what does not fit is counted."""
    lines = [Line(notice=Notice(key=str(n), priority=Priority.LOW, title=f"low {n}")) for n in range(40)]
    lines.append(Line(notice=Notice(key="h", priority=Priority.HIGH, title="high")))
    lines.append(Line(notice=Notice(key="a", priority=Priority.HIGH, title="asks", ask="t.1.1")))
    lines.append(Line(notice=Notice(key="u", priority=Priority.URGENT, title="urgent"), count=3))
    message = message_of(lines)
    assert [line.removeprefix("- ") for line in message.text.splitlines()[:3]] == ["urgent (3 times)", "asks", "high"]
    assert "and 23 more" in message.text
    assert message.title == "3 need you, 43 in all"


NIGHT = read_span("22:00-07:00")
AT_ONCE = (Priority.URGENT, Priority.HIGH)


def fact(priority: Priority, *, soon: bool = False) -> Notice:
    """Some fact."""
    return Notice(key="k", priority=priority, title="t", soon=soon)


@pytest.mark.parametrize(
    ("priority", "minute", "told"),
    [
        (Priority.URGENT, 3 * 60, None),
        (Priority.HIGH, 3 * 60, 7 * 60),
        (Priority.HIGH, 21 * 60 + 59, None),
        (Priority.HIGH, 22 * 60, 7 * 60),
        (Priority.HIGH, 7 * 60, None),
        (Priority.NORMAL, 12 * 60, 8 * 60),
        (Priority.LOW, 3 * 60, 8 * 60),
    ],
)
def test_quiet_hours_and_digest(priority: Priority, minute: int, told: int | None) -> None:
    """At night only what is urgent is told; the rest waits for its end, and what can wait for the hour of the digest."""
    assert when(fact(priority), minute, NIGHT, AT_ONCE, 8 * 60) == told


def test_a_digest_in_quiet_hours_waits_for_their_end() -> None:
    """A digest that is set to three in the morning wakes nobody."""
    assert when(fact(Priority.LOW), 12 * 60, NIGHT, AT_ONCE, 3 * 60) == 7 * 60


def test_the_brief_waits_for_no_digest() -> None:
    """A brief is told when it is made, though a landing waits; in quiet hours it waits as well. An older one is no news."""
    assert when(fact(Priority.NORMAL, soon=True), 9 * 60, NIGHT, AT_ONCE, 8 * 60) is None
    assert when(fact(Priority.NORMAL, soon=True), 3 * 60, NIGHT, AT_ONCE, 8 * 60) == 7 * 60
    made = notice_of(Happening(what="report.made", why="3 landed, 1 needs you", night="2026-11-20"))
    assert made is not None
    assert made.soon
    assert notice_of(Happening(what="report.made", why="3 landed")) is None


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_a_span_and_what_is_left_of_the_day_share_no_minute(start: int, end: int, minute: int) -> None:
    """A span has a minute exactly when the span from its end to its start has not."""
    if start != end:
        assert Span(start, end).has(minute) != Span(end, start).has(minute)


@pytest.mark.parametrize("text", ["", "22:00", "22:00-22:00", "24:00-07:00", "22-7", "22:00-07:60", "22:00–07:00"])
def test_what_is_no_span(text: str) -> None:
    """Anything but two times of the day with a dash is refused."""
    assert read_span(text) is None
