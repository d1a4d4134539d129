"""Requests that are made to hurt, at the real hook endpoint: the run's own guard, record and audit behind HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wire

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.audit.record import RunAudit
from overnight.audit.shown import calls, files_of
from overnight.config import Settings
from overnight.guard.verdict import Decision
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import RunSpec
from overnight.warden.events import EventLog, HookRefused, read_events
from overnight.warden.hooks import HOOK_LIMITS, Hooks
from overnight.warden.witness import Witness
from overnight.wiring import guard_of

COMMANDS = {
    "everyday": "ls -l",
    "padding": "echo " + "a" * 1_000_000,
    "padding before": " " * 1_000_000 + "ls",
    "comment": "ls #" + "a" * 1_000_000,
    "parentheses": "(" * 3000 + "ls" + ")" * 3000,
    "unclosed parentheses": "(" * 3000,
    "substitutions": "$(" * 3000 + "ls" + ")" * 3000,
    "segments": ";".join(["ls"] * 20_000),
    "pipes": "|".join(["cat"] * 20_000),
    "NUL": "ls\0 -la",
    "surrogate": "ls \ud800",
    "surrogate in a word": "ls 'a\udfffb'",
}
CALL = json.dumps(
    {
        "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": "t", "cwd": "/",
        "tool_input": {"command": "ls"},
    }
).encode()  # fmt: skip
BODIES = {
    "nothing": b"",
    "truncated": CALL[:-1],
    "truncated in a text": CALL[: CALL.index(b'"ls"') + 2],
    "truncated after a key": CALL[: CALL.index(b"tool_input") + 11],
    "two": CALL + CALL,
    "a list": b"[" + CALL + b"]",
    "no UTF-8": CALL.replace(b"ls", b"\xff\xfe"),
    "NUL after it": CALL + b"\0",
    "nested": CALL.replace(b'"ls"', b"[" * 5000 + b"]" * 5000),
    "nested deeper": CALL.replace(b'"ls"', b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "another type": CALL.replace(b'"ls"', b"7"),
    "input is a text": CALL.replace(b'{"command": "ls"}', b'"ls"'),
    "no tool": CALL.replace(b'"Bash"', b'""'),
    "an endless number": CALL.replace(b'"ls"', b"1" * 10_000),
}


class Run:
    """One run's hooks, with all that is behind them."""

    def __init__(self, folder: Path) -> None:
        self.folder, tree = folder, folder / "tree"
        tree.mkdir()
        (folder / "home").mkdir()
        self.tree = str(tree)
        spec = RunSpec(
            id="t.1.1", task="t", worktree=self.tree, git_dir="/g", objects="/o", start="0" * 40, agent="claude",
            prompt="", limits=Limits(), box=BoxPolicy(),
        )  # fmt: skip
        self.log = EventLog(folder / "events.ndjson")
        self.audit = RunAudit(folder, spec, str)
        agent = ClaudeAgent(ClaudeSettings(), {})
        self.hooks = Hooks(agent, guard_of(spec, folder, Settings()), self.log.write, Witness(self.audit))

    def ask(self, *bodies: bytes) -> list[wire.Answer]:
        """The answers, one after another over one connection; the record is closed then."""

        async def story() -> list[wire.Answer]:
            async with wire.served(self.hooks.handle, HOOK_LIMITS) as (port, _), wire.client(port) as client:
                return [await client.ask("POST", "/hook", body) for body in bodies]

        try:
            return wire.run(story())
        finally:
            self.log.close()
            self.audit.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_hostile_command_is_denied(name: str, tmp_path: Path) -> None:
    """In the CLI's own words, with a reason, and so it stands in the audit; a plain command is let through."""
    run = Run(tmp_path)
    call = {
        "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": "t1", "cwd": run.tree,
        "tool_input": {"command": COMMANDS[name]},
    }  # fmt: skip
    (answer,) = run.ask(json.dumps(call).encode())
    said = json.loads(answer.body)["hookSpecificOutput"]
    wanted = "allow" if name == "everyday" else "deny"
    assert (answer.status, said["permissionDecision"], bool(said["permissionDecisionReason"])) == (200, wanted, True)
    (file,) = files_of(tmp_path, None)
    (recorded,) = calls(tmp_path, file)
    assert recorded.decision is Decision(wanted)
    assert len(recorded.input) < 10_000


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_no_way_through(name: str, tmp_path: Path) -> None:
    """A denial in so many words, or a refusal, which blocks the call; the next call is judged as ever."""
    run = Run(tmp_path)
    answer, after = run.ask(BODIES[name], CALL.replace(b'"cwd": "/"', f'"cwd": "{run.tree}"'.encode()))
    if answer.status == 200:
        assert json.loads(answer.body)["hookSpecificOutput"]["permissionDecision"] == "deny"
    else:
        assert answer.status == 400
        refused = [event for event in read_events(tmp_path / "events.ndjson") if isinstance(event, HookRefused)]
        assert len(refused) == 1
    assert json.loads(after.body)["hookSpecificOutput"]["permissionDecision"] == "allow"
