"""A real daemon whose collector does not answer: its tasks land, and what they were is told afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from telemetry_lab import PATIENCE, Collector, told

from overnight.durable.client import Client
from overnight.durable.journal import connect
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task
from overnight.telemetry.kept import FILE

pytestmark = pytest.mark.slow
AGENT = 'echo done > "$OVERNIGHT_TASK.txt" && git add -A && git commit -q -m Work && echo done'
POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = "test -s seed.txt"
[box]
minimum = "none"
[judges]
families = 0
[clarify]
threshold = 101
"""
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]


class Place:
    """A repository, settings with telemetry, and a daemon."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.home, self.repo = folder, folder / "state", folder / "repo"
        config = f'[box]\nname = "none"\ni_know = true\n[agents.command]\nargv = ["sh", "-c", {json.dumps(AGENT)}]\n'
        config += f'[telemetry]\nendpoint = "{url}"\nevery = "200ms"\ntimeout = "60s"\n'
        (folder / "config.toml").write_text(config)
        self.env = {
            "OVERNIGHT_WEB": "off", "OVERNIGHT_HOME": str(self.home), "OVERNIGHT_CONFIG": str(folder / "config.toml"),
            "HOME": str(folder), "PATH": os.environ["PATH"],
        }  # fmt: skip
        self.repo.mkdir()
        (self.repo / "seed.txt").write_text("seed\n")
        (self.repo / "overnight.toml").write_text(POLICY)
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Seed"]):
            subprocess.run(
                [*GIT, *words], cwd=self.repo, check=True, env={"PATH": os.environ["PATH"], "HOME": str(folder)}
            )
        log = (folder / "log").open("ab")
        with log:
            self.daemon = subprocess.Popen(
                [sys.executable, "-P", "-m", "overnight", "up", "--plain"], env=self.env, stdout=log, stderr=log
            )

    def ready(self) -> None:
        """Return once telemetry is on."""
        slow = threading.Event()
        while not (self.home / FILE).exists():
            assert self.daemon.poll() is None
            slow.wait(0.05)

    def add(self, ident: str) -> None:
        repo = Repo(name="repo", path=str(self.repo), target="main")
        task = Task(id=ident, repo=repo, title=ident, text=ident)
        Client(self.home).call(
            "submit", id=ident, flow="task", lane="repo", input=builtins(task), phase=Phase.QUEUED, pool="work"
        )

    def landed(self, *idents: str) -> None:
        """Return once they have."""
        slow = threading.Event()
        for _ in range(int(PATIENCE * 20)):
            if self.phases(*idents) == ["landed"] * len(idents):
                return
            slow.wait(0.05)
        raise AssertionError(self.phases(*idents))

    def phases(self, *idents: str) -> list[str]:
        db = connect(self.home / "journal.db", read_only=True)
        try:
            return [db.execute("SELECT phase FROM task WHERE id = ?", (each,)).fetchone()["phase"] for each in idents]
        finally:
            db.close()

    def close(self) -> None:
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(PATIENCE)


def test_a_collector_that_hangs_delays_no_task(tmp_path: Path) -> None:
    """Its first request is never answered while two tasks are carried out; then everything arrives, with real commits."""
    collector, gate, asked = Collector(), threading.Event(), threading.Event()
    answered: list[str] = []

    def answer(path: str, _request: Any) -> int:
        asked.set()
        gate.wait(2 * PATIENCE)
        answered.append(path)
        return 200

    collector.answer = answer
    place = Place(tmp_path, collector.url)
    try:
        place.ready()
        place.add("one-aaaa")
        assert asked.wait(PATIENCE)
        place.add("two-bbbb")
        place.landed("one-aaaa", "two-bbbb")
        assert answered == []
        gate.set()
        collector.wait(lambda: collector.names().count("task") == 2)
        head = subprocess.run(
            [*GIT, "log", "--format=%H", "main"], cwd=place.repo, capture_output=True, text=True, check=True, env=place.env
        ).stdout.split()  # fmt: skip
        roots = [told(span) for span in collector.spans if span.name == "task"]
        assert {root["vcs.ref.head.revision"] for root in roots} <= set(head)
        assert {root["overnight.task.tail"] for root in roots} == {"aaaa", "bbbb"}
        assert len([name for name in collector.names() if name == "invoke_agent command"]) == 2
        assert "landing" in collector.names()
    finally:
        gate.set()
        place.close()
        collector.close()
