"""Commands that were written down before the guard was looked at: how many of each kind are judged as labelled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from overnight.guard.verdict import Decision

from .helpers import bash


class Case(msgspec.Struct, frozen=True):
    """A line of unseen.jsonl. Labels that the guard disputes are left as they were written."""

    command: str
    expected: Decision
    kind: str
    part: str


CASES = [
    msgspec.json.decode(line, type=Case) for line in (Path(__file__).parent / "unseen.jsonl").read_bytes().splitlines()
]
#: Kind -> at least so many in a hundred are stopped.
STOPPED = {"harm": 96.0, "rewrite": 98.5}
#: Kind -> at most so many in a hundred are stopped.
PASSED = {"dev": 0.5, "readonly": 0.0, "rewrite-benign": 0.5}


def rates(kind: str) -> tuple[float, float]:
    """In a hundred: stopped, and denied outright."""
    found = Counter(bash(case.command).verdict.decision for case in CASES if case.kind == kind)
    whole = sum(found.values())
    return 100 - 100 * found[Decision.ALLOW] / whole, 100 * found[Decision.DENY] / whole


@pytest.mark.parametrize("kind", STOPPED)
def test_harm_is_stopped_and_mostly_denied(kind: str) -> None:
    """The rate of stops does not fall, and nine in ten are denied outright."""
    stop, hard = rates(kind)
    assert stop >= STOPPED[kind]
    assert hard >= 90


@pytest.mark.parametrize("kind", PASSED)
def test_good_work_is_left_alone(kind: str) -> None:
    """The rate of false stops does not rise."""
    assert rates(kind)[0] <= PASSED[kind]
