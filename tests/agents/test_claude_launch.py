"""How Claude Code is found and launched, without a session."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overnight.agents.choose import AgentSettings
from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_binary import find
from overnight.agents.claude_settings import ClaudeSettings
from overnight.errors import AgentUnavailable, SettingsInvalid
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.codec import convert
from overnight.ports import Launch

from .stage import PLACE, SPEC

KEY = {"ANTHROPIC_API_KEY": "sk-ant-real"}
LOGIN = {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-real"}


def launch(environ: dict[str, str], **settings: object) -> Launch:
    """The launch of the usual run."""
    return ClaudeAgent(msgspec.convert(settings, ClaudeSettings), environ).launch(SPEC, PLACE)


def given(found: Launch) -> dict[str, Any]:
    """The settings file."""
    return msgspec.json.decode(found.files["claude-settings.json"])


@pytest.mark.parametrize(
    ("environ", "route", "kind"),
    [
        (KEY, "auto", "gateway"),
        (LOGIN, "auto", "direct"),
        (KEY | LOGIN, "auto", "direct"),
        (KEY | LOGIN, "gateway", "gateway"),
        (KEY | LOGIN, "direct", "direct"),
    ],
)
def test_the_route_follows_settings_and_logins(environ: dict[str, str], route: str, kind: str) -> None:
    """A named route is taken; `auto` takes the subscription, which can't bill by use, else the key."""
    assert launch(environ, route=route).route.kind == kind


@pytest.mark.parametrize(
    ("environ", "route", "advice"),
    [
        ({}, "auto", "Either run `claude setup-token` and set CLAUDE_CODE_OAUTH_TOKEN, or set ANTHROPIC_API_KEY"),
        ({"ANTHROPIC_API_KEY": ""}, "auto", "Either run `claude setup-token`"),
        (KEY, "direct", "For the route `direct` run `claude setup-token`"),
        (LOGIN, "gateway", "For the route `gateway` set ANTHROPIC_API_KEY"),
    ],
)
def test_no_route_gives_way_to_another(environ: dict[str, str], route: str, advice: str) -> None:
    """Without its login a route is refused, with what to do; the other login is not taken in its place."""
    with pytest.raises(AgentUnavailable) as caught:
        launch(environ, route=route)
    assert advice in str(caught.value)


@pytest.mark.parametrize("route", ["gateway", "direct"])
def test_no_login_is_in_the_launch(route: str) -> None:
    """Keys and tokens are named, never held: the value of neither is in any part of the launch."""
    found = launch(KEY | LOGIN, route=route)
    assert "real" not in str(found)
    assert "dummy token" not in " ".join(found.argv) + str(found.env)


def test_the_gateway_route() -> None:
    """The base URL is the gateway's port, the key a helper's dummy, and what may pass is listed."""
    found = launch(KEY, key_variable="ANTHROPIC_API_KEY", upstream="https://models.example")
    assert found.env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:7002"
    assert given(found)["apiKeyHelper"] == "echo 'dummy token'"
    assert found.passed == ()
    assert (found.route.upstream, found.route.key_header) == ("https://models.example", "x-api-key")
    assert found.route.key_variable == "ANTHROPIC_API_KEY"


def test_the_direct_route() -> None:
    """The login is handed through by name; nothing of a key or a base URL is there."""
    found = launch(KEY | LOGIN, route="direct")
    assert found.passed == ("CLAUDE_CODE_OAUTH_TOKEN",)
    assert found.route.hosts == ("api.anthropic.com",)
    assert "apiKeyHelper" not in given(found)
    assert not [name for name in found.env if name.startswith("ANTHROPIC")]


def test_hooks_fail_closed() -> None:
    """Every hook goes to the warden's port, and a call whose hook fails is blocked."""
    hooks = given(launch(KEY))["hooks"]
    posted = ["PostCompact", "PostToolUse", "PostToolUseFailure", "PreCompact", "PreToolUse", "Stop"]
    assert sorted(hooks) == [*posted[:5], "SessionStart", "Stop"]
    assert {hooks[name][0]["hooks"][0]["url"] for name in posted} == {"http://127.0.0.1:7001/hook"}
    before = hooks["PreToolUse"][0]["hooks"][0]
    assert before == {"type": "http", "url": "http://127.0.0.1:7001/hook", "timeout": 60, "onFailure": "block"}


