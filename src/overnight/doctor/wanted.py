"""Which agents the work that lies there will start."""

from __future__ import annotations

import contextlib

from overnight.agents.choose import AGENTS
from overnight.config import read_policy
from overnight.durable.journal import Journal
from overnight.errors import OvernightError
from overnight.landing.places import Places
from overnight.landing.repository import open_repository
from overnight.landing.worktree import POLICY_FILE, file_at
from overnight.missions.codec import decode
from overnight.missions.hold import Held
from overnight.missions.task import Repo


async def wanted(journal: Journal) -> tuple[str, ...]:
    """Names of the agents of the registered repos, as their target branches have it, and of tasks that have not ended.

    A repo that can't be read names none: its tasks hold for that, and not for the canary.
    """
    found: dict[str, None] = {}
    sql = "SELECT DISTINCT coalesce(json_extract(input, '$.agent'), '') AS agent FROM task WHERE state != 'done'"
    for row in journal.db.execute(sql).fetchall():
        found[row["agent"]] = None
    for row in journal.db.execute("SELECT value FROM record WHERE kind = 'repo'").fetchall():
        with contextlib.suppress(OvernightError, Held, OSError):
            found[await _agent_of(decode(row["value"], Repo), Places(journal.home))] = None
    return tuple(name for name in AGENTS if name in found)


async def _agent_of(repo: Repo, places: Places) -> str:
    repository = await open_repository(repo, places)
    policy = await file_at(repository.plain, await repository.target(), POLICY_FILE)
    return read_policy(policy or b"", POLICY_FILE).agent
