"""A real small night for the tests of the brief: real git, a real daemon with its journal, a program as the agent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from overnight.cli.app import app
from overnight.config import Settings, parse_settings
from overnight.daemon import serve
from overnight.durable.client import Client
from overnight.durable.journal import connect
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task

#: What the agent asks in words of its own: a terminal's escape, HTML, Markdown, a key.
ASKS = "BLOCKED: which \\033[31mcolour\\033[0m? <script>alert(1)</script> [x](http://h) `y` @you ghp_0123456789abcdefghijklmnopqrstuvwxyz"
#: Does what the first word of the task's id says.
AGENT = f"""
case "$OVERNIGHT_TASK" in
  good*|next*) echo "$OVERNIGHT_TASK" > "$OVERNIGHT_TASK.txt" && git add -A && git commit -q -m "Work of $OVERNIGHT_TASK" && echo done ;;
  bad*) echo "$OVERNIGHT_TASK" > broken.txt && git add -A && git commit -q -m "Bad work" && echo done ;;
  asks*) printf '{ASKS}' ;;
  *) echo "nothing to do" ;;
esac
"""
CONFIG = f"""
[work]
total = 2
per_repo = 1
[box]
name = "none"
i_know = true
[agents.command]
argv = ["sh", "-c", {json.dumps(AGENT)}]
"""
POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = "test ! -e broken.txt || { echo 'the file is broken'; exit 1; }"
[limits]
attempts = 1
[box]
minimum = "none"
[judges]
families = 0
[clarify]
threshold = 101
"""
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]


class Night:
    """A machine with one repo, and what is carried out on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.repo = folder, folder / "state", folder / "repo"
        self.settings: Settings = parse_settings(CONFIG.encode(), "config.toml")
        self.env = {
            "OVERNIGHT_HOME": str(self.home), "OVERNIGHT_CONFIG": str(folder / "config.toml"), "HOME": str(folder),
            "PATH": os.environ["PATH"], "TERM": "xterm",
        }  # fmt: skip
        (folder / "config.toml").write_text(CONFIG)
        self.repo.mkdir()
        (self.repo / "seed.txt").write_text("seed\n")
        (self.repo / "overnight.toml").write_text(POLICY)
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Seed"]):
            self.git(*words)

    def git(self, *words: str) -> list[str]:
        """Lines of what git says of the repo."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run([*GIT, *words], cwd=self.repo, env=env, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    def add(self, *ids: str, title: str = "") -> None:
        """Queue tasks."""
        repo = Repo(name="repo", path=str(self.repo), target="main")
        for ident in ids:
            task = Task(id=ident, repo=repo, title=title or f"Do {ident}", text=f"Do {ident}.")
            Client(self.home).call(
                "submit", id=ident, flow="task", lane="repo", input=builtins(task), phase=Phase.QUEUED, pool="work"
            )

    def carry_out(self) -> None:
        """A daemon works until everything has ended or is held; then it ends."""
        before = {name: os.environ.get(name) for name in self.env}
        os.environ |= self.env
        try:
            asyncio.run(serve(self.settings, self.home, self._end_if_quiet, self._observe))
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value

    def _observe(self, moment: str, label: str) -> None:
        if moment == "after" and (label == "end" or label.startswith("park ")):
            self._end_if_quiet()

    def _end_if_quiet(self) -> None:
        if not self.rows("SELECT 1 FROM task WHERE state != 'done' AND hold IS NULL"):
            os.kill(os.getpid(), signal.SIGTERM)

    def rows(self, sql: str, *args: object) -> list[dict[str, Any]]:
        """What the journal says."""
        db = connect(self.home / "journal.db", read_only=True)
        try:
            return [dict(row) for row in db.execute(sql, args)]
        finally:
            db.close()

    def ok(self, *words: str) -> str:
        """What a command prints that must do its work."""
        result = CliRunner().invoke(app, list(words), env=self.env)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *words: str) -> str:
        """What a command says that must be refused for its input."""
        result = CliRunner().invoke(app, list(words), env=self.env)
        assert result.exit_code == 2, result.output
        return result.stderr