def test_a_session_is_told_from_files() -> None:
    """What begins gets the start, what goes on gets the parts: each prints a file that the warden lays out, if it is there."""
    start, on = given(launch(KEY))["hooks"]["SessionStart"]
    assert (start["matcher"], on["matcher"]) == ("startup", "resume|fork|clear|compact")
    printed = [hook["command"].split()[1] for group in (start, on) for hook in group["hooks"]]
    laid_out = ClaudeAgent(ClaudeSettings(), KEY).reminders(["one", "two"], "begin")
    assert sorted(printed) == sorted(f"/given/{name}" for name in laid_out)
    texts = {
        name: json.loads(said)["hookSpecificOutput"]["additionalContext"] for name, said in laid_out.items() if said
    }
    assert texts == {"start.json": "begin", "context-1.json": "one", "context-2.json": "two"}


def test_the_line_is_closed() -> None:
    """Nothing is read from the repository or the person, and what nobody grants is denied."""
    argv = launch(KEY).argv
    pairs = dict(pairwise(argv))
    assert pairs["--setting-sources"] == ""
    assert pairs["--permission-mode"] == "dontAsk"
    assert pairs["--permission-prompts"] == "none"
    assert pairs["--tools"] == "Bash,Edit,Read,Write"
    assert pairs["--max-turns"] == "200"
    assert pairs["--settings"] == "/given/claude-settings.json"
    assert "--strict-mcp-config" in argv


def test_a_session_is_the_runs_own() -> None:
    """The same run has the same session, another run another; a resumed one is named instead."""
    agent = ClaudeAgent(ClaudeSettings(), KEY)
    first, other = (agent.launch(msgspec.structs.replace(SPEC, id=id_), PLACE).argv for id_ in ("t1.1.1", "t1.1.2"))
    assert first != other
    session = "42ff9fb5-671a-4f93-b320-d13596eb0545"
    resumed = agent.launch(msgspec.structs.replace(SPEC, resume=session), PLACE).argv
    assert f"--resume={session}" in resumed
    assert not [word for word in resumed if word.startswith("--session-id")]


@pytest.mark.parametrize("session", ["", "../../other.jsonl", "/etc/passwd", "--help"])
def test_only_an_id_is_resumed(session: str) -> None:
    """The CLI reads other words as paths or names, so they never reach it."""
    with pytest.raises(AgentUnavailable, match="no session of Claude Code"):
        ClaudeAgent(ClaudeSettings(), KEY).launch(msgspec.structs.replace(SPEC, resume=session), PLACE)


@pytest.mark.parametrize("prompt", ["/compact", "  \n/clear all"])
def test_a_prompt_is_no_command(prompt: str) -> None:
    """A prompt that begins like a command of the CLI gets words before it."""
    found = ClaudeAgent(ClaudeSettings(), KEY).launch(msgspec.structs.replace(SPEC, prompt=prompt), PLACE)
    assert found.stdin.decode() == f"The task:\n\n{prompt}"


