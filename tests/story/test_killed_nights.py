"""A real daemon killed at every instant of a task's life."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHARDS = 4


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_task_lands_exactly_once_whenever_the_daemon_is_killed(tmp_path: Path, shard: int) -> None:
    """SIGKILL before and after every commit, git call and start of a warden: landed once, nothing left behind."""
    nights = Path(__file__).with_name("nights.py")
    command = [sys.executable, str(nights), str(tmp_path), str(shard), str(SHARDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["failures"] == {}
    assert told["total"] > 100
    assert told["killed"] >= told["total"] // SHARDS - 1
