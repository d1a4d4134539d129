"""A machine on which the real agent has worked, so that its runs can be replayed: real daemon, box, git and CLI."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overnight.agents.scripted import Say, Use, playing
from overnight.agents.scripted.script import Play, Scenario, Script, Step
from overnight.missions.task import Repo, Task
from testkit.computer import environment, submit
from testkit.repos import git, repository

KEY = "sk-ant-api03-Tr7Ue4Io1Pa8Sd5Fg2Hj9Kl6"
PATIENCE_S = 120.0
POLICY = """
target = "main"
landing = "branch"
agent = "claude"
[checks]
test = "test -s seed.txt"
[limits]
attempts = 1
[clarify]
threshold = 101
"""


def bash(command: str) -> Use:
    return Use("Bash", {"command": command, "description": "Work"})


class Machine:
    """A repository and a state folder."""

    def __init__(self, folder: Path, config: str = "") -> None:
        self.folder, self.home, self.repo, self.config = folder, folder / "state", folder / "repo", config
        self.env = environment(folder, self.home, HOME=str(folder / "person"), ANTHROPIC_API_KEY=KEY)
        (folder / "person").mkdir()
        repository(self.repo, {"overnight.toml": POLICY, "seed.txt": "seed\nof it\n"})
        self.settle("http://127.0.0.1:9")
        assert self.overnight("repo", "add", str(self.repo), "--name", "repo").returncode == 0

    def git(self, *words: str) -> str:
        """git in the person's own folder."""
        return git(self.repo, *words)

    def settle(self, url: str) -> None:
        """Settings whose model is at this address."""
        tools = '["Bash", "Edit", "Read", "Write", "Task"]'
        (self.folder / "config.toml").write_text(
            f'[agents.claude]\nroute = "gateway"\nupstream = "{url}"\nretries = 0\ntools = {tools}\n'
            f"[canary]\nrequired = false\n{self.config}"
        )

    def work(self, task: str) -> Path:
        """The agent's working folder."""
        return self.home / "worktrees" / task

    def run(self, task: str) -> Path:
        """The folder of a task's first run."""
        return self.home / "runs" / task / "1" / "1"

    def overnight(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "overnight", *words]
        return subprocess.run(
            command, env=self.env, cwd=self.folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def json(self, *words: str, code: int = 0) -> Any:
        done = self.overnight(*words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def submit(self, task: str) -> None:
        """Queue a task of this id."""
        made = Task(
            id=task, repo=Repo(name="repo", path=str(self.repo), target="main"), title=task, text="Do the work.",
            as_is=True,
        )  # fmt: skip
        submit(self.home, made)

    def night(self, task: str, *scripts: tuple[Step, ...], queue: Callable[[], str] | None = None) -> list[Any]:
        """One night in which this task ends; what the model was asked. queue: queues another one and says its id."""
        play = Play((Scenario(tuple(Script(steps) for steps in scripts)),))
        return asyncio.run(self._night(play, queue or (lambda: self.submit(task) or task)))

    async def _night(self, play: Play, queue: Callable[[], str]) -> list[Any]:
        async with playing(play) as (url, model):
            self.settle(url)
            task = queue()
            with (self.folder / "daemon.log").open("wb") as log:
                daemon = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "overnight", "up", "--plain", env=self.env, stdout=log, stderr=log
                )
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._ended(task)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    daemon.send_signal(signal.SIGTERM)
                await daemon.wait()
            self.settle("http://127.0.0.1:9")
            return model.asked

    async def _ended(self, task: str) -> None:
        while True:
            shown = await asyncio.to_thread(self.json, "show", task)
            if shown["row"]["state"] in ("ended", "held", "asks"):
                self.shown = shown
                return


DONE = Say("Done.")
