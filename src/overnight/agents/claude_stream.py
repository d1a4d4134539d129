"""Claude Code's `stream-json` output, line by line, in the house's words."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from overnight.agents import loose
from overnight.agents.words import one_line
from overnight.missions.limits import Window
from overnight.ports import AgentEvent

_NOISE = AgentEvent(kind="noise")
#: The field of a tool's input that says the most, for the tools that have one.
_TELLING = ("command", "file_path", "pattern", "url", "path", "query", "description")
#: Understood, and nothing that anybody would want to know.
_IDLE = frozenset({"hook_started", "thinking_tokens", "status", "session_state_changed"})


class Stream:
    """Reads lines. Remembers the ids of the last messages, since each comes in a line per block."""

    def __init__(self) -> None:
        self._messages: deque[str] = deque(maxlen=64)

    def read(self, line: bytes) -> Sequence[AgentEvent]:
        """Events of one line; empty for lines that say nothing new, `noise` for those not understood."""
        value = loose.line(line)
        match loose.text(value, "type"):
            case "assistant":
                return self._assistant(value)
            case "user":
                return _user(value)
            case "system":
                return _system(value)
            case "result":
                return (_result(value),)
            case "rate_limit_event":
                return _limit(value)
            case _:
                return (_NOISE,) if line.strip() else ()

    def _assistant(self, value: dict[str, Any]) -> Sequence[AgentEvent]:
        message = loose.child(value, "message")
        found = loose.text(message, "id")
        # The CLI's own words about a failed request are no turn, and a subagent's turns are not this session's.
        own = loose.text(message, "model") != "<synthetic>" and not loose.text(value, "parent_tool_use_id")
        new = found not in self._messages
        turn = own and new
        self._messages.append(found)
        events = [event for block in loose.children(message, "content") if (event := _block(block))]
        tokens = _tokens(loose.child(message, "usage")) if new else 0
        if not events:
            return (AgentEvent(kind="noise", turn=turn, tokens=tokens),)
        return (msgspec.structs.replace(events[0], turn=turn, tokens=tokens), *events[1:])


def _tokens(usage: dict[str, Any]) -> int:
    """What a turn took. The output is not whole yet when its message begins."""
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    return sum(loose.whole(usage, name) or 0 for name in names)


def _block(block: dict[str, Any]) -> AgentEvent | None:
    match loose.text(block, "type"):
        case "text":
            return AgentEvent(kind="text", text=one_line(loose.text(block, "text")))
        case "thinking":
            return AgentEvent(kind="thinking", text=one_line(loose.text(block, "thinking")))
        case "tool_use":
            tool = one_line(loose.text(block, "name"))
            text = _summary(loose.child(block, "input"))
            return AgentEvent(kind="tool", text=text, tool=tool, call=one_line(loose.text(block, "id")))
        case _:
            return None


def _summary(given: dict[str, Any]) -> str:
    """A tool's input in one line."""
    for key in _TELLING:
        if found := loose.text(given, key):
            return one_line(found)
    return one_line(msgspec.json.encode(given).decode())


def _user(value: dict[str, Any]) -> Sequence[AgentEvent]:
    """Tool results; what a person or a hook said to the model is no event."""
    blocks = loose.children(loose.child(value, "message"), "content")
    return [
        AgentEvent(
            kind="tool-result",
            text=one_line(_content(block)),
            call=one_line(loose.text(block, "tool_use_id")),
            failed=block.get("is_error") is True,
            refused=_refused(value, block),
        )
        for block in blocks
        if loose.text(block, "type") == "tool_result"
    ]


def _refused(value: dict[str, Any], block: dict[str, Any]) -> bool:
    """Whether the CLI says that this call never ran: a hook, a rule or its mode was against it, it has no such tool, or
    the input is not what the tool takes. Every call that does run comes with a permission that was granted."""
    call = loose.text(block, "tool_use_id")
    for told in loose.children(value, "tool_result_meta"):
        if loose.text(told, "id") == call:
            return loose.text(loose.child(told, "permission_decision"), "decision") == "reject"
    return block.get("is_error") is True and loose.text(block, "content").startswith("<tool_use_error>")


def _content(block: dict[str, Any]) -> str:
    return loose.text(block, "content") or " ".join(loose.text(b, "text") for b in loose.children(block, "content"))


