"""The Anthropic Messages API, written down: answers whole and as server-sent events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from overnight.agents.scripted.script import USAGE, Reply, Say, Step, Think, Use

#: The API's error type for a status.
ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Message(Struct, frozen=True):
    """One message of a request."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]

    @property
    def text(self) -> str:
        """The text of all of its blocks."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(str(block.get("text", "")) for block in self.content)


class Ask(Struct, frozen=True):
    """What a request for an answer must hold; the rest of it is not looked at."""

    model: str
    max_tokens: int
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool = False


def reply(step: Step) -> Reply:
    """A step that answers, as a reply of parts."""
    if isinstance(step, Reply):
        return step
    assert isinstance(step, Say | Use)
    return Reply((step,))


def error(kind: str, message: str) -> bytes:
    """An error's body."""
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})


def content(answer: Reply, name: str) -> list[dict[str, Any]]:
    """The content blocks. name makes the ids of tool calls."""
    blocks: list[dict[str, Any]] = []
    for n, part in enumerate(answer.parts):
        match part:
            case Say(text):
                blocks.append({"type": "text", "text": text})
            case Think(text):
                blocks.append({"type": "thinking", "thinking": text, "signature": "c2NyaXB0ZWQ="})
            case Use(tool, given):
                blocks.append({"type": "tool_use", "id": f"toolu_{name}{n:02d}", "name": tool, "input": given})
    return blocks


def message(answer: Reply, name: str, model: str) -> dict[str, Any]:
    """The whole message, as a request without `stream` gets it."""
    calls = any(isinstance(part, Use) for part in answer.parts)
    return {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content(answer, name),
        "stop_reason": answer.stop or ("tool_use" if calls else "end_turn"),
        "stop_sequence": None,
        "usage": USAGE | answer.usage,
    }


def event(kind: str, **fields: Any) -> bytes:
    """One server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))


def opening(whole: dict[str, Any]) -> bytes:
    """The first event: the message without its content."""
    empty: dict[str, Any] = whole | {"content": [], "stop_reason": None, "usage": whole["usage"] | {"output_tokens": 1}}
    return event("message_start", message=empty)


def _deltas(block: dict[str, Any]) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """A block as it starts, and the deltas that fill it."""
    match block["type"]:
        case "text":
            pieces = re.findall(r"\s*\S+\s*", block["text"]) or [block["text"]]
            return block | {"text": ""}, ({"type": "text_delta", "text": piece} for piece in pieces)
        case "thinking":
            filled = (
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            )
            return block | {"thinking": "", "signature": ""}, iter(filled)
        case _:
            given = msgspec.json.encode(block["input"]).decode()
            half = len(given) // 2
            pieces = ("", given[:half], given[half:])
            return block | {"input": {}}, ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)


def closing(whole: dict[str, Any]) -> Iterator[bytes]:
    """Every event after the first."""
    yield event("ping")
    for index, block in enumerate(whole["content"]):
        start, deltas = _deltas(block)
        yield event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=delta, usage=whole["usage"])
    yield event("message_stop")
