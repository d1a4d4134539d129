"""What vendors say an answer used, in one form: each vendor's own shape is read here and nowhere else.

A field that is missing, null or of another type counts as absent. Where even what was read or written is absent,
nothing is known: the answer is None, which is not zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from overnight.missions.tokens import Tokens

__all__ = [
    "Aside",
    "Used",
    "of_anthropic",
    "of_anthropic_text",
    "of_chat",
    "of_cli",
    "of_codex",
    "of_gemini",
    "of_responses",
    "updated",
]

#: A number beyond this is no count of tokens.
_MOST = 10**12
#: An Anthropic answer's parts that its own totals do not hold. They are billed all the same.
_ASIDES = ("advisor_message", "compaction")
_SUMMED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")

Raw = Mapping[str, Any]

_Count = Annotated[int, Meta(ge=0, le=_MOST)]


class _Details(Struct, gc=False):
    thinking_tokens: _Count | None = None


class _Placed(Struct, gc=False):
    ephemeral_1h_input_tokens: _Count | None = None


class _Tools(Struct, gc=False):
    web_search_requests: _Count | None = None


class _Plain(Struct, gc=False):
    """An Anthropic answer's `usage` as it always is; what differs is read with more patience."""

    input_tokens: _Count
    output_tokens: _Count
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    output_tokens_details: _Details | None = None
    cache_creation: _Placed | None = None
    server_tool_use: _Tools | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    iterations: list[msgspec.Raw] | None = None


_PLAIN = msgspec.json.Decoder(_Plain)


class Aside(Struct, frozen=True, kw_only=True):
    """A second model that worked for the same answer, billed beside it."""

    #: `advisor_message` or `compaction`.
    kind: str
    #: Empty: the answer's own.
    model: str
    tokens: Tokens


class Used(Struct, frozen=True, kw_only=True):
    """What one answer used, and what else its price depends on. Texts are empty where the vendor says nothing."""

    tokens: Tokens
    #: The vendor's service tier: `standard`, `batch`, `flex`, `priority` ...
    tier: str = ""
    #: `standard` or `fast`.
    speed: str = ""
    #: Where it was computed: `us` costs more.
    geo: str = ""
    #: The requests that it was made of, where there were several; they add up to `tokens`. Each is a long prompt or
    #: not by itself.
    steps: tuple[Tokens, ...] = ()
    asides: tuple[Aside, ...] = ()


def of_anthropic(usage: Raw) -> Used | None:
    """`usage` of the Messages API: an answer's, a `message_delta`'s, or a transcript row's."""
    tokens = _anthropic(usage)
    if tokens is None:
        return None
    parts = _list(usage, "iterations")
    asides = tuple(
        Aside(kind=_text(part, "type"), model=_text(part, "model"), tokens=found)
        for part in parts
        if _text(part, "type") in _ASIDES and (found := _anthropic(part)) is not None
    )
    return Used(
        tokens=tokens,
        tier=_text(usage, "service_tier"),
        speed=_text(usage, "speed"),
        geo=_text(usage, "inference_geo"),
        steps=_steps(tokens, [part for part in parts if _text(part, "type") == "message"]),
        asides=asides,
    )


def of_anthropic_text(text: bytes) -> Used | None:
    """The same of a `usage` that is still JSON, many times faster for what is as it always is.

    Raises msgspec.DecodeError and UnicodeDecodeError for what is no JSON.
    """
    try:
        usage = _PLAIN.decode(text)
    except msgspec.ValidationError:
        return of_anthropic(msgspec.json.decode(text))
    if usage.iterations:
        return of_anthropic(msgspec.json.decode(text))
    details, placed, tools = usage.output_tokens_details, usage.cache_creation, usage.server_tool_use
    put = usage.cache_creation_input_tokens or 0
    tokens = Tokens(
        input=usage.input_tokens,
        output=usage.output_tokens,
        thinking=min(details.thinking_tokens or 0, usage.output_tokens) if details else 0,
        cache_read=usage.cache_read_input_tokens or 0,
        cache_write=put,
        cache_write_1h=min(placed.ephemeral_1h_input_tokens or 0, put) if placed else 0,
        web_searches=(tools.web_search_requests or 0) if tools else 0,
    )
    return Used(tokens=tokens, tier=usage.service_tier or "", speed=usage.speed or "", geo=usage.inference_geo or "")


def updated(start: Raw, delta: Raw) -> dict[str, Any]:
    """The usage of a `message_start` with what a later `message_delta` says: its numbers are totals, not additions."""
    said = {key: value for key, value in delta.items() if value is not None}
    # A delta may repeat what was read as 0; what the start said stands then.
    read = [key for key in _SUMMED if key != "output_tokens" and not said.get(key)]
    return {**start, **{key: value for key, value in said.items() if key not in read}}


def of_responses(usage: Raw) -> Used | None:
    """`usage` of the OpenAI Responses API."""
    read, written = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    return _openai(read, written, _child(usage, "input_tokens_details"), _child(usage, "output_tokens_details"))


