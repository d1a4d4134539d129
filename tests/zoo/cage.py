"""A cage for misbehaving agents: real git, the real workshop, a real warden, a real box, and nothing played but the model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psutil

from overnight.agents.scripted import Say, ScriptedModel, Use, play, playing
from overnight.config import read_settings
from overnight.fleet.local import read_identity
from overnight.missions.money import Allowance
from overnight.missions.places import run_dir
from overnight.missions.policy import Limits
from overnight.missions.run import Result, RunOutcome, RunSpec
from overnight.missions.stall import StallLimits
from overnight.missions.task import Repo, Task
from overnight.ports import Ground, House
from overnight.warden.events import AnyEvent, Limit, Warned, read_events
from overnight.wiring import house_for
from testkit.repos import git, repository
from testkit.waiting import within

#: More than any scripted run uses.
PLENTY = Allowance(usd=Decimal(1000))
KEY = "sk-zoo-0123456789"
WORK = "before.txt"
#: What every animal does first: work that must be kept. It is not committed.
WORKS = f"echo 'hours of work' > {WORK}"
#: The last word of a script that should never be reached.
TAMED = Say("I went on to the end.")
RUN = "animal.1.1"


class Cage:
    """One repository, one state folder, one run."""

    def __init__(self, root: Path) -> None:
        self.root, self.state, self.repo = root, root / "state", root / "repo"
        self.model: ScriptedModel
        self.spec: RunSpec
        self._make_repository()

    # -- building -------------------------------------------------------------------------------------------

    def _make_repository(self) -> None:
        files = {
            "overnight.toml": 'target = "main"\n[checks]\ntest = "sh check.sh"\n',
            "src/app.py": "print('hello')\n",
            "check.sh": "grep -q good src/app.py\n",
            ".gitignore": "ignored/\n",
        }
        repository(self.repo, files, message="Begin")

    def git(self, *words: str) -> str:
        """git in the person's own folder; with the white space around what it says."""
        return git(self.repo, *words, whole=True)

    def _environ(self, url: str, program: str) -> dict[str, str]:
        argv = msgspec.json.encode(["sh", "-c", program]).decode()
        (self.root / "config.toml").write_text(
            f'[agents.claude]\nupstream = "{url}"\nretries = 0\n[agents.command]\nargv = {argv}\n'
        )
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.root / "person"),
            "OVERNIGHT_CONFIG": str(self.root / "config.toml"),
            "ANTHROPIC_API_KEY": KEY,
        }

    async def _prepared(self, house: House, agent: str, limits: Limits, more: dict[str, Any]) -> tuple[Task, Ground]:
        repo = Repo(name="zoo", path=str(self.repo), target="main")
        task = Task(id="animal", repo=repo, title="Behave", text="Behave well.")
        ground = await house.workshop.prepare(task)
        git_dir = await house.workshop.open(task, ground, RUN, ground.base, None)
        self.spec = RunSpec(
            id=RUN, task=task.id, worktree=ground.worktree, git_dir=git_dir, objects=ground.objects,
            alternates=ground.alternates, start=ground.base, agent=agent, prompt="Behave well.", limits=limits,
            box=ground.policy.box, repo=repo.name, allowance=PLENTY, checks=tuple(c.run for c in ground.policy.checks.values()), **more,
        )  # fmt: skip
        return task, ground

    # -- letting an animal loose ----------------------------------------------------------------------------

    async def _live(
        self, agent: str, steps: Sequence[Any], program: str, limits: Limits, visit: Visit | None, more: dict[str, Any]
    ) -> tuple[RunOutcome, Result]:
        async with playing(play(*steps)) as (url, self.model):
            environ = self._environ(url, program)
            house = house_for(read_settings(environ), self.state, environ=environ)
            task, ground = await self._prepared(house, agent, limits, more)
            run = asyncio.create_task(house.fleet.run(self.spec))
            if visit is not None:
                await visit(self, house)
            outcome = await run
            git_dir = self.spec.git_dir
            return outcome, await house.workshop.collect(task, ground, RUN, git_dir, ground.base, whole=False)

    def model_run(
        self, *steps: Any, limits: Limits | None = None, visit: Visit | None = None, **more: Any
    ) -> tuple[RunOutcome, Result]:
        """A run of the real CLI with a model that goes by a script."""
        return within(self._live("claude", steps, ":", limits or Limits(), visit, more))

    def program_run(
        self, program: str, limits: Limits | None = None, visit: Visit | None = None, **more: Any
    ) -> tuple[RunOutcome, Result]:
        """A run of a program."""
        return within(self._live("command", (TAMED,), program, limits or Limits(), visit, more))

    # -- looking --------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The run's."""
        return Path(run_dir(str(self.state), RUN))

    @property
    def worktree(self) -> Path:
        return Path(self.spec.worktree)

    def events(self) -> list[AnyEvent]:
        return list(read_events(self.folder / "events.ndjson"))

    def warned(self) -> list[str]:
        """What the agent was told of, in order."""
        return [event.condition for event in self.events() if isinstance(event, Warned)]

    def stopped_for(self) -> str:
        """The limit that is on record for the end."""
        return next(event.limit for event in self.events() if isinstance(event, Limit))

    def told(self) -> str:
        """All that the model was ever sent."""
        return msgspec.json.encode([record.body for record in self.model.asked]).decode()

    def nothing_left(self) -> bool:
        """No process of the run lives, its warden's neither, and nothing of it is mounted."""
        home, alive = str(self.folder), list[str]()
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                mounts = Path(f"/proc/{process.pid}/mountinfo").read_text()
            except (OSError, psutil.Error):
                continue
            if home in words or home in mounts:
                alive.append(words)
        assert alive == []
        assert read_identity(self.folder) is not None
        return True

    def kept(self, result: Result, name: str = WORK) -> str:
        """A file of the work that was not committed, read from its rescue ref in the person's repository."""
        assert result.rescue is not None
        return self.git("show", f"{result.rescue}:{name}")


Visit = Callable[[Cage, House], Coroutine[Any, Any, None]]


def bash(command: str) -> Use:
    return Use("Bash", {"command": command, "description": "Work"})


def stall(**limits: Any) -> Limits:
    """The defaults, but for some thresholds of the watch."""
    return Limits(stall=msgspec.structs.replace(StallLimits(), **limits))
