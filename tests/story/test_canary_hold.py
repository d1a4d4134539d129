"""A bound that does not hold here: the daemon lets no agent start, says why, and goes on by itself once it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from overnight.durable.journal import connect, read_events

pytestmark = [pytest.mark.cli, pytest.mark.slow]

PATIENCE_S = 120.0
POLICY = 'target = "main"\nagent = "claude"\n[checks]\ntest = "test -s overnight.toml"\n[box]\nminimum = "none"\n'
#: Nobody is there: a run that starts ends with a hold of its own.
AGENT = '[agents.claude]\nroute = "gateway"\nupstream = "http://127.0.0.1:1"\nretries = 0\n'
NO_BOX = '[box]\nname = "none"\ni_know = true\n'


def test_a_task_is_held_until_a_canary_passes(tmp_path: Path) -> None:
    """No box: held with the reason, and no agent was started. A box, and `doctor --canary`: the task goes on at once."""
    home, repo, config = tmp_path / "state", tmp_path / "repo", tmp_path / "config.toml"
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "OVERNIGHT_HOME": str(home),
        "OVERNIGHT_CONFIG": str(config), "ANTHROPIC_API_KEY": "opens-nothing",
    }  # fmt: skip

    def overnight(*words: str) -> str:
        command = [sys.executable, "-P", "-m", "overnight", *words]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def held(other_than: str = "") -> dict[str, Any]:
        """The task's hold, as soon as it has one."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            hold = json.loads(overnight("show", task, "--json"))["row"]["hold"]
            if hold is not None and hold["reason"] != other_than:
                return hold
        raise AssertionError(f"no such hold: {(tmp_path / 'daemon.log').read_text()}")

    repo.mkdir()
    (repo / "overnight.toml").write_text(POLICY)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Seed"]):
        subprocess.run([*git, *words], cwd=repo, check=True)
    config.write_text(NO_BOX + AGENT)
    overnight("repo", "add", str(repo))
    task = overnight("add", "Do the work in a.txt", "--repo", "repo", "--as-is").strip().split()[-1]
    with (tmp_path / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-P", "-m", "overnight", "up", "--plain"], env=env, stdout=log, stderr=log
        )
    try:
        hold = held()
        assert hold["reason"] == "canary-failed", hold
        assert "box 'none'" in hold["why"]
        assert not list((home / "runs").glob("*/1/1/warden.json"))
        config.write_text(AGENT)
        overnight("doctor", "--canary")
        assert held(other_than="canary-failed")["reason"] != "canary-failed"
        assert list((home / "runs").glob("*/1/1/warden.json"))
    finally:
        daemon.terminate()
        daemon.wait()
    db = connect(home / "journal.db", read_only=True)
    told = [event.what for event in read_events(db) if event.what.startswith("canary.")]
    db.close()
    assert told == ["canary.failed"]
