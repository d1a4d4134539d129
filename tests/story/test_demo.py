"""The demo is a story that must be true: real CLI, real box, real git, a real kill -9."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest


@pytest.mark.cli
@pytest.mark.slow
def test_the_demo_ends_as_it_says(tmp_path: Path) -> None:
    """`overnight demo` lands what is proved, fails what is not, refuses what is out of bounds, and survives the kill."""
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "overnight", "demo", "--keep"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (demo,) = tmp_path.glob("overnight-demo-*")
    log = subprocess.run(
        ["git", "log", "--format=%(trailers:key=Overnight-Task,valueonly)", "main"],
        cwd=demo / "shop", capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert sorted(task.rsplit("-", 1)[0] for task in log) == [
        "add-a-discount",
        "keep-orders",
        "prepare-a-release",
        "print-a-receipt",
    ]
    assert "refused: Write" in done.stdout
    assert "refused: Bash git push" in done.stdout
    assert "KILLED" in done.stdout
    waits = [line for line in done.stdout.splitlines() if line.startswith("  WAITS")]
    assert len(waits) == 2
    decided = [line for line in done.stdout.splitlines() if "decided:" in line]
    assert ["reject" in line for line in decided] == [True, False]
    assert all("by cli:" in line for line in decided)
    assert any("blocked: test-skipped in test_shop.py" in line for line in waits)
    assert any("migrations: db/migrations/0001_orders.sql" in line for line in waits)
    _reconciled(demo, log)
    assert not list((demo / "state" / "worktrees").glob("*"))
    assert not list(Path("/etc").glob("overnight-demo*"))


def _reconciled(demo: Path, landed: list[str]) -> None:
    """The brief of that night says what git and the runs' own bills and outcomes say."""
    said = subprocess.run(
        [sys.executable, "-m", "overnight", "report", "--json"],
        env={"PATH": os.environ["PATH"], "HOME": str(demo), "OVERNIGHT_HOME": str(demo / "state"), "OVERNIGHT_CONFIG": str(demo / "config.toml")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    brief = json.loads(said.stdout)
    assert sorted(each["task"] for each in brief["landed"]) == sorted(landed)
    outcomes = [json.loads(path.read_bytes()) for path in (demo / "state" / "runs").glob("*/*/*/outcome.json")]
    bills = sum(Decimal(each["bill"]["cost"]) for each in outcomes)
    assert Decimal(brief["cost"]["usd"]) == bills > 0
    assert sum(Decimal(each["usd"]) for each in brief["cost"]["models"]) == bills
    assert (brief["cost"]["runs"], Decimal(brief["cost"]["unattributed"])) == (len(outcomes), 0)
    assert brief["denied"] == sum(len(each["denied"]) for each in outcomes) == 2
    assert brief["verdict"]["word"] == "done"
    assert brief["verdict"]["tally"]["needs_you"] == 0
