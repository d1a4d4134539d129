"""Who judges results, against what the registered repos ask for. Nobody is asked anything, and no key is looked at."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterable

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_binary import locate
from overnight.config import read_policy
from overnight.doctor.findings import Sighting, ok, warn
from overnight.doctor.look import Look
from overnight.durable.journal import connect
from overnight.errors import OvernightError
from overnight.judges.asker import missing
from overnight.judges.settings import ANY_MODEL, JudgeSettings, Kind, family_of, key_variable_of
from overnight.landing.places import Places
from overnight.landing.repository import open_repository
from overnight.landing.worktree import POLICY_FILE, file_at
from overnight.missions.codec import decode
from overnight.missions.hold import Held
from overnight.missions.policy import LandingMode, Policy
from overnight.missions.task import Repo


def judges(look: Look) -> Sighting:
    """One line: each judge with what it lacks, and whether there are families enough."""
    named = look.settings.judges
    lacks = {name: why for name, each in named.items() if (why := _lacks(each, look))}
    families = {family_of(each) for name, each in named.items() if name not in lacks}
    seen = "; ".join(_words(name, each, lacks.get(name, "")) for name, each in named.items()) or "none"
    most, repos = _wanted(look)
    if lacks:
        return warn("judges", seen, "mend what it says, in the environment that the daemon is started in")
    if most > len(families):
        seen += f". {', '.join(repos)} ask{'s' if len(repos) == 1 else ''} for {most} families of models"
        do = "name more judges in [judges] of config.toml; until then every result there waits for you"
        return warn("judges", seen, do)
    return ok("judges", seen)


def _words(name: str, judge: JudgeSettings, lacks: str) -> str:
    return f"{name}: {judge.model or ANY_MODEL} of {family_of(judge)}" + (f", {lacks}" if lacks else ", ready")


def _lacks(judge: JudgeSettings, look: Look) -> str:
    if judge.kind is Kind.CLAUDE:
        return _lacks_cli(look)
    variable = key_variable_of(judge)
    if variable and not look.environ.get(variable):
        return f"{variable} is not set"
    return missing(judge.kind)


def _lacks_cli(look: Look) -> str:
    claude = look.settings.agents.claude
    try:
        locate(claude.path, look.environ)
        route = ClaudeAgent(claude, look.environ).route()
    except OvernightError as error:
        return str(error)
    return (
        "the route of [agents.claude] is `local`, whose models are of nobody's family" if route.kind == "local" else ""
    )


def _wanted(look: Look) -> tuple[int, tuple[str, ...]]:
    """The most families that a registered repo asks for, and who does. One that can't be read asks for none."""
    path = look.home / "journal.db"
    if not path.exists():
        return 0, ()
    try:
        with contextlib.closing(connect(path, read_only=True)) as db:
            rows = db.execute("SELECT value FROM record WHERE kind = 'repo'").fetchall()
    except sqlite3.Error:  # the journal has a line of its own
        return 0, ()
    asked = asyncio.run(_asked((decode(row["value"], Repo) for row in rows), Places(look.home)))
    most = max((families for _, families in asked), default=0)
    return most, tuple(name for name, families in asked if families == most)


async def _asked(repos: Iterable[Repo], places: Places) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for repo in repos:
        with contextlib.suppress(OvernightError, Held, OSError):
            repository = await open_repository(repo, places)
            data = await file_at(repository.plain, await repository.target(), POLICY_FILE)
            found.append((repo.name, _families(read_policy(data or b"", POLICY_FILE))))
    return found


def _families(policy: Policy) -> int:
    return 0 if policy.landing is LandingMode.BRANCH else policy.judges.families
