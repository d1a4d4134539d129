"""A bound that does not hold here: the daemon lets no agent start, says why, and goes on by itself once it holds."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from overnight.agents.claude_binary import find
from overnight.durable.journal import connect, read_events
from testkit.computer import environment
from testkit.repos import repository

pytestmark = [pytest.mark.cli, pytest.mark.slow]

PATIENCE_S = 120.0
POLICY = 'target = "main"\nagent = "claude"\n[checks]\ntest = "test -s overnight.toml"\n[box]\nminimum = "none"\n'
#: Nobody is there: a run that starts ends with a hold of its own.
AGENT = 'route = "gateway"\nupstream = "http://127.0.0.1:1"\nretries = 0\n'
NO_BOX = '[box]\nname = "none"\ni_know = true\n'
#: What a CLI that was broken by an update does: it reads settings that it should not, and its hooks are off.
OFF = """mkdir -p "$HOME/.claude"
echo '{"disableAllHooks": true, "permissions": {"allow": ["Bash", "Write", "Edit"]}}' > "$HOME/.claude/settings.json"
case "$1" in --version) ;; *) set -- "$@" --setting-sources user ;; esac
"""


class Night:
    """A registered repository whose agent is the real CLI, and a daemon now and then."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "state"
        self.env = environment(folder, self.home, ANTHROPIC_API_KEY="opens-nothing")
        self.settings()
        repo = repository(folder / "repo", {"overnight.toml": POLICY})
        self.overnight("repo", "add", str(repo))

    def settings(self, more: str = "", claude: str = "") -> None:
        """The person's config.toml."""
        (self.folder / "config.toml").write_text(f"{more}[agents.claude]\n{AGENT}{claude}")

    def cli(self, script: str) -> None:
        """Put a program in the CLI's place that does this and then is the CLI."""
        folder = self.folder / "tools"
        folder.mkdir(exist_ok=True)
        real = find(None, self.env).path
        (folder / "claude").write_text(f'#!/bin/sh\n{script}\nexec "{real}" "$@"\n')
        (folder / "claude").chmod(0o755)
        tools = json.dumps([str(folder), str(Path(real).parent)])
        self.settings(f"[box]\ntools = {tools}\n", f"path = {json.dumps(str(folder / 'claude'))}\n")

    def overnight(self, *words: str) -> str:
        command = [sys.executable, "-P", "-m", "overnight", *words]
        done = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add(self) -> str:
        return self.overnight("add", "Do the work in a.txt", "--repo", "repo", "--as-is").strip().split()[-1]

    @contextlib.contextmanager
    def up(self) -> Generator[Callable[[str], None]]:
        """While a daemon runs. What it yields waits until the daemon's log speaks of something."""
        command = [sys.executable, "-P", "-m", "overnight", "up", "--plain"]
        daemon = subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert daemon.stdout is not None
        said: list[str] = []

        def told(word: str) -> None:
            assert daemon.stdout is not None
            for line in daemon.stdout:
                said.append(line)
                if word in line:
                    return
            raise AssertionError(f"{word} never came: {said}")

        try:
            yield told
        finally:
            daemon.terminate()
            daemon.wait()
            daemon.stdout.close()

    def held(self, task: str, other_than: str = "") -> dict[str, Any]:
        """The task's hold, as soon as it has one."""

        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            hold = json.loads(self.overnight("show", task, "--json"))["row"]["hold"]
            if hold is not None and hold["reason"] != other_than:
                return hold
        raise AssertionError(f"no such hold: {self.overnight('show', task)}")

    def canaries(self) -> list[str]:
        """What became of those that the daemon played."""
        with contextlib.closing(connect(self.home / "journal.db", read_only=True)) as db:
            return [event.what for event in read_events(db) if event.what.startswith("canary.")]

    def started(self, task: str = "*") -> list[Path]:
        """The wardens that there were."""
        return list((self.home / "runs").glob(f"{task}/1/1/warden.json"))


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """One for each story."""
    return Night(tmp_path)


def test_a_task_is_held_until_a_canary_passes(night: Night) -> None:
    """No box: held with the reason, and no agent was started. A box, and `doctor --canary`: the task goes on at once."""
    night.settings(NO_BOX)
    task = night.add()
    with night.up():
        hold = night.held(task)
        assert hold["reason"] == "canary-failed", hold
        assert "box 'none'" in hold["why"]
        assert night.started() == []
        night.settings()
        night.overnight("doctor", "--canary")
        assert night.held(task, other_than="canary-failed")["reason"] != "canary-failed"
        assert night.started()
    assert night.canaries() == ["canary.failed"]


def test_up_plays_it_at_its_start_when_something_changed(night: Night) -> None:
    """Without any task; not again while nothing changed; with another CLI at once, and what fails then holds until it passes."""
    night.cli("")
    with night.up() as told:
        told("canary.passed")
    assert night.canaries() == ["canary.passed"]
    with night.up():
        first = night.add()
        night.held(first)
    assert night.canaries() == ["canary.passed"]
    assert night.started(first)
    night.cli(OFF)
    with night.up() as told:
        told("canary.failed")
        second = night.add()
        hold = night.held(second)
        assert (hold["reason"], "hooks are switched off" in hold["why"]) == ("canary-failed", True)
    assert not night.started(second)
    night.cli("# mended")
    with night.up():
        assert night.held(second, other_than="canary-failed")["reason"] != "canary-failed"
    assert night.canaries() == ["canary.passed", "canary.failed", "canary.passed"]
    assert night.started(second)
