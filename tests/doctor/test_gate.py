"""No agent starts that the canary has not passed for: the gate, and the daemon that has it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from doctor_lab import Lab

from overnight.config import read_settings
from overnight.doctor.gate import AGAIN_S, RETRY_S, Gate, needed
from overnight.doctor.record import changes, fingerprint, last_pass
from overnight.doctor.wanted import wanted
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal
from overnight.fleet.local import LocalFleet
from overnight.missions.codec import builtins
from overnight.missions.hold import Held, HoldReason
from overnight.missions.policy import BoxLevel, BoxPolicy, Limits
from overnight.missions.run import End, RunSpec
from overnight.missions.task import Repo
from overnight.wiring import WARDEN
from testkit.repos import repository


def gate(lab: Lab, told: list[tuple[str, bool, str]]) -> Gate:
    """Before a real fleet."""

    def tell(agent: str, passed: bool, why: str) -> None:
        told.append((agent, passed, why))

    return Gate(LocalFleet(lab.home, WARDEN, lab.environ), lab.home, lab.environ, tell)


def spec(lab: Lab, run: str = "t.1.1", agent: str = "command") -> RunSpec:
    """A run in a repository of its own."""
    work, git, objects = (lab.folder / f"{run}-{part}" for part in ("work", "git", "objects"))
    if not work.exists():
        objects.mkdir()
        subprocess.run(["git", "init", "-q", f"--separate-git-dir={git}", str(work)], check=True)
    return RunSpec(
        id=run, task="t", worktree=str(work), git_dir=str(git), objects=str(objects), start="0" * 40, agent=agent,
        prompt="Do.", limits=Limits(), box=BoxPolicy(minimum=BoxLevel.NONE),
    )  # fmt: skip


COMMAND = '[agents.command]\nargv = ["sh", "-c", "echo ran > ran"]\n'


def test_a_pass_opens_it_until_something_changes(lab: Lab) -> None:
    """Played before the first run, not before the second, and again once the settings are others."""
    told: list[tuple[str, bool, str]] = []
    lab.settings(COMMAND)

    async def story() -> None:
        here = gate(lab, told)
        assert (await here.run(spec(lab))).end is End.COMPLETED
        assert (await here.run(spec(lab, "t.1.2"))).end is End.COMPLETED
        assert told == [("command", True, "")]
        lab.settings(COMMAND + "[box]\nopen_files = 4096\n")
        assert (await here.run(spec(lab, "t.1.3"))).end is End.COMPLETED
        assert len(told) == 2

    asyncio.run(story())


def test_broken_settings_hold(lab: Lab) -> None:
    """What can't be read bounds nothing: the hold names the file, and no agent starts."""
    lab.settings("[box]\nname = 3\n")
    with pytest.raises(Held) as held:
        asyncio.run(gate(lab, []).run(spec(lab)))
    assert held.value.hold.reason is HoldReason.CANARY_FAILED
    assert "config.toml" in held.value.hold.why
    assert not (Path(spec(lab).worktree) / "ran").exists()


@pytest.mark.cli
def test_no_box_holds_an_agent_with_hooks(lab: Lab) -> None:
    """The reason names the box; the next run is held without another canary; a changed setting is tried at once."""
    told: list[tuple[str, bool, str]] = []
    lab.settings('[box]\nname = "none"\ni_know = true\n')
    began = time.time()

    async def story() -> None:
        here = gate(lab, told)
        for run in ("t.1.1", "t.1.2"):
            with pytest.raises(Held) as held:
                await here.run(spec(lab, run, "claude"))
            assert "box 'none'" in held.value.hold.why
            assert held.value.hold.until is not None
            assert held.value.hold.until > began + RETRY_S
        assert [(agent, passed) for agent, passed, _ in told] == [("claude", False)]

    asyncio.run(story())


def test_one_that_cannot_be_played_is_tried_again_soon(lab: Lab) -> None:
    """What only kept it from being played (here a file in its place) passes; it is looked again after a minute, not ten."""
    lab.settings(COMMAND)
    lab.home.mkdir(exist_ok=True)
    (lab.home / "canary").write_text("")
    before = time.time()
    with pytest.raises(Held) as held:
        asyncio.run(gate(lab, []).run(spec(lab)))
    until = held.value.hold.until
    assert until is not None
    assert "could not be played" in held.value.hold.why
    assert before + AGAIN_S <= until <= time.time() + AGAIN_S