@pytest.mark.parametrize("name", ["ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "AWS_PROFILE"])
def test_settings_cannot_choose_who_pays(name: str) -> None:
    """Variables that would change the route are refused."""
    with pytest.raises(SettingsInvalid, match=name):
        launch(KEY, env={name: "1"})


def test_a_call_is_taken_from_its_hook() -> None:
    """Id, tool, input and folder are the CLI's own; telling hooks ask for nothing and get nothing."""
    agent = ClaudeAgent(ClaudeSettings(), KEY)
    event = {
        "hook_event_name": "PreToolUse",
        "tool_name": "Bash",
        "tool_input": {"command": "ls"},
        "tool_use_id": "toolu_1",
        "cwd": "/w",
    }
    assert agent.hook(event) == Call(id="toolu_1", tool="Bash", input={"command": "ls"}, cwd="/w")
    verdict = Verdict(decision=Decision.ALLOW, reason="fine", rule="r")
    assert agent.answer(event, verdict) == {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "allow",
            "permissionDecisionReason": "fine",
        }
    }
    for telling in ("PostToolUse", "PostToolUseFailure", "Stop"):
        assert agent.hook(event | {"hook_event_name": telling}) is None
        assert agent.answer(event | {"hook_event_name": telling}, verdict) == {}


def test_settings_are_read_with_their_units() -> None:
    """Durations carry a unit in a file and reach the CLI in milliseconds."""
    settings = convert({"claude": {"answer_limit": "5m", "stall_limit": "90s", "retries": 3}}, AgentSettings).claude
    env = ClaudeAgent(settings, KEY).launch(SPEC, PLACE).env
    assert (env["API_TIMEOUT_MS"], env["CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS"]) == ("300000", "90000")
    assert env["CLAUDE_CODE_MAX_RETRIES"] == "3"


# -- finding the CLI -----------------------------------------------------------------------------------------


def program(path: Path, says: str) -> Path:
    """A program that notes its environment and says something."""
    path.write_text(f'#!/bin/sh\nenv >> "$0.env"\necho "{says}"\n')
    path.chmod(0o755)
    return path


def test_the_wheels_binary_is_found() -> None:
    """Without a setting and a PATH, the extra's binary is used, with the version it says."""
    found = find(None, {})
    assert found.path.endswith("/claude_agent_sdk/_bundled/claude")
    assert found.version[0].isdigit()


def test_a_native_binary_on_the_path_goes_first(tmp_path: Path) -> None:
    """A symlink on the PATH is followed to the one file that a box must show."""
    wheels = find(None, {})
    (tmp_path / "claude").symlink_to(wheels.path)
    assert find(None, {"PATH": str(tmp_path)}) == wheels
    assert wheels.path in launch(KEY).readable


def test_a_script_on_the_path_is_passed_over(tmp_path: Path) -> None:
    """A script would need its interpreter and packages inside the box."""
    program(tmp_path / "claude", "9.9.9 (Claude Code)")
    assert find(None, {"PATH": str(tmp_path)}) == find(None, {})


def test_the_version_is_asked_once_for_each_state(tmp_path: Path) -> None:
    """A second look runs nothing; a changed file is asked again; the question carries no environment."""
    path = program(tmp_path / "claude", "2.1.400 (Claude Code)")
    asked = Path(f"{path}.env")
    assert find(str(path), {"SECRET": "1"}).version == "2.1.400"
    assert find(str(path), {}).version == "2.1.400"
    homes = [line for line in asked.read_text().splitlines() if line.startswith("HOME=")]
    assert len(homes) == 1
    assert not Path(homes[0].removeprefix("HOME=")).exists()
    assert "SECRET" not in asked.read_text()
    program(path, "2.1.4000 (Claude Code)")
    assert find(str(path), {}).version == "2.1.4000"


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("2.1.294 (Claude Code)", "2.1.295 is needed"),
        ("1.9.999 (Claude Code)", "2.1.295 is needed"),
        ("claude 3", "no version of Claude Code"),
        ("", "no version of Claude Code"),
    ],
)
def test_a_cli_that_cannot_fail_closed_is_refused(says: str, problem: str, tmp_path: Path) -> None:
    """Too old a version, and a program that is something else."""
    with pytest.raises(AgentUnavailable, match=problem) as caught:
        find(str(program(tmp_path / "claude", says)), {})
    assert "pip install 'overnight[claude]'" in str(caught.value)


@pytest.mark.parametrize("path", ["claude", "/no/such/claude", "/etc/passwd", "/usr"])
def test_a_setting_that_names_no_program_is_refused(path: str) -> None:
    """A named path is never replaced by another CLI."""
    with pytest.raises(AgentUnavailable, match="no absolute path of a program"):
        find(path, {"PATH": os.environ["PATH"]})
