"""Lines of Claude Code's output, as the house tells them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from overnight.agents.claude_stream import Stream
from overnight.missions.limits import Window
from overnight.ports import AgentEvent


def read(value: Any, stream: Stream | None = None) -> list[AgentEvent]:
    """The events of one line."""
    return list((stream or Stream()).read(msgspec.json.encode(value)))


def assistant(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A line of the model's."""
    message = {"id": "msg_1", "model": "m", "role": "assistant", "content": list(content)}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None} | more


WINDOW = {"status": "rejected", "resetsAt": 1795231849, "rateLimitType": "five_hour", "utilization": 1}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "Bash"}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1"}


def seen(status: str, used: float = 1.0) -> tuple[Window, ...]:
    """The window as the stream tells it."""
    return (Window(name="five-hour", used=used, resets=1795231849.0, status=status),)


LINES: list[tuple[dict[str, Any], AgentEvent]] = [
    (
        {"type": "system", "subtype": "init", "session_id": "s1", "model": "m", "claude_code_version": "2.1.329"},
        AgentEvent(kind="started", text="m, Claude Code 2.1.329", session="s1", model="m"),
    ),
    (assistant({"type": "text", "text": "Two\nlines."}), AgentEvent(kind="text", text="Two lines.", turn=True)),
    (assistant({"type": "thinking", "thinking": "Hm."}), AgentEvent(kind="thinking", text="Hm.", turn=True)),
    (
        assistant({**TOOL, "input": {"command": "ls\t-l", "description": "list"}}),
        AgentEvent(kind="tool", text="ls -l", tool="Bash", call="toolu_1", turn=True),
    ),
    (
        assistant({**TOOL, "name": "Odd", "input": {"n": 1}}),
        AgentEvent(kind="tool", text='{"n":1}', tool="Odd", call="toolu_1", turn=True),
    ),
    (
        {"type": "user", "message": {"content": [{**RESULT, "content": "out.txt", "is_error": False}]}},
        AgentEvent(kind="tool-result", text="out.txt", call="toolu_1"),
    ),
    (
        {
            "type": "user",
            "message": {"content": [{**RESULT, "content": [{"type": "text", "text": "no"}], "is_error": True}]},
        },
        AgentEvent(kind="tool-result", text="no", call="toolu_1", failed=True),
    ),
    (
        {
            "type": "system",
            "subtype": "api_retry",
            "attempt": 1,
            "max_retries": 10,
            "error_status": None,
            "error": "server_error",
        },
        AgentEvent(kind="retry", text="server_error (no status), retry 1 of 10", struck=True),
    ),
    (
        {
            "type": "system",
            "subtype": "compact_boundary",
            "compact_metadata": {"pre_tokens": 150601, "post_tokens": 2638},
        },
        AgentEvent(kind="compacted", text="context of 150601 tokens summed up in 2638"),
    ),
    (
        {"type": "rate_limit_event", "rate_limit_info": WINDOW},
        AgentEvent(kind="limit", text="five-hour window: rejected, 100% used", failed=True, windows=seen("rejected")),
    ),
    (
        {"type": "rate_limit_event", "rate_limit_info": WINDOW | {"status": "allowed_warning", "utilization": 0.92}},
        AgentEvent(
            kind="limit",
            text="five-hour window: allowed_warning, 92% used",
            windows=seen("allowed_warning", 0.92),
        ),
    ),
    (
        {"type": "rate_limit_event", "rate_limit_info": WINDOW | {"status": "allowed", "isUsingOverage": True}},
        AgentEvent(kind="limit", text="five-hour window: allowed, 100% used, billed extra", windows=seen("allowed")),
    ),
    (
        {
            "type": "system",
            "subtype": "hook_response",
            "hook_name": "PreToolUse:Bash",
            "outcome": "error",
            "stderr": "connect ECONNREFUSED",
        },
        AgentEvent(kind="hook", text="PreToolUse:Bash: error: connect ECONNREFUSED", failed=True),
    ),
    (
        {
            "type": "system",
            "subtype": "permission_denied",
            "tool_name": "WebFetch",
            "tool_use_id": "toolu_1",
            "message": "not granted",
        },
        AgentEvent(kind="hook", text="not granted", tool="WebFetch", call="toolu_1", failed=True),
    ),
    (
        {"type": "result", "subtype": "success", "is_error": False, "result": "Done.", "session_id": "s1"},
        AgentEvent(kind="result", text="Done.", session="s1"),
    ),
    (
        {"type": "result", "subtype": "error_max_turns", "is_error": True, "errors": ["too many"], "session_id": "s1"},
        AgentEvent(kind="result", text="too many", failed=True, session="s1"),
    ),
]


@pytest.mark.parametrize(("line", "event"), LINES, ids=[f"{n}-{e.kind}" for n, (_, e) in enumerate(LINES)])
def test_a_line_in_our_words(line: dict[str, Any], event: AgentEvent) -> None:
    """Each kind of line is one event."""
    assert read(line) == [event]


@pytest.mark.parametrize("line", [b"not json", b"[]", b"null", b'"x"', b'{"type":"news"}', b'{"type":1}', b"{\xff"])
def test_what_is_not_understood_is_noise(line: bytes) -> None:
    """Nor is it an error."""
    assert [event.kind for event in Stream().read(line)] == ["noise"]


@pytest.mark.parametrize("subtype", ["hook_started", "thinking_tokens", "status"])
def test_chatter_is_no_event(subtype: str) -> None:
    """Lines that say nothing new are passed over, as is a window with room."""
    assert read({"type": "system", "subtype": subtype}) == []
    assert read({"type": "rate_limit_event", "rate_limit_info": {"status": "allowed"}}) == []


def test_a_message_is_one_turn() -> None:
    """A message comes in a line per block; its first line counts. The next message counts again."""
    stream = Stream()
    text: dict[str, Any] = {"type": "text", "text": "a"}
    tool: dict[str, Any] = {**TOOL, "input": {}}
    lines = [assistant(text), assistant(tool), assistant(text)]
    lines[2]["message"]["id"] = "msg_2"
    assert [event.turn for line in lines for event in read(line, stream)] == [True, False, True]


def test_turns_of_others_do_not_count() -> None:
    """Neither a subagent's message nor the CLI's own words about a failed request."""
    text = {"type": "text", "text": "a"}
    synthetic = assistant(text)
    synthetic["message"]["model"] = "<synthetic>"
    for line in (assistant(text, parent_tool_use_id="toolu_9"), synthetic):
        assert [event.turn for event in read(line)] == [False]


def test_terminal_escapes_do_not_pass() -> None:
    """What a tool printed can't move the person's cursor, hide text or turn it around."""
    nasty = "\x1b[2Ja\x1b]0;title\x07b\x00c\u202ed\u200be\x9bf\r\ng"
    (event,) = read({"type": "user", "message": {"content": [{**RESULT, "content": nasty}]}})
    assert event.text == "abcdef g"


def test_a_flood_is_cut() -> None:
    """A text of any length becomes one short line that shows its cut."""
    (event,) = read(assistant({"type": "text", "text": "word " * 100_000}))
    assert len(event.text) == 300
    assert event.text.endswith("…")
