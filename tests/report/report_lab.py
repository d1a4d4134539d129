"""A real small night for the tests of the brief: real git, a real daemon with its journal, a program as the agent."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from overnight.cli.app import app
from overnight.config import Settings, parse_settings
from overnight.daemon import serve
from overnight.missions.task import Repo, Task
from testkit.computer import config, environment, policy, rows, submit
from testkit.repos import git, repository

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
CONFIG = config(AGENT, "[work]\ntotal = 2\nper_repo = 1\n")
POLICY = policy("[limits]\nattempts = 1\n", check="test ! -e broken.txt || { echo 'the file is broken'; exit 1; }")


class Night:
    """A machine with one repo, and what is carried out on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.repo = folder, folder / "state", folder / "repo"
        self.settings: Settings = parse_settings(CONFIG.encode(), "config.toml")
        self.env = environment(folder, self.home, TERM="xterm")
        (folder / "config.toml").write_text(CONFIG)
        repository(self.repo, {"seed.txt": "seed\n", "overnight.toml": POLICY})

    def git(self, *words: str) -> list[str]:
        """Lines of what git says of the repo."""
        return git(self.repo, *words).splitlines()

    def add(self, *ids: str, title: str = "") -> None:
        """Queue tasks."""
        repo = Repo(name="repo", path=str(self.repo), target="main")
        for ident in ids:
            submit(self.home, Task(id=ident, repo=repo, title=title or f"Do {ident}", text=f"Do {ident}."))

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
        return rows(self.home, sql, *args)

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
