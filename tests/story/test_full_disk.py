"""A disk that fills up while Overnight works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    """On a full disk a queued task stays, whoever adds to it is told what to do, and with room again it lands."""
    story = Path(__file__).with_name("full_disk.py")
    mount = f'mount -t tmpfs -o size=1300m none "{tmp_path}" && exec "{sys.executable}" "{story}" "{tmp_path}"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["problems"] == []
    assert "Free some space" in told["heard"]
