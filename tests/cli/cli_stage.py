"""What the tests of the command line share: a repository, a state folder, nights carried out in them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from overnight.cli.app import app
from overnight.durable.clock import Clock, SystemClock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool
from overnight.flows.landing import LANDING
from overnight.flows.rehearsal import Act, World
from overnight.flows.task import WORK, carry_out
from overnight.report.status import repos, unended

POLICY = 'target = "main"\nlanding = "merge"\nagent = "command"\n[checks]\ntest = "true"\n[judges]\nfamilies = 0\n[clarify]\nthreshold = 101\n'


def git(folder: Path, *words: str) -> str:
    """Run git on a test's own repository, without anybody's configuration."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    return subprocess.run(
        ["git", *words], cwd=folder, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


def make_repo(folder: Path, policy: str | None = POLICY, branch: str = "main") -> Path:
    """A repository with one commit, which holds this policy."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", branch)
    (folder / "a.txt").write_text("one\n")
    if policy is not None:
        (folder / "overnight.toml").write_text(policy)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


class Desktop:
    """A person's machine: a state folder, and a command line that uses it."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder, self.home, self.clock = folder, folder / "state", clock or SystemClock()
        self.env = {
            "OVERNIGHT_HOME": str(self.home),
            "OVERNIGHT_WEB": "off",
            "OVERNIGHT_CONFIG": str(folder / "config.toml"),
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
        }
        (folder / "config.toml").write_text("")

    def run(self, *words: str | Path, stdin: str | bytes | None = None, at: Path | None = None) -> Result:
        """A command, in this process, as if piped."""
        before = Path.cwd()
        os.chdir(at or self.folder)
        try:
            return CliRunner().invoke(app, [str(word) for word in words], input=stdin, env=self.env)
        finally:
            os.chdir(before)

    def ok(self, *words: str | Path, stdin: str | bytes | None = None, at: Path | None = None) -> str:
        """A command that must do its work; its standard output."""
        result = self.run(*words, stdin=stdin, at=at)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str | Path, at: Path | None = None) -> Any:
        """A command's output as a value."""
        return json.loads(self.ok(*words, "--json", at=at))

    def process(self, *words: str, at: Path | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        """A command as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "overnight", *words],
            cwd=at or self.folder, env=self.env, capture_output=True, text=True, timeout=60, check=False, **more,
        )  # fmt: skip

    # -- nights ---------------------------------------------------------------------------------------------

    def shop(self) -> Path:
        """A registered repository."""
        path = make_repo(self.folder / "shop")
        self.ok("repo", "add", path)
        return path

    def call(self, verb: str, **arguments: Any) -> Any:
        """Ask the desk."""
        journal = Journal(self.home, clock=self.clock)
        try:
            return Desk(journal).call(verb, {"actor": "test", **arguments})
        finally:
            journal.close()

    def tell(self, what: str, task: str, **data: Any) -> None:
        """Put an event on record, as a story does."""
        journal = Journal(self.home, clock=self.clock)
        try:
            journal.tell(what, task=task, **data)
        finally:
            journal.close()

    def drive(self, scripts: dict[str, Sequence[Act]], world: World | None = None) -> World:
        """Carry every queued task as far as it goes, in a world in memory; ids may be shortened."""
        names = {row.id for row in unended(self.home)}
        full = {next(name for name in names if name.startswith(short)): acts for short, acts in scripts.items()}
        world = world or World({})
        world.scripts = {**world.scripts, **full}
        asyncio.run(self._until_quiet(world))
        return world

    async def _until_quiet(self, world: World) -> None:
        journal = Journal(self.home, clock=self.clock)
        pools = {WORK: Pool(total=2), LANDING: Pool(per_key=1)}
        engine = Engine(journal, {"task": lambda t: carry_out(t, world.house())}, pools)
        driving = asyncio.create_task(engine.run())
        try:
            quiet = 0
            while quiet < 30 and not driving.done():
                await asyncio.sleep(0)
                quiet = 0 if engine.live else quiet + 1
        finally:
            engine.close()
            await driving
            journal.close()

    def add(self, text: str, *more: str) -> str:
        """Queue a task; its id."""
        return self.ok("add", text, "--repo", repos(self.home)[0].name, *more).strip()
