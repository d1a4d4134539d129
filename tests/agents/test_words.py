"""The plea for help that every agent may end with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.agents.words import blocked, one_line, quoted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("BLOCKED: no password", "no password"),
        ("I looked.\n\nBLOCKED: no password\n", "no password"),
        ("I looked.\nBLOCKED: no password", "no password"),
        ("x\n\n**BLOCKED:** no password", "no password"),
        ("x\n\n**BLOCKED: no password**", "no password"),
        ("x\n\n- `BLOCKED`: no password", "no password"),
        ("BLOCKED: no password\nfor the database", "no password for the database"),
        ("BLOCKED:", "it gave no reason"),
        ("BLOCKED: \n", "it gave no reason"),
        ("BLOCKED: first\n\nBut I found it. All done.", None),
        ("The word BLOCKED: in a line is none", None),
        ("blocked: by whom", None),
        ("UNBLOCKED: yes", None),
        ("BLOCKED by the guard", None),
        ("Done.", None),
        ("", None),
    ],
)
def test_blocked_in_the_last_paragraph(text: str, reason: str | None) -> None:
    """The last paragraph counts, with the decorations that models like; the word elsewhere does not."""
    assert blocked(text) == reason


@given(st.text())
def test_words_are_harmless(text: str) -> None:
    """Whatever an agent says, one line of it is printable and within its length; a quotation keeps line ends only."""
    assert one_line(text, 40).isprintable()
    assert len(one_line(text, 40)) <= 40
    assert all(char.isprintable() or char in "\n\t" for char in quoted(text, 40))
    assert len(quoted(text, 40)) <= 40
