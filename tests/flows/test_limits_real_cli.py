"""A subscription's window that is used up, as the real Claude Code CLI tells it: what becomes of the tasks, and when."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from test_limits_story import BEGAN, RESET, LimitedNight
from test_task_story import task

from overnight.agents.claude import LOGIN_VARIABLE, ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import Fail, Reply, Use, play, playing
from overnight.audit.record import RunAudit
from overnight.boxes.none import Unconfined
from overnight.flows.rehearsal import Act, World
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.limits import Trouble
from overnight.missions.policy import BoxLevel, BoxPolicy, Limits
from overnight.missions.run import FailureClass, RunOutcome, RunSpec
from overnight.missions.task import Phase
from overnight.ports import Launch, Place
from overnight.warden.keeper import Keeper

pytestmark = pytest.mark.cli
ENVIRON = {LOGIN_VARIABLE: "sk-ant-oat01-dummy", "PATH": "/usr/bin:/bin"}


def windows(status: str, used: str) -> dict[str, str]:
    """What the vendor's API sends to a subscription."""
    name = "anthropic-ratelimit-unified"
    return {
        f"{name}-status": status, f"{name}-reset": f"{RESET:.0f}", f"{name}-representative-claim": "five_hour",
        f"{name}-5h-status": status, f"{name}-5h-reset": f"{RESET:.0f}", f"{name}-5h-utilization": used,
        f"{name}-7d-status": "allowed", f"{name}-7d-reset": f"{RESET + 90_000:.0f}", f"{name}-7d-utilization": "0.4",
        f"{name}-overage-status": "rejected", f"{name}-overage-disabled-reason": "org_level_disabled",
    }  # fmt: skip


class Subscriber(ClaudeAgent):
    """The agent on its subscription's route, whose vendor is the scripted model."""

    def __init__(self, url: str) -> None:
        super().__init__(ClaudeSettings(route="direct", retries=0), ENVIRON)
        self._url = url

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        given = super().launch(spec, place)
        return msgspec.structs.replace(given, env={**given.env, "ANTHROPIC_BASE_URL": self._url})


def rejected(folder: Path) -> RunOutcome:
    """How a run ends whose second answer is that the window is used up."""
    work, git, objects = folder / "work", folder / "git", folder / "objects"
    for each in (folder / "run", objects):
        each.mkdir(parents=True)
    command = ["git", "init", "-q", f"--separate-git-dir={git}", str(work)]
    subprocess.run(command, check=True, env={"PATH": os.environ["PATH"], "HOME": str(folder)})
    spec = RunSpec(
        id="a.1.1", task="a", agent="claude", prompt="Do.", worktree=str(work), git_dir=str(git), objects=str(objects),
        start="0" * 40, box=BoxPolicy(minimum=BoxLevel.NONE), limits=Limits(),
    )  # fmt: skip
    use = Reply((Use("Bash", {"command": "echo hi > made", "description": "x"}),), headers=windows("allowed", "0.99"))
    no = Fail(429, "Limit reached", headers=windows("rejected", "1"), times=9)

    def audit(version: str, level: str, without: Callable[[str], str]) -> RunAudit:
        return RunAudit(folder / "state", spec, without, version, level)

    def allow(_: Call) -> Verdict:
        return Verdict(decision=Decision.ALLOW, rule="test", reason="")

    async def story() -> RunOutcome:
        async with playing(play(use, no)) as (url, _):
            made = Keeper(
                folder / "run", spec, Subscriber(url), Unconfined(), decide=allow, environ=ENVIRON,
                stop=asyncio.Event(), audit=audit,
            )  # fmt: skip
            return await made.keep()

    return asyncio.run(story())


def test_a_window_that_the_cli_names_is_waited_for_by_its_tasks_alone(tmp_path: Path) -> None:
    """Its own `rate_limit_event`, rejected: a hold until that instant, no attempt spent, no task of the account starts
    before, and after it each once; one of another account never waits."""
    outcome = rejected(tmp_path / "real")
    assert (outcome.failure, outcome.trouble, outcome.until) == (FailureClass.LIMIT, Trouble.WINDOW, RESET), outcome
    known = {window.name: window for window in outcome.contact.windows}
    assert (known["five-hour"].status, known["five-hour"].resets, known["five-hour"].source) == (
        "rejected", RESET, "stream",
    )  # fmt: skip
    assert outcome.contact.account == "claude direct"
    assert '"status":"rejected"' in (tmp_path / "real" / "run" / "agent.jsonl").read_text()
    home, names = tmp_path / "night", ("a", "b", "c", "other")
    home.mkdir()
    # The window was seen when the night began, and not by this machine's clock.
    seen = tuple(msgspec.structs.replace(window, seen=BEGAN) for window in outcome.contact.windows)
    told = msgspec.structs.replace(outcome, contact=msgspec.structs.replace(outcome.contact, windows=seen))
    night = LimitedNight(home, World({name: [Act.GOOD] for name in names}), {"a.1.1": told})
    night.submit(task("a", attempts=1))
    night.drive()
    night.submit(*(task(name, attempts=1) for name in names[1:3]), task("other", agent="command", attempts=1))
    night.drive()
    night.at(RESET)
    assert set(night.started) == {"a.1.1", "other.1.1"}
    assert all("limit-reached" in (night.hold(name) or "") for name in names[:3])
    for second in range(1, 32):
        night.at(RESET + second)
    assert set(night.phases().values()) == {Phase.LANDED}
    assert set(night.started) == {"a.1.1", "a.1.2", "b.1.1", "c.1.1", "other.1.1"}
    assert night.specs["a.1.2"].resume == outcome.session
