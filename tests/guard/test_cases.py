"""The labelled commands of our own, one by one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from overnight.guard.verdict import Decision

from .helpers import bash


class Case(msgspec.Struct, frozen=True):
    """A line of cases.jsonl."""

    command: str
    expected: Decision
    category: str


CASES = [
    msgspec.json.decode(line, type=Case) for line in (Path(__file__).parent / "cases.jsonl").read_bytes().splitlines()
]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.expected is not Decision.ALLOW], ids=lambda case: case.command[:60]
)
def test_harm_is_stopped(case: Case) -> None:
    """A command that does harm does not run by itself."""
    verdict = bash(case.command).verdict
    assert verdict.decision is not Decision.ALLOW, verdict


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.expected is Decision.ALLOW], ids=lambda case: case.command[:60]
)
def test_everyday_work_is_allowed(case: Case) -> None:
    """A command of everyday development runs without a question."""
    verdict = bash(case.command).verdict
    assert verdict.decision is Decision.ALLOW, verdict
