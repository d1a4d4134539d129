"""The agent's hooks: on record before they are answered, and closed in every doubt."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import wire

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.warden.events import Asked, Decided, Done, Event, EventLog, Heard, HookRefused, read_events
from overnight.warden.hooks import HOOK_LIMITS, MOST_DENIED, Hooks, gist, shown

CALL = {
    "hook_event_name": "PreToolUse",
    "tool_name": "Bash",
    "tool_use_id": "toolu_1",
    "tool_input": {"command": "ls -l", "description": "look"},
    "cwd": "/w",
}
YES = Verdict(decision=Decision.ALLOW, rule="reads", reason="it reads only")
NO = Verdict(decision=Decision.DENY, rule="path.outside", reason="it is outside", words=("/etc",))


def agent() -> ClaudeAgent:
    return ClaudeAgent(ClaudeSettings(), {})


def ask(
    hooks: Hooks, *bodies: bytes | Mapping[str, Any], path: str = "/hook", method: str = "POST"
) -> list[wire.Answer]:
    """What the hooks answer, over a connection."""

    async def story() -> list[wire.Answer]:
        async with wire.served(hooks.handle, HOOK_LIMITS) as (port, _), wire.client(port) as client:
            raw = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
            return [await client.ask(method, path, body) for body in raw]

    return wire.run(story())


def decision(answer: wire.Answer) -> tuple[str, str]:
    """What the CLI reads in an answer."""
    said = json.loads(answer.body)["hookSpecificOutput"]
    return said["permissionDecision"], said["permissionDecisionReason"]


def judge(verdict: Verdict) -> Callable[[Call], Verdict]:
    return lambda _call: verdict


@pytest.mark.parametrize(("verdict", "word"), [(YES, "allow"), (NO, "deny")])
def test_a_call_gets_the_guards_verdict(verdict: Verdict, word: str) -> None:
    """The answer is the verdict in the agent's words; question and verdict are on record."""
    log = wire.Log()
    hooks = Hooks(agent(), judge(verdict), log)
    (answer,) = ask(hooks, CALL)
    assert (answer.status, decision(answer)) == (200, (word, verdict.reason))
    digest = hashlib.sha256(b'{"command":"ls -l","description":"look"}').hexdigest()
    assert log.events == [
        Asked(call="toolu_1", tool="Bash", input="ls -l", digest=digest),
        Decided(call="toolu_1", tool="Bash", decision=verdict.decision, rule=verdict.rule, reason=verdict.reason,
                words=verdict.words),
    ]  # fmt: skip
    assert hooks.calls == 1
    assert hooks.denied == ([] if verdict is YES else [("Bash", "ls -l", "it is outside")])


def test_a_call_is_on_disk_before_it_is_decided(tmp_path: Path) -> None:
    """When the guard is asked, the question is in the file; when it is answered, so is the verdict."""
    log = EventLog(tmp_path / "events.ndjson")
    seen: list[list[type[Event]]] = []

    def look() -> list[type[Event]]:
        return [type(event) for event in read_events(tmp_path / "events.ndjson")]

    def decide(_call: Call) -> Verdict:
        seen.append(look())
        return YES

    ask(Hooks(agent(), decide, log.write), CALL)
    seen.append(look())
    log.close()
    assert seen == [[Asked], [Asked, Decided]]


def test_a_guard_that_fails_denies() -> None:
    """An error in the guard is a denial with its reason, on record."""

    def decide(_call: Call) -> Verdict:
        raise KeyError("a bug")

    log = wire.Log()
    hooks = Hooks(agent(), decide, log)
    (answer,) = ask(hooks, CALL)
    assert decision(answer) == ("deny", "the guard failed: KeyError: 'a bug'")
    decided = log.events[1]
    assert isinstance(decided, Decided)
    assert (decided.decision, decided.rule, len(hooks.denied)) == (Decision.DENY, "guard.failed", 1)


def test_what_can_not_be_recorded_is_denied() -> None:
    """Without a record there is no verdict: a full disk lets nothing through, and the guard is not even asked."""

    def record(_event: Event) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    asked: list[Call] = []

    def decide(call: Call) -> Verdict:
        asked.append(call)
        return YES

    hooks = Hooks(agent(), decide, record)
    call, told, nonsense = ask(hooks, CALL, {"hook_event_name": "Stop"}, b"{")
    word, reason = decision(call)
    assert (word, "no space left" in reason, asked) == ("deny", True, [])
    assert (told.status, nonsense.status, len(hooks.denied)) == (400, 400, 1)


def test_a_verdict_that_can_not_be_recorded_is_denied() -> None:
    """Also when the record fails only after the guard said yes."""

    def record(event: Event) -> None:
        if isinstance(event, Decided):
            raise OSError(errno.ENOSPC, "no space left")

    (answer,) = ask(Hooks(agent(), judge(YES), record), CALL)
    assert decision(answer)[0] == "deny"


class Broken(ClaudeAgent):
    """An agent whose words can't be understood."""

    def hook(self, event: Mapping[str, Any]) -> Call | None:
        raise TypeError("a bug")


class Mute(Broken):
    """Nor has it an answer."""

    def answer(self, event: Mapping[str, Any], verdict: Verdict) -> Mapping[str, Any]:
        raise TypeError("another bug")


