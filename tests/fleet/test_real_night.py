"""The whole way down, nothing played but the model: fleet, warden, box, hooks, gateway, and the real Claude Code CLI."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest
from scene import KEY, Scene, within

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import Say, ScriptedModel, Stall, Use, play, playing
from overnight.fleet.local import read_identity
from overnight.guard.verdict import Decision
from overnight.missions.run import End, RunOutcome
from overnight.warden.events import AgentSaid, Asked, Decided, Ended, Exchanged, Launched, read_events

pytestmark = pytest.mark.cli


def inside(scene: Scene) -> list[psutil.Process]:
    """The processes of the box: those that live with its private home mounted."""
    home = str(scene.folder / "home")
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            mounted = home in Path(f"/proc/{process.pid}/mountinfo").read_text()
        except OSError:
            continue
        if mounted:
            found.append(process)
    return found


def knows(process: psutil.Process, secret: bytes) -> bool:
    """Whether a process has something in its environment or on its command line."""
    here = Path(f"/proc/{process.pid}")
    return secret in (here / "environ").read_bytes() + (here / "cmdline").read_bytes()


def holding(secret: bytes, *folders: Path) -> list[Path]:
    """Files that hold something."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if secret in path.read_bytes()]


def test_a_guarded_run_of_the_real_cli(scene: Scene) -> None:
    """A write outside and a push are refused and on record before the end; the model sees the key, the box never."""
    outside = Path("/opt/overnight-test-outside.txt")  # /tmp is the box's own
    steps = (
        Use("Write", {"file_path": str(outside), "content": "x"}),
        Use("Bash", {"command": "git push origin main", "description": "Push"}),
        Use("Bash", {"command": "echo hello > made.txt", "description": "Work"}),
        Stall("looked at", Say("Done.")),
    )

    async def story() -> tuple[RunOutcome, ScriptedModel]:
        async with playing(play(*steps)) as (url, model):
            scene.config(f'[agents.claude]\nupstream = "{url}"\nretries = 0\n', "bubblewrap")
            run = asyncio.create_task(scene.fleet().run(scene.spec(agent="claude")))
            await model.reached("looked at")
            processes = inside(scene)
            assert len(processes) > 1
            assert [process for process in processes if "claude" in " ".join(process.cmdline())]
            assert not [process for process in processes if knows(process, KEY.encode())]
            assert holding(KEY.encode(), scene.folder, scene.work, scene.git) == []
            model.release("looked at")
            return await run, model

    outcome, model = within(story())
    assert (outcome.end, outcome.said) == (End.COMPLETED, "Done."), outcome
    assert outcome.calls == 3
    assert [(tool, what) for tool, what, _ in outcome.denied] == [
        ("Write", str(outside)),
        ("Bash", "git push origin main"),
    ]
    assert not outside.exists()
    assert (scene.work / "made.txt").read_text() == "hello\n"

    assert {request.headers.get("x-api-key") for request in model.asked} == {KEY}
    assert inside(scene) == []
    assert holding(KEY.encode(), scene.folder, scene.work, scene.git) == []

    told = list(read_events(scene.folder / "events.ndjson"))
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert [event.tool for event in told if isinstance(event, Asked)] == ["Write", "Bash", "Bash"]
    verdicts = [event.decision for event in told if isinstance(event, Decided)]
    assert verdicts == [Decision.DENY, Decision.DENY, Decision.ALLOW]
    launched = next(event for event in told if isinstance(event, Launched))
    assert (launched.agent, launched.route, launched.box) == ("claude", "gateway", "os")
    assert launched.version
    assert [event for event in told if isinstance(event, Exchanged) and event.status == 200]
    assert [event for event in told if isinstance(event, AgentSaid) and event.event == "result"]
    assert isinstance(told[-1], Ended)
    assert max(n for n, event in enumerate(told) if isinstance(event, Decided)) < len(told) - 1


def test_without_its_warden_the_real_cli_does_nothing_more(scene: Scene) -> None:
    """SIGKILL for the warden in the middle of a session: all of the box is gone, and no later call ever ran."""
    steps = (
        Use("Bash", {"command": "echo one > one.txt", "description": "Work"}),
        Stall("killed", Use("Bash", {"command": "echo two > two.txt", "description": "Work"})),
        Say("Done."),
    )

    async def story() -> RunOutcome:
        async with playing(play(*steps)) as (url, model):
            scene.config(f'[agents.claude]\nupstream = "{url}"\nretries = 0\n', "bubblewrap")
            run = asyncio.create_task(scene.fleet().run(scene.spec(agent="claude")))
            await model.reached("killed")
            warden = read_identity(scene.folder)
            assert warden is not None
            os.kill(warden.pid, signal.SIGKILL)
            outcome = await run
            assert inside(scene) == []
            model.release("killed")
            return outcome

    assert within(story()).end is End.LOST
    assert (scene.work / "one.txt").exists()
    assert not (scene.work / "two.txt").exists()


def test_without_its_hooks_the_real_cli_does_nothing(scene: Scene) -> None:
    """The listener of the hooks is gone, all else is well: the call is blocked, whatever it is."""
    steps = (
        Stall("deaf", Use("Bash", {"command": "echo one > one.txt", "description": "Work"})),
        Use("Write", {"file_path": str(scene.work / "two.txt"), "content": "x"}),
        Say("Done."),
    )

    async def story() -> tuple[RunOutcome, ScriptedModel]:
        async with playing(play(*steps)) as (url, model):
            environ = {"ANTHROPIC_API_KEY": KEY, "PATH": "/usr/bin:/bin"}
            agent = ClaudeAgent(ClaudeSettings(retries=0, upstream=url), environ)
            keeper = scene.keeper("", "bubblewrap", agent=agent, environ=environ)
            run = asyncio.create_task(keeper.keep())
            await model.reached("deaf")
            await keeper._servers[0].close()
            model.release("deaf")
            return await run, model

    outcome, model = within(story())
    assert outcome.calls == 0
    assert sorted(path.name for path in scene.work.iterdir()) == [".git", "bell", "gate"]
    assert len(model.asked) >= 3
    assert "hook" in str(model.asked[-1].body["messages"][-1])


def test_a_stop_ends_the_real_cli(scene: Scene) -> None:
    """In the middle of a model's answer: stopped with the reason, the session known, nothing left."""

    async def story() -> RunOutcome:
        async with playing(play(Stall("stopped", Say("Done."), midway=True))) as (url, model):
            scene.config(f'[agents.claude]\nupstream = "{url}"\nretries = 0\n', "bubblewrap")
            run = asyncio.create_task(scene.fleet().run(scene.spec(agent="claude")))
            await model.reached("stopped")
            await scene.fleet().stop("t1.1.1", "enough")
            return await run

    outcome = within(story())
    assert (outcome.end, outcome.failure, outcome.why) == (End.STOPPED, None, "enough")
    assert outcome.session
    assert inside(scene) == []
    cut = [event for event in read_events(scene.folder / "events.ndjson") if isinstance(event, Exchanged) and event.cut]
    assert cut