def test_whom_it_asks(lab: Lab) -> None:
    """An agent without hooks in no box, and machines whose owner does not require it, are let through."""
    none = '[box]\nname = "none"\ni_know = true\n'
    cases = {"": (True, True), none: (True, False), "[canary]\nrequired = false\n": (False, False)}
    for text, needs in cases.items():
        lab.settings(text)
        settings = read_settings(lab.environ)
        assert (needed("claude", settings), needed("command", settings)) == needs, text


def test_another_program_is_another_cli(lab: Lab) -> None:
    """An update in place shows at a look, without the file being read."""
    program = lab.folder / "claude"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    lab.settings(f'[agents.claude]\npath = "{program}"\n')
    before = fingerprint("claude", read_settings(lab.environ), lab.environ)
    assert changes(before, fingerprint("claude", read_settings(lab.environ), lab.environ)) == []
    program.write_text("#!/bin/sh\n# newer\n")
    assert changes(before, fingerprint("claude", read_settings(lab.environ), lab.environ)) == ["the agent's CLI"]


def test_a_stop_while_it_is_played(lab: Lab) -> None:
    """The run that waits never begins, and says that it was stopped."""
    lab.settings(COMMAND)

    async def story() -> None:
        here = gate(lab, [])
        run = asyncio.create_task(here.run(spec(lab)))
        while "t.1.1" not in here._waiting:  # noqa: ASYNC110 (nobody announces it)
            await asyncio.sleep(0)
        await here.stop("t.1.1", "enough")
        outcome = await run
        assert (outcome.end, outcome.why) == (End.STOPPED, "enough")

    asyncio.run(story())
    assert not (Path(spec(lab).worktree) / "ran").exists()


def test_a_run_that_has_begun_is_attached_to(lab: Lab) -> None:
    """Its outcome is there for whoever asks, also when nothing would start any more."""
    lab.settings(COMMAND)
    asyncio.run(gate(lab, []).run(spec(lab)))
    lab.settings("broken = [")
    assert asyncio.run(gate(lab, []).run(spec(lab))).end is End.COMPLETED


@pytest.mark.cli
def test_doctor_says_what_it_found_by_its_exit_code(lab: Lab) -> None:
    """A canary that fails is 3, and takes an earlier pass with it; the lines are JSON."""
    lab.settings('[box]\nname = "none"\ni_know = true\n')
    command = [sys.executable, "-P", "-m", "overnight", "doctor", "--canary", "--json"]
    env = {**lab.environ, "OVERNIGHT_HOME": str(lab.home), "ANTHROPIC_API_KEY": "k", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 3, done.stderr
    assert '"fit": false' in done.stdout
    assert "Traceback" not in done.stderr
    assert last_pass(lab.home, "claude") is None


def test_it_is_played_ahead_of_the_first_run(lab: Lab) -> None:
    """Before anybody asks: once, not again while nothing has changed, again after a change; a failure is told, not raised."""
    told: list[tuple[str, bool, str]] = []
    lab.settings(COMMAND)

    async def story() -> None:
        here = gate(lab, told)
        await here.ahead(("command",))
        await here.ahead(("command",))
        assert told == [("command", True, "")]
        assert (await here.run(spec(lab))).end is End.COMPLETED
        assert len(told) == 1
        lab.settings(COMMAND + "[box]\nopen_files = 4096\n")
        await here.ahead(("command",))
        assert [passed for _, passed, _ in told] == [True, True]
        lab.settings("broken = [")
        await here.ahead(("command",))
        assert len(told) == 2

    asyncio.run(story())


def test_which_agents_are_wanted(lab: Lab) -> None:
    """Those of registered repos, as the target branch has them, and of tasks under way; unreadable repos name none."""
    journal = Journal(lab.home)
    desk = Desk(journal)
    try:
        assert asyncio.run(wanted(journal)) == ()
        repo = repository(lab.folder / "repo", {"overnight.toml": 'target = "main"\nagent = "command"\n'})
        (repo / "overnight.toml").write_text('target = "main"\nagent = "claude"\n')
        for name, path in {"one": repo, "gone": lab.folder / "gone"}.items():
            record = Repo(name=name, path=str(path), target="main")
            desk.call("put", {"actor": "t", "kind": "repo", "key": name, "value": builtins(record)})
        assert asyncio.run(wanted(journal)) == ("command",)
    finally:
        journal.close()
