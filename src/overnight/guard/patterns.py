"""What `${name#pattern}`, `${name/a/b}`, `${name^^}` and `${name:1:2}` make of a known text."""

from __future__ import annotations

import re

from overnight.guard.text import CLASS, HOLE, QUESTION, STAR

_SLICE = re.compile(r"\s*\(?\s*(-?\d+)\s*\)?\s*(?::\s*(-?\d+))?\s*\Z")


def _regex(pattern: str, *, greedy: bool) -> re.Pattern[str]:
    out = ""
    for char in pattern:
        if char in ("*", STAR):
            out += ".*" if greedy else ".*?"
        elif char in ("?", QUESTION, CLASS):
            out += "."
        else:
            out += re.escape(char)
    return re.compile(out, re.DOTALL)


def trimmed(value: str, op: str, pattern: str) -> str:
    """`#`, `##`, `%`, `%%`."""
    found = _regex(pattern, greedy=len(op) == 2)
    if op[0] == "#":
        match = found.match(value)
        return value[match.end() :] if match else value
    starts = range(len(value) + 1) if len(op) == 2 else range(len(value), -1, -1)
    for start in starts:
        if found.fullmatch(value, start):
            return value[:start]
    return value


def replaced(value: str, op: str, argument: str) -> str:
    """`/`, `//`, `/#`, `/%`."""
    pattern, _, new = argument.partition("/")
    if not pattern:
        return value
    found = _regex(pattern, greedy=True)
    if op == "/#":
        match = found.match(value)
        return new + value[match.end() :] if match else value
    if op == "/%":
        short = trimmed(value, "%%", pattern)
        return short + new if short != value else value
    return found.sub(lambda _: new, value, count=0 if op == "//" else 1)


def case_changed(value: str, op: str) -> str:
    """`^`, `^^`, `,`, `,,`; a pattern after them is taken to match all."""
    change = str.upper if op[0] == "^" else str.lower
    return change(value) if len(op) == 2 else change(value[:1]) + value[1:]


def sliced(value: str, numbers: str) -> str:
    """`:offset` and `:offset:length`; what can't be computed is a hole."""
    found = _SLICE.match(numbers)
    if not found:
        return HOLE
    start = int(found.group(1))
    start = start if start >= 0 else max(len(value) + start, 0)
    if found.group(2) is None:
        return value[start:]
    count = int(found.group(2))
    return value[start : start + count] if count >= 0 else value[start : len(value) + count]
