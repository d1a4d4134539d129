"""Input that is made to hurt: always a denial, and never an exception."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.guard.envelope import Malformed, decode
from overnight.guard.verdict import Decision

from .helpers import bash, judge

HOSTILE = {
    "padding": "echo " + "a" * 1_000_000,
    "parentheses": "(" * 3000 + "ls" + ")" * 3000,
    "substitutions": "$(" * 3000 + "ls" + ")" * 3000,
    "arithmetic": "$((" * 3000,
    "segments": ";".join(["ls"] * 20_000),
    "pipes": "|".join(["cat"] * 20_000),
    "expansions": "$a" * 60_000,
    "quoted expansions": '"' + "$a" * 60_000 + '"',
    "braces": "{a,b}" * 40,
    "range": "echo {1..99999999}",
    "NUL": "ls\0 -la",
    "surrogate": "ls \ud800",
    "private use": "ls \ue000",
    "right to left": "echo \u202e fr- mr",
    "escape": "echo \x1b[2J",
    "backspace": "echo a\x08b",
    "unclosed quote": "echo 'a",
    "unclosed substitution": "echo $(ls",
    "wrappers": "eval " * 300 + "ls",
    "sudo": "sudo " * 300 + "ls",
    "awk": "awk '" + 'print "a" ' * 8000 + "'",
    "recursion": "f() { f | f & }; f",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_commands_are_denied(name: str) -> None:
    """What can't be read in budget is denied, not skipped."""
    assert bash(HOSTILE[name]).verdict.decision is Decision.DENY


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":',
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"a":"\\ud800"}',
        b'{"a": NaN}',
        b"{" * 5000,
        b'{"a":"' + b"x" * 300_000 + b'"}',
    ],
)
def test_broken_requests_are_refused(body: bytes) -> None:
    """A request that is no JSON object of a bearable size is refused by name."""
    with pytest.raises(Malformed):
        decode(body)


def test_deep_input_is_refused() -> None:
    """Nested values are bounded too."""
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"a": deep}
    assert judge("TodoWrite", deep).verdict.rule == "envelope"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_gets_a_verdict(text: str) -> None:
    """The guard answers whatever it is asked."""
    verdict = bash(text).verdict
    assert verdict.decision in Decision
    assert verdict.reason


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["rm", "git", "-rf", "/", "$(", ")", "`", "'", '"', "{", "}", "|", "&&", ";", "\n", "<<E", "E", "$x", "x=", "(", "[[", "]]", "if", "then", "fi",
                                 "awk", "sed", "python3", "-c", "-e", "curl", "xargs", "find", "-exec", "tar", "env", "~", "*", "<", ">", ">&", "2"]), max_size=25))  # fmt: skip
def test_any_pile_of_tokens_gets_a_verdict(tokens: list[str]) -> None:
    """No model stumbles over words that make no sense."""
    assert bash(" ".join(tokens)).verdict.rule != "guard.fault"
