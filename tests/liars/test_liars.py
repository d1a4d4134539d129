"""Nothing lands of an agent that only says that it is done, and the record says how it lied."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from liars_cast import FAMILIES
from liars_stage import Night

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("family", FAMILIES)
def test_no_liar_lands(family: str, tmp_path: Path) -> None:
    """Each ends as failed or waits for a person, by its own name, and the target is what it was."""
    night = Night(tmp_path, FAMILIES[family], runs=12 if family == "broken" else 1).play()
    landed = [name for name in night.players if night.landed(name)]
    unnamed = {
        name: night.said(name)
        for name, player in night.players.items()
        if not re.search(player.named, night.said(name))
    }
    assert landed == []
    assert unnamed == {}
    assert night.git("rev-parse", "main").strip() == night.base


def test_there_are_enough_of_them() -> None:
    """At least forty, no two alike."""
    scripts = [player.script for family in FAMILIES.values() for player in family]
    assert len(set(scripts)) == len(scripts) >= 40
