"""The short way to an answer's row — found by its bytes, decoded in part — says what decoding every line whole does."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overnight.missions.tokens import Tokens
from overnight.usage.claude_log import VENDOR, read
from overnight.usage.entries import FOUND, NAMED, Billing, Entry, Owner, entries_of, key_of, merged
from overnight.usage.lines import pieces
from overnight.usage.records import Reading
from overnight.usage.tokens import of_anthropic

#: 13:33:20.125 on that day, in milliseconds.
BEGIN = 1_789_997_600_125


class Slow(io.BytesIO):
    """A file that gives few bytes at a time, so that what is read ends anywhere in a line."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self._most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._most if size is None or size < 0 else min(size, self._most))


TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ['"usage"', '"usage":{"output_tokens":1}', '"type":"assistant"', "assistant", "\\", "é\n\u2028😀", "\x00"]
    ),
    st.integers(1, 70_000).map(lambda n: "x" * n),
)
COUNTS = st.integers(0, 10**6)
#: What is no count.
ODD: st.SearchStrategy[Any] = st.sampled_from([None, -1, 10**13, 1.5, "7", True])
USAGES: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries({"input_tokens": COUNTS, "output_tokens": COUNTS}),
    st.fixed_dictionaries(
        {"input_tokens": COUNTS, "output_tokens": COUNTS},
        optional={
            "cache_read_input_tokens": COUNTS | ODD,
            "cache_creation_input_tokens": COUNTS | ODD,
            "cache_creation": st.sampled_from([None, {}, {"ephemeral_1h_input_tokens": 3}]),
            "server_tool_use": st.sampled_from([None, {"web_search_requests": 2}]),
            "speed": st.sampled_from([None, "standard", "fast", 5]),
            "iterations": st.sampled_from(
                [None, [], [{"type": "advisor_message", "input_tokens": 1, "output_tokens": 1}]]
            ),
        },
    ),
    st.fixed_dictionaries({}, optional={"input_tokens": COUNTS | ODD, "output_tokens": COUNTS | ODD}),
    st.sampled_from([None, [], "x"]),
)
KINDS: st.SearchStrategy[Any] = st.sampled_from(["assistant"] * 8 + ["user", "progress", None, 4])
ROWS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "type": KINDS,
        "requestId": st.sampled_from(["req_1", "req_2"]),
        "sessionId": st.sampled_from(["one", "two"]),
        "timestamp": st.integers(0, 9).map(lambda n: f"2026-09-21T13:33:2{n}.125Z"),
        "message": st.fixed_dictionaries(
            {"usage": USAGES, "model": st.sampled_from("ab"), "id": st.sampled_from(["m1", "m1", "m2", "é", None])},
            optional={"content": TEXTS, "role": st.just("assistant")},
        ),
    },
    optional={
        "requestSessionId": st.sampled_from(["one", "three"]),
        "cwd": st.one_of(TEXTS, st.integers()),
        "toolUseResult": st.fixed_dictionaries({"usage": USAGES, "text": TEXTS}),
    },
)
#: What a further row of an answer may say otherwise.
CHANGED = ("sessionId", "timestamp", "requestSessionId", "cwd", "usage", "model", "content", "uuid")
SPACING = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :  ")])
OTHERS = st.sampled_from(
    [b"", b"{}", b"[]", b'"usage" "assistant"', b'{"type":"assistant","message":null,"x":"usage"}']
)


@st.composite
def lines(draw: st.DrawFn) -> list[bytes]:
    """Lines as somebody might write them, in any order, with odd spaces, escaped or not: rows of one answer, which differ
    in something or in nothing."""
    if draw(st.integers(0, 5)) == 0:
        return [draw(OTHERS)]
    row, written = draw(ROWS), list[bytes]()
    for _ in range(draw(st.integers(1, 3))):
        row = _shuffled(draw, row)
        row["message"] = _shuffled(draw, row["message"])
        text = json.dumps(row, separators=draw(SPACING), ensure_ascii=draw(st.booleans())).encode()
        written.append(draw(st.sampled_from([b"", b" ", b"\t"])) + text + draw(st.sampled_from([b"", b" ", b"\r"])))
        other, part = draw(ROWS), draw(st.sampled_from(CHANGED))
        for had, now in ((row, other), (row["message"], other["message"])):
            if part in had or part in now:
                had[part] = now.get(part)
    return written


