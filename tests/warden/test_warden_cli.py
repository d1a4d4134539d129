"""The real Claude Code CLI behind the warden's hooks and gateway, with a scripted model on the loopback."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import wire
from msgspec.structs import replace

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import Say, ScriptedModel, Use, play, playing
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import End, RunSpec
from overnight.ports import Launch, Place, Ports
from overnight.warden.events import Asked, Decided, Done, EventLog, Exchanged, read_events
from overnight.warden.gateway import Gateway
from overnight.warden.hooks import HOOK_LIMITS, Hooks
from overnight.warden.http import Exchange, Handler, Request, Response, serve

pytestmark = pytest.mark.cli
KEY, TOKEN = "sk-real-0123456789", "overnight-dummy"
ENVIRON = {"ANTHROPIC_API_KEY": KEY, "PATH": "/usr/bin:/bin"}


def judge(call: Call) -> Verdict:
    """Permits everything but what is called evil."""
    bad = "evil" in str(call.input)
    return Verdict(decision=Decision.DENY if bad else Decision.ALLOW, rule="test", reason="evil is off limits")


class Here:
    """A folder with the CLI's places, and what it is served by."""

    def __init__(self, root: Path) -> None:
        self.root, self.record = root, root / "events.ndjson"
        for name in ("home", "given", "work"):
            (root / name).mkdir()

    def spec(self) -> RunSpec:
        return RunSpec(
            id="t1.1.1", task="t1", worktree=str(self.root / "work"), git_dir=str(self.root / "git"),
            objects=str(self.root / "objects"), start="0" * 40, agent="claude", prompt="Do.", limits=Limits(turns=9),
            box=BoxPolicy(),
        )  # fmt: skip

    def place(self, hooks: int, model: int) -> Place:
        return Place(
            home=str(self.root / "home"), given=str(self.root / "given"), worktree=str(self.root / "work"), token=TOKEN,
            ports=Ports(hooks=hooks, model=model, proxy=1),
        )  # fmt: skip

    async def run(self, launch: Launch) -> tuple[int, bytes, bytes]:
        """Start the CLI with nothing but the launch's environment, and wait for its end."""
        for name, content in launch.files.items():
            (self.root / "given" / name).write_bytes(content)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *launch.argv, cwd=self.root / "work", env=launch.env, stdin=pipe, stdout=pipe, stderr=pipe,
            start_new_session=True,
        )  # fmt: skip
        try:
            said, errors = await process.communicate(launch.stdin)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()
        assert process.returncode is not None
        return process.returncode, said, errors


@asynccontextmanager
async def served(
    here: Here, agent: ClaudeAgent, spec: RunSpec, handler: Handler | None = None
) -> AsyncGenerator[tuple[Launch, Hooks]]:
    """Hooks (or another handler in their place) and gateway for one run; the launch that talks to them."""
    log = EventLog(here.record)
    hooks, sockets = Hooks(agent, judge, log.write), (wire.listening(), wire.listening())
    launch = agent.launch(spec, here.place(wire.port_of(sockets[0]), wire.port_of(sockets[1])))
    servers = [
        await serve(sockets[0], handler or hooks.handle, HOOK_LIMITS),
        await serve(sockets[1], Gateway(launch.route, TOKEN, KEY, log.write).handle),
    ]
    try:
        yield launch, hooks
    finally:
        for server in servers:
            await server.close()
        log.close()


def test_a_session_of_the_real_cli_is_guarded_metered_and_without_the_key(tmp_path: Path) -> None:
    """The allowed call runs, the denied one does not, both are on record; the model gets the key, the CLI never."""
    here = Here(tmp_path)
    good, evil = Use("Bash", {"command": "env > good"}), Use("Bash", {"command": "touch evil"})

    async def story() -> tuple[int, bytes, Hooks, ScriptedModel, ClaudeAgent]:
        async with playing(play(good, evil, Say("Done."))) as (url, model):
            agent = ClaudeAgent(ClaudeSettings(retries=0, upstream=url), ENVIRON)
            async with served(here, agent, here.spec()) as (launch, hooks):
                code, said, errors = await here.run(launch)
            assert KEY.encode() not in said + errors
            return code, said, hooks, model, agent

    code, said, hooks, model, agent = asyncio.run(asyncio.wait_for(story(), 120))
    assert agent.classify(here.spec(), code, said, b"").end is End.COMPLETED
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["good"]
    environment = (tmp_path / "work" / "good").read_text()
    assert KEY not in environment
    assert TOKEN not in environment
    assert all(request.headers["x-api-key"] == KEY for request in model.asked)
    assert not any("authorization" in request.headers for request in model.asked)

    events = list(read_events(here.record))
    assert [event.input for event in events if isinstance(event, Asked)] == ["env > good", "touch evil"]
    assert [event.decision for event in events if isinstance(event, Decided)] == [Decision.ALLOW, Decision.DENY]
    assert next((event.tool, event.failed) for event in events if isinstance(event, Done)) == ("Bash", False)
    assert hooks.denied == [("Bash", "touch evil", "evil is off limits")]
    whole = [event for event in events if isinstance(event, Exchanged) and event.method == "POST" and not event.cut]
    assert {(event.path, event.status) for event in whole} == {("/v1/messages", 200)}
    assert KEY not in here.record.read_text()


@pytest.mark.parametrize("status", [400, 413, 500, None])
def test_the_real_cli_blocks_what_the_hooks_refuse(status: int | None, tmp_path: Path) -> None:
    """Where no verdict can be given there is a refusal or a cut connection: either stops the call."""
    here = Here(tmp_path)
    asked: list[Request] = []

    async def refuse(request: Request, exchange: Exchange) -> Response | None:
        asked.append(request)
        if status is None:
            await exchange.cut()
            return None
        return Response.json(status, {"error": "no"})

    async def story() -> ScriptedModel:
        async with playing(play(Use("Bash", {"command": "touch evil"}), Say("Done."))) as (url, model):
            agent = ClaudeAgent(ClaudeSettings(retries=0, upstream=url), ENVIRON)
            async with served(here, agent, here.spec(), refuse) as (launch, _):
                await here.run(launch)
            return model

    model = asyncio.run(asyncio.wait_for(story(), 120))
    assert list((tmp_path / "work").iterdir()) == []
    assert any(b"touch evil" in request.body for request in asked)
    assert "hook" in str(model.asked[1].body["messages"][-1])


def test_no_file_is_read_that_no_call_asked_for(tmp_path: Path) -> None:
    """Words such as `@FILE` in a task are words: what is read is read by a call, which is decided and on record."""
    here = Here(tmp_path)
    (tmp_path / "work" / "notes.txt").write_text("kept-to-itself")
    outside = tmp_path / "outside.txt"
    outside.write_text("kept-to-itself")
    spec = replace(here.spec(), prompt=f"Look at @notes.txt and at @{outside}, then end.")

    async def story() -> ScriptedModel:
        async with playing(play(Say("Done."))) as (url, model):
            agent = ClaudeAgent(ClaudeSettings(retries=0, upstream=url), ENVIRON)
            async with served(here, agent, spec) as (launch, _):
                await here.run(launch)
            return model

    model = asyncio.run(asyncio.wait_for(story(), 120))
    sent = json.dumps([request.body for request in model.asked])
    assert "@notes.txt" in sent
    assert "kept-to-itself" not in sent
