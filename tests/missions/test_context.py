"""What is put back after a cut arrives whole or is seen not to; when a context counts as full."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.missions.context import (
    MOST_PART,
    MOST_PARTS,
    UNKNOWN_WINDOW,
    ContextLimits,
    asking,
    bounded,
    full,
    mark,
    marked,
    marks,
    window,
)
from overnight.missions.memory import Decided, Memory

NOTES = Memory(decisions=(Decided(id="D1", text="use SQLite"),), next=("write the tests",))


def units(text: str) -> int:
    """UTF-16 units, as agents count."""
    return len(text.encode("utf-16-le")) // 2


def inner(part: str) -> str:
    """A part without its marks."""
    return part.split("\n", 1)[1].rsplit("\n", 1)[0]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000), st.integers(220, 900))
def test_parts_add_up_to_the_text(text: str, most: int) -> None:
    """Nothing is lost between parts, each fits, and each ends with its own mark."""
    parts = marked(text, "token.1", most)
    assert "".join(inner(part) for part in parts) == text
    assert all(units(part) <= most for part in parts)
    assert [part.rsplit("\n", 1)[1] for part in parts] == list(marks("token.1", len(parts)))


def test_a_mark_is_for_one_cut_only() -> None:
    """Another cut, another number of parts and another run have other marks."""
    every = [mark("a.1", 1, 2), mark("a.2", 1, 2), mark("a.1", 1, 3), mark("a.1", 2, 2), mark("b.1", 1, 2)]
    assert len(set(every)) == len(every)
    assert all(one not in other for one in every for other in every if one is not other)
    assert all(one.isascii() and '"' not in one and "\\" not in one for one in every)


def test_the_task_is_put_back_word_for_word() -> None:
    """Rules and notes are there as they were written, the notes as a quotation."""
    core = "# Mend it\n\nNEVER touch `vendor/`.\n\n## Done means\n- it prints 1"
    text = bounded(core, NOTES, "/run/home", "/run/given/task.md")
    assert core in text
    assert "> - D1: use SQLite" in text
    assert "> - write the tests" in text
    assert "/run/home/memory.md" in text


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 100_000), st.sampled_from(["x", "é", "😀", "word \n", "x" * 4401 + "\n", "x" * 7 + "😀\n"]))
def test_what_is_too_long_is_cut_and_says_so(count: int, piece: str) -> None:
    """Never more parts than there are hooks; the beginning and the notes stay, and the file is named."""
    core = "# The title\n" + piece * (count // len(piece))
    text = bounded(core, NOTES, "/run/home", "/run/given/task.md")
    assert len(marked(text, "token.1")) <= MOST_PARTS
    assert "# The title" in text
    assert "> - write the tests" in text
    assert (core.strip() in text) or "[… cut here: read /run/given/task.md before" in text
    assert all(units(part) <= MOST_PART for part in marked(text, "token.1"))


@pytest.mark.parametrize(
    ("tokens", "limits", "known", "expected"),
    [
        (159_999, ContextLimits(), None, False),
        (160_000, ContextLimits(), None, True),
        (160_000, ContextLimits(), 1_000_000, False),
        (800_000, ContextLimits(), 1_000_000, True),
        (50_000, ContextLimits(window=100_000, hand_over_at=50), 1_000_000, True),
        (49_999, ContextLimits(window=100_000, hand_over_at=50), 1_000_000, False),
        (10 * UNKNOWN_WINDOW, ContextLimits(hand_over_at=101), None, False),
        (0, ContextLimits(), None, False),
    ],
)
def test_when_a_context_is_full(tokens: int, limits: ContextLimits, known: int | None, expected: bool) -> None:
    """What the person says goes before what is known of the model, and that before the default; 101 never asks."""
    assert full(tokens, limits, known) is expected


def test_the_agent_is_told_how_full_it_is() -> None:
    """Figures, the file, the calls that are left, and what ends the run well."""
    said = asking(160_123, window(ContextLimits(), None), 10, "/run/home")
    for word in ("160,123 of 200,000", "/run/home/memory.md", "10 more tool calls", "leave `## Next` empty"):
        assert word in said
