"""What counts as unusual, and how often that is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.judge.anomalies import (
    Anomaly,
    AnomalySettings,
    EndFacts,
    Kind,
    QueueFacts,
    RunFacts,
    Severity,
    find,
    folded,
    to_tell,
)

USUAL = AnomalySettings()
RUN: dict[str, Any] = {"run": "t.1.1", "task": "t", "repo": "r"}


def kinds(*runs: RunFacts, queues: tuple[QueueFacts, ...] = (), ends: tuple[EndFacts, ...] = ()) -> list[str]:
    """What is found."""
    return [each.kind.value for each in find(USUAL, 1000.0, runs, queues, ends)]


@pytest.mark.parametrize(
    ("below", "above", "kind"),
    [
        ({"recent": 0.74, "before": 0.25}, {"recent": 0.75, "before": 0.25}, "burn"),
        ({"pace": 60}, {"pace": 61}, "commands"),
        ({"files": 100}, {"files": 101}, "files"),
        ({"denied": 9}, {"denied": 10}, "denials"),
        ({"silent": 600.0}, {"silent": 601.0}, "heartbeat"),
    ],
)
def test_a_run_is_unusual_beyond_its_bound(below: dict[str, Any], above: dict[str, Any], kind: str) -> None:
    """At the bound it is not, one beyond it is; what is unknown is nothing."""
    assert kinds(RunFacts(**RUN, **below)) == []
    assert kinds(RunFacts(**RUN, **above)) == [kind]
    assert kinds(RunFacts(**RUN)) == []


def test_queues_and_failures() -> None:
    """Six hours without a place; half of at least four tasks."""
    late = QueueFacts(repo="r", task="t", waits=6 * 3600.0 + 1, count=3)
    assert kinds(queues=(late,)) == ["queue"]
    assert "as do 2 more" in find(USUAL, 0.0, queues=(late,))[0].why
    assert kinds(ends=(EndFacts(repo="r", landed=0, failed=3, span="n"),)) == []
    assert kinds(ends=(EndFacts(repo="r", landed=3, failed=2, span="n"),)) == []
    assert kinds(ends=(EndFacts(repo="r", landed=2, failed=2, span="n"),)) == ["failures"]


def things(count: int, severity: Severity = Severity.WARNING) -> list[Anomaly]:
    """So many unusual things."""
    return [
        Anomaly(key=f"denials {n}", kind=Kind.DENIALS, severity=severity, why=f"n{n}", at=0.0) for n in range(count)
    ]


def test_a_key_is_told_once() -> None:
    """What was told is not told again."""
    found = things(3)
    assert to_tell(found, {}, 0.0, 5) == tuple(found)
    assert to_tell(found, {each.key: 0.0 for each in found}, 1.0, 5) == ()


def test_a_storm_is_told_as_one() -> None:
    """Beyond so many within ten minutes the rest is one; alarms are always told by themselves."""
    found = things(20)
    said = to_tell(found, {}, 0.0, 5)
    assert [each.kind.value for each in said] == ["denials"] * 5 + ["storm"]
    assert said[-1].why.startswith("15 more things are unusual at once (denials)")
    assert set(folded(found, said)) == {each.key for each in (*found, *said)}
    alarms = things(20, Severity.ALARM)
    assert to_tell(alarms, {}, 0.0, 5) == tuple(alarms)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), max_size=40))
def test_however_they_come_they_are_few(story: list[tuple[int, int]]) -> None:
    """Within any ten minutes no more than a storm's worth is told one by one, and every key at most once."""
    told: dict[str, float] = {}
    said: list[tuple[float, Anomaly]] = []
    now = 0.0
    for after, count in story:
        now += after
        found = things(count)
        new = to_tell(found, told, now, 5)
        said += [(now, each) for each in new]
        told |= dict.fromkeys(folded([each for each in found if each.key not in told], new), now)
    keys = [each.key for _, each in said]
    assert len(keys) == len(set(keys))
    for at, _ in said:
        assert sum(1 for when, each in said if at - 600 < when <= at and each.kind is not Kind.STORM) <= 5