def _init(value: dict[str, Any]) -> AgentEvent:
    model, version = (loose.text(value, key) for key in ("model", "claude_code_version"))
    text = one_line(f"{model}, Claude Code {version}".removesuffix(", Claude Code "))
    return AgentEvent(
        kind="started", text=text, session=one_line(loose.text(value, "session_id")), model=one_line(model)
    )


def _retry(value: dict[str, Any]) -> AgentEvent:
    status = loose.whole(value, "error_status")
    attempt, most = loose.whole(value, "attempt"), loose.whole(value, "max_retries")
    error = loose.text(value, "error") or "no answer"
    text = one_line(f"{error} ({status or 'no status'}), retry {attempt} of {most}")
    return AgentEvent(kind="retry", text=text, struck=status is None or status >= 500)


def _compacted(value: dict[str, Any]) -> AgentEvent:
    facts = loose.child(value, "compact_metadata")
    before, after = loose.whole(facts, "pre_tokens"), loose.whole(facts, "post_tokens")
    return AgentEvent(kind="compacted", text=f"context of {before} tokens summed up in {after}")


def _hook(value: dict[str, Any]) -> AgentEvent:
    outcome = loose.text(value, "outcome")
    failed = outcome != "success"
    words = f"{loose.text(value, 'hook_name')}: {outcome}"
    said = loose.text(value, "stderr") or loose.text(value, "output")
    return AgentEvent(kind="hook", text=one_line(f"{words}: {said}" if failed and said else words), failed=failed)


def _denied(value: dict[str, Any]) -> AgentEvent:
    text, tool, call = (one_line(loose.text(value, key)) for key in ("message", "tool_name", "tool_use_id"))
    return AgentEvent(kind="hook", text=text, tool=tool, call=call, failed=True)


_SYSTEM: dict[str, Callable[[dict[str, Any]], AgentEvent]] = {
    "init": _init,
    "api_retry": _retry,
    "compact_boundary": _compacted,
    "hook_response": _hook,
    "permission_denied": _denied,
}


def _system(value: dict[str, Any]) -> Sequence[AgentEvent]:
    subtype = loose.text(value, "subtype")
    if subtype in _IDLE:
        return ()
    make = _SYSTEM.get(subtype)
    return (make(value),) if make else (_NOISE,)


def _limit(value: dict[str, Any]) -> Sequence[AgentEvent]:
    """A subscription's windows: rejected, near their end, or past it and billed. What has room is told to nobody."""
    info = loose.child(value, "rate_limit_info")
    status, window = loose.text(info, "status"), _window_name(loose.text(info, "rateLimitType"))
    billed, windows = info.get("isUsingOverage") is True, _windows(info)
    if status == "allowed" and not billed:
        return (AgentEvent(kind="noise", windows=windows),) if windows else ()
    used = loose.number(info, "utilization")
    words = (f"{window} window: {status}", f"{used:.0%} used" if used is not None else "", billed and "billed extra")
    text = ", ".join(word for word in words if word)
    return (AgentEvent(kind="limit", text=one_line(text), failed=status == "rejected", windows=windows),)


def _windows(info: dict[str, Any]) -> tuple[Window, ...]:
    """Every window that is named; the one that the event is about may be none of the list."""
    named = loose.child(info, "unifiedWindows")
    found = {name: _window(name, loose.child(named, name)) for name in named}
    about = loose.text(info, "rateLimitType")
    if about and about not in found:
        found[about] = _window(about, info)
    return tuple(window for window in found.values() if window.subscribed)


def _window(name: str, said: dict[str, Any]) -> Window:
    return Window(
        name=_window_name(name),
        used=loose.number(said, "utilization"),
        resets=loose.number(said, "resetsAt"),
        status=one_line(loose.text(said, "status"), 40),
    )


def _window_name(name: str) -> str:
    return one_line(name.replace("_", "-"), 60)


def _result(value: dict[str, Any]) -> AgentEvent:
    failed = value.get("is_error") is not False
    text = loose.text(value, "result") or "; ".join(loose.texts(value, "errors")) or loose.text(value, "subtype")
    return AgentEvent(kind="result", text=one_line(text), failed=failed, session=loose.text(value, "session_id")[:64])
