"""Honest work of the kinds that people leave for the night lands by itself, where the policy leaves it to checks and risk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from honest_cast import FAMILIES, careful
from liars_stage import Night

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("family", FAMILIES)
def test_honest_work_lands(family: str, tmp_path: Path) -> None:
    """No finding, no question, and nothing of it is missing on the target."""
    night = Night(tmp_path, FAMILIES[family]).play(one_by_one=True)
    assert {name: night.said(name) for name in night.players if not night.landed(name)} == {}
    assert len(night.git("log", "--first-parent", "--format=%H", f"{night.base}..main").split()) >= len(night.players)


def test_work_of_consequence_waits_for_a_person(tmp_path: Path) -> None:
    """It is not blocked, and the question names what it is about."""
    night = Night(tmp_path, careful()).play()
    for name, player in night.players.items():
        hold = night.told[name].row.hold
        assert hold is not None, name
        assert hold.reason == "needs-approval"
        assert not hold.why.startswith("blocked"), hold.why
        assert re.search(player.named, hold.why), hold.why


def test_there_are_enough_of_them() -> None:
    """At least forty, no two alike."""
    scripts = [player.script for family in FAMILIES.values() for player in family]
    assert len(set(scripts)) == len(scripts) >= 40
