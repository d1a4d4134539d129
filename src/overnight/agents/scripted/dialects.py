"""The other vendors' APIs, written down as far as one question and one whole answer go; nothing is streamed.

OpenAI's chat completions and Responses API, and Gemini's generateContent. The vendors' own clients talk to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from overnight.agents.scripted.script import USAGE, Reply, Say


class Question(Struct, frozen=True):
    """What a request asks, in whatever dialect."""

    model: str
    text: str


class Dialect(Struct, frozen=True, kw_only=True):
    """One API."""

    #: Of the whole path.
    path: re.Pattern[str]
    #: (path, body) to what is asked. Raises msgspec.DecodeError for a request that the API would refuse.
    ask: Callable[[str, bytes], Question]
    #: (answer, name, model) to the body.
    reply: Callable[[Reply, str, str], dict[str, Any]]
    #: (status, type, message) to the body of an error.
    error: Callable[[int, str, str], dict[str, Any]]


def of(method: str, path: str) -> Dialect | None:
    """The dialect of a request; None for what is none of these."""
    return next((each for each in DIALECTS if method == "POST" and each.path.fullmatch(path)), None)


class _Message(Struct, frozen=True):
    role: str
    content: str


class _Chat(Struct, frozen=True):
    model: str
    messages: Annotated[list[_Message], Meta(min_length=1)]
    max_tokens: int | None = None


class _Responses(Struct, frozen=True):
    model: str
    input: str
    instructions: str = ""
    max_output_tokens: int | None = None


class _Part(Struct, frozen=True):
    text: str


class _Content(Struct, frozen=True):
    parts: Annotated[list[_Part], Meta(min_length=1)]
    role: str = "user"


class _Generate(Struct, frozen=True):
    contents: Annotated[list[_Content], Meta(min_length=1)]
    systemInstruction: _Content | None = None  # noqa: N815 (as it is sent)


def _ask_chat(_: str, body: bytes) -> Question:
    said = msgspec.json.decode(body, type=_Chat)
    return Question(said.model, "\n".join(each.content for each in said.messages if each.role == "user"))


def _ask_responses(_: str, body: bytes) -> Question:
    said = msgspec.json.decode(body, type=_Responses)
    return Question(said.model, said.input)


def _ask_gemini(path: str, body: bytes) -> Question:
    said = msgspec.json.decode(body, type=_Generate)
    text = "\n".join(part.text for content in said.contents for part in content.parts)
    return Question(path.rpartition("/")[2].partition(":")[0], text)


def _text(answer: Reply) -> str:
    return "".join(part.text for part in answer.parts if isinstance(part, Say))


def _used(answer: Reply) -> tuple[int, int, int]:
    """Tokens read in all, of these from a cache, written."""
    usage = USAGE | answer.usage
    cached = usage["cache_read_input_tokens"]
    return usage["input_tokens"] + usage["cache_creation_input_tokens"] + cached, cached, usage["output_tokens"]


def _reply_chat(answer: Reply, name: str, model: str) -> dict[str, Any]:
    read, cached, written = _used(answer)
    return {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": 1_795_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _text(answer), "refusal": None},
                "finish_reason": answer.stop or "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


def _reply_responses(answer: Reply, name: str, model: str) -> dict[str, Any]:
    read, cached, written = _used(answer)
    part: dict[str, Any] = {"type": "output_text", "text": _text(answer), "annotations": []}
    if answer.stop == "refusal":
        part = {"type": "refusal", "refusal": _text(answer)}
    cut = answer.stop is not None and answer.stop != "refusal"
    return {
        "id": f"resp_{name}",
        "object": "response",
        "created_at": 1_795_000_000,
        "model": model,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": answer.stop} if cut else None,
        "output": [
            {"id": f"msg_{name}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        },
    }


def _reply_gemini(answer: Reply, name: str, model: str) -> dict[str, Any]:
    read, cached, written = _used(answer)
    usage = {
        "promptTokenCount": read,
        "candidatesTokenCount": written,
        "totalTokenCount": read + written,
        "cachedContentTokenCount": cached,
    }
    base = {"usageMetadata": usage, "modelVersion": model, "responseId": name}
    if answer.stop == "BLOCKED":
        return {**base, "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    content = {"role": "model", "parts": [{"text": _text(answer)}]}
    return {**base, "candidates": [{"content": content, "finishReason": answer.stop or "STOP", "index": 0}]}


def _error_openai(_: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _error_gemini(status: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": kind}}


DIALECTS = (
    Dialect(path=re.compile(r".*/chat/completions"), ask=_ask_chat, reply=_reply_chat, error=_error_openai),
    Dialect(path=re.compile(r".*/responses"), ask=_ask_responses, reply=_reply_responses, error=_error_openai),
    Dialect(
        path=re.compile(r".*/models/[^/]+:generateContent"), ask=_ask_gemini, reply=_reply_gemini, error=_error_gemini
    ),
)
