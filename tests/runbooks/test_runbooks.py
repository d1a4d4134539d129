"""Runbooks carried out by the real CLI in real boxes; only the model is scripted."""

from __future__ import annotations

from pathlib import Path

import pytest
from runbook_lab import STOP, Lab, step

from overnight.missions.task import Phase

pytestmark = [pytest.mark.cli, pytest.mark.slow]
STEPS = [f"Step {n}: Write file {n}" for n in range(1, 6)]


def test_an_agent_that_stops_after_each_step_is_sent_back_until_all_is_done(tmp_path: Path) -> None:
    """Five steps, five turns that would have ended, one run, one commit for each step, and it lands."""
    lab = Lab(tmp_path)
    lab.night(tuple(part for n in range(1, 6) for part in (*step(n), STOP)))
    assert lab.phase == Phase.LANDED, lab.hold
    assert lab.commits() == STEPS