def of_chat(usage: Raw) -> Used | None:
    """`usage` of chat completions, as OpenAI and those who speak like it report it."""
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return _openai(read, written, _child(usage, "prompt_tokens_details"), _child(usage, "completion_tokens_details"))


def of_codex(usage: Raw) -> Used | None:
    """`total_token_usage` or `last_token_usage` of a Codex session, or `usage` of its `turn.completed`."""
    read, written = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    cached = {
        "cached_tokens": usage.get("cached_input_tokens"),
        "cache_write_tokens": usage.get("cache_write_input_tokens"),
    }
    return _openai(read, written, cached, {"reasoning_tokens": usage.get("reasoning_output_tokens")})


def of_gemini(usage: Raw) -> Used | None:
    """`usageMetadata` of the Gemini API. It counts thinking beside the answer, and cached tokens within the prompt."""
    prompt = _count(usage, "promptTokenCount")
    if prompt is None:
        return None
    cached = min(_count(usage, "cachedContentTokenCount") or 0, prompt)
    thinking = _count(usage, "thoughtsTokenCount") or 0
    written = _count(usage, "candidatesTokenCount") or 0
    read = prompt - cached + (_count(usage, "toolUsePromptTokenCount") or 0)
    tokens = Tokens(input=read, output=written + thinking, thinking=thinking, cache_read=cached)
    return Used(tokens=tokens, tier=_text(usage, "serviceTier").lower())


def of_cli(use: Raw) -> Tokens | None:
    """One model's entry in `modelUsage` of a Claude Code result or of a transcript's `cost-state`."""
    read, written = _count(use, "inputTokens"), _count(use, "outputTokens")
    if read is None or written is None:
        return None
    put = _count(use, "cacheCreationInputTokens") or 0
    return Tokens(
        input=read,
        output=written,
        thinking=min(_count(use, "thinkingTokens") or 0, written),
        cache_read=_count(use, "cacheReadInputTokens") or 0,
        cache_write=put,
        cache_write_1h=min(_count(use, "cacheCreationEphemeral1hInputTokens") or 0, put),
        web_searches=_count(use, "webSearchRequests") or 0,
    )


def _anthropic(usage: Raw) -> Tokens | None:
    read, written = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    if read is None or written is None:
        return None
    put = _count(usage, "cache_creation_input_tokens") or 0
    return Tokens(
        input=read,
        output=written,
        thinking=min(_count(_child(usage, "output_tokens_details"), "thinking_tokens") or 0, written),
        cache_read=_count(usage, "cache_read_input_tokens") or 0,
        cache_write=put,
        # The breakdown may be missing or all zeros: what it does not place stays for 5 minutes.
        cache_write_1h=min(_count(_child(usage, "cache_creation"), "ephemeral_1h_input_tokens") or 0, put),
        web_searches=_count(_child(usage, "server_tool_use"), "web_search_requests") or 0,
    )


def _steps(whole: Tokens, parts: list[Raw]) -> tuple[Tokens, ...]:
    """The steps of an answer, where each of them is known and they account for all of it."""
    found = [step for part in parts if (step := _anthropic(part)) is not None]
    summed = sum(found, Tokens())
    same = (summed.input, summed.output, summed.cache_read, summed.cache_write) == (
        whole.input, whole.output, whole.cache_read, whole.cache_write,
    )  # fmt: skip
    if len(found) < 2 or len(found) != len(parts) or not same:
        return ()
    # Searches, thinking and what the steps do not say of a cache's lifetime are known for the whole only.
    left, placed = max(0, whole.cache_write_1h - summed.cache_write_1h), list[Tokens]()
    for step in found:
        more = min(left, step.cache_write - step.cache_write_1h)
        placed.append(replace(step, cache_write_1h=step.cache_write_1h + more, web_searches=0, thinking=0))
        left -= more
    return tuple(placed)


def _openai(read: int | None, written: int | None, of_read: Raw, of_written: Raw) -> Used | None:
    """What was read holds what came from a cache and went into one."""
    if read is None or written is None:
        return None
    cached = min(_count(of_read, "cached_tokens") or 0, read)
    put = min(_count(of_read, "cache_write_tokens") or 0, read - cached)
    thinking = min(_count(of_written, "reasoning_tokens") or 0, written)
    tokens = Tokens(input=read - cached - put, output=written, thinking=thinking, cache_read=cached, cache_write=put)
    return Used(tokens=tokens)


def _count(value: Raw, key: str) -> int | None:
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= _MOST else None


def _text(value: Raw, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _child(value: Raw, key: str) -> Raw:
    found = value.get(key)
    return cast("Raw", found) if isinstance(found, dict) else {}


def _list(value: Raw, key: str) -> list[Raw]:
    found = value.get(key)
    items = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("Raw", item) for item in items if isinstance(item, dict)]
