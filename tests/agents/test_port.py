"""The port `Agent`, the same claims for every adapter, each agent really started."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from overnight.agents.choose import AGENTS, AgentSettings, choose
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.command import CommandSettings
from overnight.agents.scripted import Fail, Play, Say, Stall, Use, play
from overnight.errors import AgentUnavailable, SettingsInvalid, UnknownAgent
from overnight.guard.verdict import Decision, Verdict
from overnight.missions.run import End, FailureClass
from overnight.ports import Agent

from .stage import ENVIRON, PLACE, SPEC, Seen, stage


class Cast(Struct, frozen=True):
    """An adapter and what makes its agent play a part."""

    name: str
    #: Part -> shell text (command) or play (claude).
    parts: dict[str, str | Play]

    def agent(self, part: str) -> Agent:
        """The adapter, set up for the part."""
        text = self.parts[part]
        argv = ("sh", "-c", text) if isinstance(text, str) else ()
        settings = AgentSettings(claude=ClaudeSettings(retries=0), command=CommandSettings(argv=argv))
        return choose(self.name, settings, ENVIRON)

    def play(self, part: str) -> Play:
        """What the model answers."""
        text = self.parts[part]
        return text if isinstance(text, Play) else play()


_SHELL = {"command": 'printf "made in the night" > made', "description": "make a file"}
CLAUDE = Cast(
    "claude",
    {
        "work": play(Use("Bash", _SHELL), Say("Made it.\n\nAll done.")),
        "blocked": play(Say("I can't.\n\n**BLOCKED:** the password\nis missing")),
        "wait": play(Stall("never", Say("late"))),
        "fail": play(Fail(413)),
        "away": play(Fail(529, "busy")),
    },
)
COMMAND = Cast(
    "command",
    {
        "work": 'printf "made in the night" > made; echo "Made it."; echo; echo "All done."',
        "blocked": 'echo "I can\'t."; echo; echo "**BLOCKED:** the password"; echo "is missing"',
        "wait": "echo waiting; exec sleep 600",
        "fail": "echo sorry >&2; exit 3",
        "away": "echo busy >&2; exit 75",
    },
)
CASTS = [pytest.param(CLAUDE, marks=pytest.mark.cli, id="claude"), pytest.param(COMMAND, id="command")]
for_each = pytest.mark.parametrize("cast", CASTS)
#: Where nothing is started.
for_each_value = pytest.mark.parametrize("cast", [CLAUDE, COMMAND], ids=["claude", "command"])


def perform(cast: Cast, part: str, root: Path) -> Seen:
    """Play a part to its end."""

    async def story() -> Seen:
        agent = cast.agent(part)
        async with stage(root, cast.play(part), agent) as here:
            return await here.run(agent)

    return asyncio.run(story())


@for_each
def test_work_is_done_and_told(cast: Cast, tmp_path: Path) -> None:
    """The agent edits its worktree, says so, and the events carry its words on single lines."""
    seen = perform(cast, "work", tmp_path)
    assert (tmp_path / "work" / "made").read_text() == "made in the night"
    found = seen.outcome
    assert (found.run, found.end, found.failure, found.code) == ("t1.1.1", End.COMPLETED, None, 0)
    assert found.said == "Made it.\n\nAll done."
    texts = " ".join(event.text for event in seen.events if event.kind == "text")
    assert "Made it." in texts
    assert "All done." in texts
    assert all(event.text.isprintable() for event in seen.events)


@for_each
def test_a_plea_for_help_is_heard(cast: Cast, tmp_path: Path) -> None:
    """A last paragraph that begins with BLOCKED ends the run as blocked, with the reason."""
    found = perform(cast, "blocked", tmp_path).outcome
    assert (found.end, found.failure, found.why) == (End.BLOCKED, None, "the password is missing")


@for_each
def test_failure_is_the_agents(cast: Cast, tmp_path: Path) -> None:
    """An error of its own costs an attempt."""
    found = perform(cast, "fail", tmp_path).outcome
    assert (found.end, found.failure) == (End.FAILED, FailureClass.AGENT)
    assert found.why


@for_each
def test_an_outage_is_not_the_agents(cast: Cast, tmp_path: Path) -> None:
    """Something away for now costs no attempt, and the reason says what."""
    found = perform(cast, "away", tmp_path).outcome
    assert (found.end, found.failure) == (End.FAILED, FailureClass.VENDOR)
    assert not FailureClass.VENDOR.costs_attempt
    assert "busy" in found.why


@for_each
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_end_from_outside_is_not_the_agents(cast: Cast, number: signal.Signals, tmp_path: Path) -> None:
    """A signal that the agent did not send itself costs no attempt and is never success."""

    async def story() -> None:
        agent = cast.agent("wait")
        async with stage(tmp_path, cast.play("wait"), agent) as here:
            async with here.started(agent, here.spec()) as seen:
                await seen.begun()
                seen.process.send_signal(number)
                await seen.finish()
        assert (seen.outcome.end, seen.outcome.failure) == (End.FAILED, FailureClass.MACHINE)
        assert number.name in seen.outcome.why

    asyncio.run(story())


@for_each
def test_the_prompt_arrives_as_it_is(cast: Cast, tmp_path: Path) -> None:
    """Not one character of the prompt is lost, and none of it is on the command line."""
    prompt = "Umlaut ü, quote \" ' `id` $HOME, --flag\nBLOCKED: not yet\n" + "long " * 50_000 + "end"

    async def story() -> str:
        agent = cast.agent("work") if cast is CLAUDE else Cast("command", {"echo": "cat; cmp - <&-"}).agent("echo")
        async with stage(tmp_path, cast.play("work"), agent) as here:
            seen = await here.run(agent, here.spec(prompt))
            assert not any("Umlaut" in word for word in seen.launch.argv)
            if cast is COMMAND:
                assert Path(seen.launch.env["OVERNIGHT_PROMPT"]).read_text() == prompt
                return seen.stdout.decode()
            return here.model.asked[0].body["messages"][0]["content"][-1]["text"]

    assert asyncio.run(story()) == prompt


@for_each
def test_the_environment_is_exact(cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person's environment reaches the agent; all traffic but loopback goes to the proxy."""
    monkeypatch.setenv("OVERNIGHT_TEST_SECRET", "s3cret")
    seen = perform(cast, "work", tmp_path)
    env = seen.launch.env
    assert "s3cret" not in str(seen.launch)
    assert env["HOME"] == str(tmp_path / "home")
    assert {env[name] for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")} == {"http://127.0.0.1:1"}
    assert "127.0.0.1" in env["NO_PROXY"].split(",")


@for_each_value
def test_a_launch_is_a_value(cast: Cast) -> None:
    """The same run at the same place is launched the same way, and every path lies in what was given."""
    agent = cast.agent("work")
    launch = agent.launch(SPEC, PLACE)
    assert launch == agent.launch(SPEC, PLACE)
    assert launch.stdin == SPEC.prompt.encode()
    assert os.path.isabs(launch.argv[0])  # noqa: PTH117 - a text
    assert all(os.sep not in name for name in launch.files)


@for_each_value
@pytest.mark.parametrize("name", ["HOME", "HTTPS_PROXY", "no_proxy"])
def test_settings_cannot_move_home_or_route(cast: Cast, name: str) -> None:
    """A variable that Overnight sets itself is refused, with its name and where it stands."""
    claude, command = ClaudeSettings(env={name: "x"}), CommandSettings(argv=("true",), env={name: "x"})
    agent = choose(cast.name, AgentSettings(claude=claude, command=command), ENVIRON)
    with pytest.raises(SettingsInvalid, match=f"{cast.name}.env: '{name}'"):
        agent.launch(SPEC, PLACE)


@for_each_value
def test_settings_may_add_variables(cast: Cast) -> None:
    """PATH and unknown names go through to the agent."""
    more = {"PATH": "/opt/bin:/usr/bin:/bin", "UV_OFFLINE": "1"}
    claude, command = ClaudeSettings(env=more), CommandSettings(argv=("true",), env=more)
    agent = choose(cast.name, AgentSettings(claude=claude, command=command), ENVIRON)
    assert agent.launch(SPEC, PLACE).env.items() >= more.items()


@for_each_value
@given(line=st.binary(max_size=300))
def test_any_line_can_be_read(cast: Cast, line: bytes) -> None:
    """Whatever a line holds, reading gives printable events and no error."""
    for event in cast.agent("work").read(line):
        assert event.text.isprintable()
        assert len(event.text) <= 300


@for_each_value
@given(stdout=st.binary(max_size=300), stderr=st.binary(max_size=100), code=st.integers(-64, 255))
def test_any_end_can_be_classified(cast: Cast, stdout: bytes, stderr: bytes, code: int) -> None:
    """Whatever a session leaves, there is one outcome with one printable sentence; only code 0 can succeed."""
    found = cast.agent("work").classify(SPEC, code, stdout, stderr)
    assert found.why.isprintable()
    assert found.why
    assert code == 0 or found.end not in (End.COMPLETED, End.BLOCKED)


@for_each_value
@given(event=st.dictionaries(st.sampled_from(["hook_event_name", "tool_name", "tool_input", "cwd"]), st.integers()))
def test_an_odd_hook_request_is_a_call(cast: Cast, event: dict[str, int]) -> None:
    """A request that can't be made out waits for a verdict like any other; it never passes unseen."""
    assert cast.agent("work").hook(event) is not None


@for_each_value
@pytest.mark.parametrize("decision", [Decision.ASK, Decision.DENY])
def test_what_is_not_allowed_is_not_answered_so(cast: Cast, decision: Decision) -> None:
    """Asking without a person there is no permission."""
    event = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": "1", "cwd": "/w"}
    answer = cast.agent("work").answer(event, Verdict(decision=decision, reason="not tonight", rule="r"))
    assert "allow" not in str(answer)
    assert "not tonight" in str(answer)


def test_agents_are_known_by_name() -> None:
    """An unknown name is refused with the known ones."""
    assert AGENTS == ("claude", "command")
    with pytest.raises(UnknownAgent, match=r"No agent is called 'claud'.* Known: claude, command"):
        choose("claud", AgentSettings(), {})


@pytest.mark.parametrize("argv", [(), ("no-such-program-anywhere",), ("/no/such/program",)])
def test_a_missing_program_is_unavailable(argv: tuple[str, ...]) -> None:
    """A command that is not there is said before anything starts, with what to set."""
    agent = choose("command", AgentSettings(command=CommandSettings(argv=argv)), {})
    with pytest.raises(AgentUnavailable, match="Set `argv`"):
        agent.launch(SPEC, PLACE)


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_starts_nothing_is_a_launch_failure(code: int) -> None:
    """The shell's own codes for programs it can't start cost no attempt."""
    found = COMMAND.agent("work").classify(SPEC, code, b"", b"sh: 1: tool: not found\n")
    assert found.failure is FailureClass.LAUNCH
    assert "tool: not found" in found.why
