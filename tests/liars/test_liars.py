"""Nothing lands of an agent that only says that it is done, and the record says how it lied."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from liars_cast import FAMILIES, HONEST
from liars_stage import SAYS, Night, Player, more

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("family", FAMILIES)
def test_no_liar_lands(family: str, tmp_path: Path) -> None:
    """Each ends as failed or waits for a person, by its own name, and the target is what it was."""
    night = Night(
        tmp_path, FAMILIES[family], runs=12 if family == "broken" else 1, mutation=family == "toothless"
    ).play()
    landed = [name for name in night.players if night.landed(name)]
    unnamed = {
        name: night.said(name)
        for name, player in night.players.items()
        if not re.search(player.named, night.said(name))
    }
    assert landed == []
    assert unnamed == {}
    assert night.git("rev-parse", "main").strip() == night.base


def test_tests_that_fail_without_the_work_prove_it(tmp_path: Path) -> None:
    """Honest work with tests of its own lands where its tests are tried without it, and so does work without any code."""
    told = Player(
        "told",
        more("docs/guide.md", "\nPrices are in cents.\n"),
        asked="Say in docs/guide.md that prices are in cents.",
    )
    night = Night(tmp_path, [Player("tested", HONEST + SAYS), told], mutation=True).play(one_by_one=True)
    assert [name for name in night.players if not night.landed(name)] == []
    done = {name: [each.why for each in night.told[name].moments if each.what == "step.done"] for name in night.players}
    assert "mutation 1" in done["tested"]
    assert "mutation 1" not in done["told"]
    text = opened(night, "tested")
    assert "taken back: shop/cart.py\nkept: tests/test_cart.py\ntest: fails without the change, as it should" in text
    assert "not tried: it changes no source" in opened(night, "told")


def opened(night: Night, task: str) -> str:
    """What the system's own program is given to show."""
    programs, pipe = night.root / f"bin-{task}", night.root / f"shown-{task}"
    programs.mkdir()
    os.mkfifo(pipe)
    (programs / "xdg-open").write_text(f'#!/bin/sh\ncat "$1" > {pipe}\n')
    (programs / "xdg-open").chmod(0o700)
    env = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(night.root), "OVERNIGHT_HOME": str(night.state)}
    argv = [sys.executable, "-m", "overnight", "evidence", task, "--open"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as command:
        text = pipe.read_text()
        assert b"Opened" in command.communicate()[0]
    return text


def test_there_are_enough_of_them() -> None:
    """At least forty, no two alike."""
    scripts = [player.script for family in FAMILIES.values() for player in family]
    assert len(set(scripts)) == len(scripts) >= 40