def test_an_agent_that_fails_denies() -> None:
    """A call that the agent's own adapter does not understand is refused with 400: the CLI blocks it."""
    for broken in (Broken(ClaudeSettings(), {}), Mute(ClaudeSettings(), {})):
        log = wire.Log()
        hooks = Hooks(broken, judge(YES), log)
        (answer,) = ask(hooks, CALL)
        assert (answer.status, isinstance(log.events[-1], HookRefused)) == (400, True)
        assert len(hooks.denied) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"PreToolUse"',
        b'{"tool_name":"Bash"}',
        b'{"hook_event_name":1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"hook_event_name":"PreToolUse","x":' + b"9" * 5000 + b"}",
    ],
    ids=["empty", "torn", "list", "null", "text", "no-name", "odd-name", "not-utf8", "deep", "huge-number"],
)
def test_what_is_no_hook_is_refused(body: bytes) -> None:
    """400, which the CLI takes for a denial; on record, and nothing is decided."""
    log = wire.Log()
    hooks = Hooks(agent(), judge(YES), log)
    (answer,) = ask(hooks, body)
    assert (answer.status, [type(event) for event in log.events], hooks.calls) == (400, [HookRefused], 0)


def test_other_paths_and_methods_are_refused() -> None:
    """Hooks are posted to one path."""
    log = wire.Log()
    hooks = Hooks(agent(), judge(YES), log)
    assert [ask(hooks, CALL, path="/")[0].status, ask(hooks, b"", method="GET")[0].status] == [400, 400]
    assert ask(hooks, CALL, method="PUT")[0].status == 400
    assert all(isinstance(event, HookRefused) for event in log.events)


def test_a_hook_that_is_too_large_is_refused() -> None:
    """413 is no answer that allows: the CLI blocks the call."""
    hooks = Hooks(agent(), judge(YES), wire.Log())
    (answer,) = ask(hooks, b" " * (HOOK_LIMITS.body + 1))
    assert (answer.status, hooks.calls) == (413, 0)


@pytest.mark.parametrize("missing", ["tool_name", "tool_use_id"])
def test_a_call_without_name_or_id_is_denied(missing: str) -> None:
    """What can't be told apart or judged is denied without asking the guard."""
    log = wire.Log()
    (answer,) = ask(Hooks(agent(), judge(YES), log), {key: part for key, part in CALL.items() if key != missing})
    assert decision(answer)[0] == "deny"
    assert isinstance(log.events[1], Decided)
    assert log.events[1].rule == "hook.malformed"


def test_an_event_that_is_not_known_is_a_call() -> None:
    """A later CLI's new hook does not slip through as something that only tells."""
    log = wire.Log()
    (answer,) = ask(Hooks(agent(), judge(NO), log), {**CALL, "hook_event_name": "PreNewThing"})
    assert decision(answer)[0] == "deny"


def test_an_id_that_comes_twice_is_marked() -> None:
    """A repeated id is decided anew, and the record says that it is a repetition."""
    log = wire.Log()
    hooks = Hooks(agent(), judge(YES), log)
    ask(hooks, CALL, CALL, {**CALL, "tool_use_id": "toolu_2"})
    asked = [event for event in log.events if isinstance(event, Asked)]
    assert ([(event.call, event.again) for event in asked], hooks.calls) == (
        [("toolu_1", False), ("toolu_1", True), ("toolu_2", False)],
        3,
    )


def test_what_happened_to_a_call_is_recorded() -> None:
    """The hooks that tell are on record and answered with nothing."""
    log = wire.Log()
    told = {"tool_name": "Bash", "tool_use_id": "toolu_1", "duration_ms": 28}
    answers = ask(
        Hooks(agent(), judge(YES), log),
        {**told, "hook_event_name": "PostToolUse", "tool_response": {"stdout": "x"}},
        {**told, "hook_event_name": "PostToolUseFailure", "error": "Exit code 3"},
        {"hook_event_name": "Stop", "last_assistant_message": "Finished."},
    )
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"{}")] * 3
    assert log.events == [
        Done(call="toolu_1", tool="Bash", ms=28.0),
        Done(call="toolu_1", tool="Bash", failed=True, error="Exit code 3", ms=28.0),
        Heard(name="Stop"),
    ]


def test_odd_characters_do_not_break_the_answer(tmp_path: Path) -> None:
    """Halves of characters in a call are judged, recorded and answered."""
    log = EventLog(tmp_path / "events.ndjson")
    said = Verdict(decision=Decision.DENY, rule="r", reason="no \ud800 and \x1b", words=("\udfff",))
    (answer,) = ask(Hooks(agent(), judge(said), log.write), {**CALL, "tool_input": {"command": "echo \ud800"}})
    log.close()
    assert decision(answer)[0] == "deny"
    asked, decided = read_events(tmp_path / "events.ndjson")
    assert isinstance(asked, Asked)
    assert asked.input == "echo \N{REPLACEMENT CHARACTER}"
    assert isinstance(decided, Decided)


def test_an_input_is_shown_whole() -> None:
    """A text that stands for all of the input is shown as it is; anything more is JSON, so nothing hides."""
    assert shown({"command": "ls", "description": "d"}) == "ls"
    assert shown({"file_path": "/a"}) == "/a"
    assert json.loads(shown({"file_path": "/a", "content": "b"})) == {"file_path": "/a", "content": "b"}
    assert shown({"command": ["ls"]}) == '{"command": ["ls"]}'


def test_a_flood_of_refused_calls_does_not_fill_the_memory() -> None:
    """The outcome lists so many refused calls and says that there were more; every one is counted."""
    hooks = Hooks(agent(), judge(NO), wire.Log())
    ask(hooks, *({**CALL, "tool_use_id": f"toolu_{n}"} for n in range(MOST_DENIED + 3)))
    assert hooks.calls == MOST_DENIED + 3
    assert len(hooks.denied) == MOST_DENIED + 1
    assert hooks.denied[-1][1] == "more calls"


def test_a_call_is_named_by_what_it_is_about() -> None:
    """In lists a command or path stands for the call, however much else its input holds."""
    assert gist({"content": "b", "file_path": "/a"}) == "/a"
    assert gist({"content": "b"}) == '{"content": "b"}'
