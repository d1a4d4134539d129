"""Nights with a runbook: real git, boxes, wardens and the real CLI under the story of a task; only the model is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from overnight.agents.scripted import Play, Say, Scenario, Script, ScriptedModel, Use, playing
from overnight.agents.scripted.script import Step
from overnight.config import Settings, parse_settings
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool
from overnight.flows.landing import LANDING
from overnight.flows.task import WORK, carry_out
from overnight.missions.codec import builtins
from overnight.missions.places import run_dir
from overnight.missions.run import RunOutcome
from overnight.missions.task import Phase, Repo, Task
from overnight.report.story import story
from overnight.report.views import HoldView
from overnight.warden.events import AnyEvent, read_events
from overnight.wiring import house_for, purse_for
from testkit.repos import git, repository

#: Seconds after which something that must happen did not.
PATIENCE = 240.0
PATH = "docs/run.md"
#: A box may be ticked for work that is there only, as the check knows.
CHECK = f'for n in $(sed -n "s/^\\([0-9]*\\)\\. \\[x\\].*/\\1/p" {PATH}); do test -s step-$n.txt || exit 1; done'
POLICY = """
target = "main"
landing = "merge"
[checks]
steps = "sh check.sh"
[judges]
families = 0
"""
Visit = Callable[[ScriptedModel], Coroutine[Any, Any, None]]


def book(steps: int = 5, more: str = "") -> str:
    """A runbook of so many steps. more: what stands before them."""
    return f"# Do it all\n\n{more}\n## Steps\n" + "".join(f"{n}. [ ] Write file {n}\n" for n in range(1, steps + 1))


def bash(command: str) -> Use:
    return Use("Bash", {"command": command, "description": "Work"})


def tick(*numbers: int) -> Use:
    """Tick these boxes."""
    edits = " ".join(f"-e 's/^{n}[.] .../{n}. [x]/'" for n in numbers)
    return bash(f"sed -i {edits} {PATH}")


def work(number: int) -> Use:
    """The work of a step. It is appended, so that work that is done twice shows."""
    return bash(f"echo done >> step-{number}.txt")


def step(number: int) -> tuple[Use, Use]:
    return work(number), tick(number)


STOP = Say("I am done.")


class Lab:
    """A repository with a runbook, a state folder, and one task."""

    def __init__(self, root: Path, text: str = "", policy: str = POLICY) -> None:
        self.root, self.home, self.repo = root, root / "state", root / "repo"
        files = {PATH: text or book(), "overnight.toml": policy, "check.sh": CHECK}
        repository(self.repo, files, message="Begin")
        self.task = Task(
            id="book", repo=Repo(name="repo", path=str(self.repo), target="main"), title="Do it all",
            text="Carry out the runbook.", runbook=PATH,
        )  # fmt: skip
        self.model: ScriptedModel

    def git(self, *words: str) -> str:
        """git in the person's own folder."""
        return git(self.repo, *words)

    # -- nights ---------------------------------------------------------------------------------------------

    def night(self, *sessions: tuple[Step, ...], visit: Visit | None = None, attempts: int | None = None) -> None:
        """One task whose sessions go by these scripts, until it has ended or waits for a person."""
        runs = tuple(Script(steps) for steps in sessions)
        self.task = msgspec.structs.replace(self.task, attempts=attempts)
        asyncio.run(asyncio.wait_for(self._night(Play((Scenario(runs),)), visit), PATIENCE))

    async def _night(self, play: Play, visit: Visit | None) -> None:
        async with playing(play) as (url, self.model):
            text = f'[agents.claude]\nroute = "local"\nlocal = "{url}"\nretries = 0\n'
            (self.root / "config.toml").write_text(text)
            settings = parse_settings(text.encode(), "config.toml")
            journal = Journal(self.home)
            try:
                await self._driven(journal, settings, visit)
            finally:
                journal.close()

    async def _driven(self, journal: Journal, settings: Settings, visit: Visit | None) -> None:
        environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.root / "person"),
            "OVERNIGHT_CONFIG": str(self.root / "config.toml"),
        }
        house = house_for(settings, self.home, environ=environ)
        house = msgspec.structs.replace(house, purse=purse_for(journal, settings, environ))
        pools = {WORK: Pool(total=1), LANDING: Pool(per_key=1)}
        engine = Engine(journal, {"task": lambda t: carry_out(t, house)}, pools)
        Desk(journal, engine.poke).call(
            "submit",
            {"id": "book", "flow": "task", "lane": "repo", "input": builtins(self.task), "phase": Phase.QUEUED, "pool": WORK, "actor": "t"},
        )  # fmt: skip
        driving = asyncio.create_task(engine.run())
        visiting = asyncio.create_task(visit(self.model)) if visit is not None else None
        try:
            while not self._over(journal):
                await asyncio.wait([driving], timeout=0.05)
                if driving.done():
                    driving.result()
            if visiting is not None:
                await visiting
        finally:
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)

    def _over(self, journal: Journal) -> bool:
        row = journal.db.execute("SELECT state, hold FROM task").fetchone()
        return row["state"] == "done" or row["hold"] is not None

    # -- looking --------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        return story(self.home, "book").row.phase

    @property
    def hold(self) -> HoldView | None:
        return story(self.home, "book").row.hold

    def folder(self, n: int) -> Path:
        """A run's."""
        return Path(run_dir(str(self.home), f"book.1.{n}"))

    def outcome(self, n: int) -> RunOutcome:
        return msgspec.json.decode((self.folder(n) / "outcome.json").read_bytes(), type=RunOutcome)

    def events(self, n: int = 1) -> list[AnyEvent]:
        return list(read_events(self.folder(n) / "events.ndjson"))

    def commits(self, what: str = "main") -> list[str]:
        """First lines of the steps' commits, oldest first."""
        said = self.git("log", "--reverse", "--format=%s", "--grep=^Overnight-Step: ", what)
        return said.splitlines()

    def done_once(self, steps: int = 5, what: str = "main") -> bool:
        """Every step's work is there, exactly once."""
        found = [self.git("show", f"{what}:step-{n}.txt") for n in range(1, steps + 1)]
        return found == ["done"] * steps

    def told(self) -> str:
        """All that the model was ever sent."""
        return msgspec.json.encode([record.body for record in self.model.asked]).decode()