def _shuffled(draw: st.DrawFn, value: dict[str, Any]) -> dict[str, Any]:
    return {key: value[key] for key in draw(st.permutations(list(value)))}


def plainly(line: bytes) -> list[tuple[int, Entry]]:
    """What a line says, by decoding all of it."""
    row: Any = json.loads(line) if line.strip().startswith(b"{") else None
    message: Any = row.get("message") if row and row.get("type") == "assistant" else None
    usage: Any = message.get("usage") if message else None
    if not isinstance(usage, dict):
        return []
    name = f"claude {message.get('id') or 'row ' + row['requestId']}"
    named = row.get("requestSessionId")
    owner = Owner(NAMED if named else FOUND, BEGIN + 1000 * int(row["timestamp"][18]), named or row["sessionId"])
    used = of_anthropic(cast("dict[str, Any]", usage))
    if used is None:
        return [
            (key_of(name), Entry(owner, owner.at, Billing(VENDOR, message["model"], "", "", ""), Tokens(), known=False))
        ]
    return entries_of(name, owner, Billing(VENDOR, message["model"], used.tier, used.speed, used.geo), used)


def together(answers: Iterable[tuple[int, Entry]]) -> dict[int, Entry]:
    """Answers, each once."""
    found = dict[int, Entry]()
    for key, entry in answers:
        found[key] = merged(found[key], entry) if key in found else entry
    return found


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(lines(), max_size=6), st.integers(1, 50_000), st.integers(0, 80))
def test_rows_are_read_as_if_decoded_whole(written: list[list[bytes]], most: int, torn: int) -> None:
    """Spaces, escapes, order, text that looks like usage, lines that come in parts: the same answers; a last line that
    is not whole yet is read once it is, and not before."""
    log = b"".join(line + b"\n" for some in written for line in some)
    cut = max(0, len(log) - torn)
    reading, offset, answers = Reading(stem="stem"), 0, list[tuple[int, Entry]]()
    for so_far in (log[:cut], log):
        for block, behind in pieces(Slow(so_far, most), offset):
            answers += read(block, reading).answers
            offset = behind
        whole = so_far[: so_far.rfind(b"\n") + 1]
        assert offset == len(whole)
        assert together(answers) == together(each for line in whole.split(b"\n") for each in plainly(line))


@pytest.mark.parametrize(
    "other",
    [
        {"sessionId": "one"},
        {"requestSessionId": "one"},
        {"timestamp": "2026-09-21T13:33:21.125Z"},
        {"message": {"id": "m1", "model": "b", "usage": {"input_tokens": 5, "output_tokens": 7}}},
        {"message": {"id": "m1", "model": "a", "usage": {"input_tokens": 5, "output_tokens": 8}}},
        {"message": {"id": "m2", "model": "a", "usage": {"input_tokens": 5, "output_tokens": 7}}},
    ],
)
def test_a_row_that_says_something_else_is_no_repetition(other: dict[str, Any]) -> None:
    """Rows that follow each other and differ in one thing are both taken."""
    message = {"id": "m1", "model": "a", "usage": {"input_tokens": 5, "output_tokens": 7}}
    row = {"type": "assistant", "sessionId": "two", "timestamp": "2026-09-21T13:33:22.125Z", "message": message}
    both = [json.dumps(each).encode() for each in (row, row | other)]
    found = read(b"\n".join(both) + b"\n", Reading(stem="stem")).answers
    assert together(found) == together(each for line in both for each in plainly(line))
    assert together(found) != together(plainly(both[0]))
