"""Levels are earned by what landed and stayed, lost at once, and never outweigh a block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.judge.autonomy import (
    LEVELS,
    AskPerson,
    Blocked,
    Disagree,
    Fate,
    Land,
    Repair,
    Standing,
    course,
    standing,
)
from overnight.judge.risk import Band, Risk
from overnight.judge.verdict import Failed, Open, Passed, Split
from overnight.missions.judging import Earned, Level

EARN = Earned(earn=True, landed=2)
L = Fate.LANDED


@pytest.mark.parametrize(
    ("fates", "policy", "level"),
    [
        ([], Earned(), Level.L3),
        ([], Earned(level=Level.L1), Level.L1),
        ([], EARN, Level.L2),
        ([L], EARN, Level.L2),
        ([L, L], EARN, Level.L3),
        ([L, Fate.MENDED, L], EARN, Level.L2),
        ([L, Fate.REJECTED, L, L], EARN, Level.L3),
        ([L, L, Fate.REVERTED], EARN, Level.L2),
        ([L, L, Fate.REVERTED, L, L], EARN, Level.L3),
        ([L, L, Fate.SECURITY], EARN, Level.L1),
        ([L, L, Fate.SECURITY, L, L, L], EARN, Level.L2),
        ([L] * 9, Earned(earn=True, landed=2, level=Level.L2), Level.L2),
        ([L] * 9, Earned(earn=True, landed=2, level=Level.L1), Level.L1),
        ([Fate.REVERTED], Earned(), Level.L2),
    ],
)
def test_levels_follow_the_record(fates: list[Fate], policy: Earned, level: Level) -> None:
    """Up one by one after enough good changes in a row, down at once, never above what the policy allows."""
    assert standing(fates, policy).level is level


@given(st.lists(st.sampled_from(Fate), max_size=30), st.sampled_from(Level), st.booleans(), st.integers(1, 4))
def test_the_policy_is_the_ceiling(fates: list[Fate], level: Level, earn: bool, landed: int) -> None:
    """No record lifts a level above the policy, and a security event always ends at the bottom."""
    policy = Earned(level=level, earn=earn, landed=landed)
    assert LEVELS.index(standing(fates, policy).level) <= LEVELS.index(level)
    assert standing([*fates, Fate.SECURITY], policy).level is Level.L1


LOW = Risk(score=5, band=Band.LOW)
HIGH = Risk(score=80, band=Band.HIGH)
BENT = Risk(score=5, band=Band.HIGH, blocks=("tests/test_a.py:3: an assertion is gone",))
MEDIUM = Risk(score=40, band=Band.MEDIUM)
FREE, ASSIST = Standing(level=Level.L3, why=""), Standing(level=Level.L2, why="it has to be earned")
YES = Passed(confidence=0.9)


@pytest.mark.parametrize(
    ("tally", "risk", "stand", "mends", "kind"),
    [
        (YES, LOW, FREE, True, Land),
        (YES, LOW, ASSIST, True, AskPerson),
        (YES, MEDIUM, FREE, True, AskPerson),
        (YES, HIGH, FREE, True, Blocked),
        (YES, BENT, FREE, True, Repair),
        (YES, BENT, FREE, False, Blocked),
        (Open(why="x"), LOW, FREE, True, AskPerson),
        (Split(why="x"), LOW, FREE, True, Disagree),
        (Failed(issues=("x",)), LOW, FREE, False, Repair),
        (Failed(issues=()), HIGH, FREE, True, Repair),
    ],
)
def test_what_happens_with_a_result(tally: object, risk: Risk, stand: Standing, mends: bool, kind: type) -> None:
    """Only a pass of low risk at L3 lands by itself."""
    assert isinstance(course(tally, risk, stand, mends=mends), kind)  # type: ignore[arg-type]


def test_a_risk_that_nothing_raises_says_so() -> None:
    """A policy may ask from 0 on: the question has words all the same."""
    assert course(YES, MEDIUM, FREE, mends=True) == AskPerson(why="risk 40 of 100: nothing raises it")
