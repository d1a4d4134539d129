"""Gemini CLI's chats: `tmp/PROJECT/chats/session-*.jsonl`. A message that is written again has the same id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from overnight.usage.entries import FOUND, Billing, Owner, entries_of, milliseconds, unsaid
from overnight.usage.lines import marked
from overnight.usage.records import Reading, Seen
from overnight.usage.tokens import of_gemini

VENDOR = "google"
#: As the chat calls it -> as the API does.
_NAMES = {
    "input": "promptTokenCount", "output": "candidatesTokenCount", "cached": "cachedContentTokenCount",
    "thoughts": "thoughtsTokenCount", "tool": "toolUsePromptTokenCount",
}  # fmt: skip


def read(block: bytes, reading: Reading) -> Seen:
    """What a block of whole lines says. The session is named by the file's first line."""
    seen = Seen()
    for line in marked(block, b'"sessionId"'):
        value = _object(line)
        if isinstance(found := value.get("sessionId"), str) and not reading.state:
            reading.state = found.encode()
    session = reading.state.decode(errors="replace") or reading.stem
    seen.sessions.add(session)
    for line in marked(block, b'"tokens"'):
        for message in _messages(_object(line)):
            _take(message, session, seen)
    return seen


def _messages(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A message by itself, or those that a line puts in the place of what was there."""
    put = value.get("$set")
    listed: Any = cast("dict[str, Any]", put).get("messages") if isinstance(put, dict) else None
    for each in cast("list[Any]", listed) if isinstance(listed, list) else [value]:
        if isinstance(each, dict):
            yield cast("dict[str, Any]", each)


def _take(message: dict[str, Any], session: str, seen: Seen) -> None:
    tokens, name, model = message.get("tokens"), message.get("id"), message.get("model")
    if message.get("type") != "gemini" or not isinstance(tokens, dict) or not isinstance(name, str):
        return
    told, at = cast("dict[str, Any]", tokens), message.get("timestamp")
    used = of_gemini({_NAMES[key]: value for key, value in told.items() if key in _NAMES})
    owner = Owner(FOUND, milliseconds(at if isinstance(at, str) else None), session)
    billing = Billing(VENDOR, model if isinstance(model, str) else "", "", "", "")
    if used is None:
        seen.answers.append(unsaid(f"gemini {name}", owner, billing))
    else:
        seen.answers += entries_of(f"gemini {name}", owner, billing, used)


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(line.strip(b"\0 \r"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
