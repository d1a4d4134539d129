"""Tool calls and model calls of one run, from its record, line by line: however long it is, little of it is held."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from overnight.telemetry.values import Measured, Span, Value, span_id
from overnight.telemetry.words import Words, provider_of

#: Calls that may be open at once; of more the oldest are taken for unfinished.
MOST_OPEN = 2000


class Around(Struct, frozen=True, kw_only=True):
    """The run that calls are of."""

    trace: str
    #: Its span.
    span: str
    run: str
    repo: str
    agent: str
    model: str
    #: Epoch seconds: what is still open then ends with it.
    ended: float


class Calls:
    """Reads one record once."""

    def __init__(self, around: Around, words: Words) -> None:
        self._around, self._words = around, words
        self._asked: dict[str, dict[str, Any]] = {}
        self._decided: dict[str, dict[str, Any]] = {}
        self._asking: dict[int, dict[str, Any]] = {}
        #: Model calls that said what they used.
        self.metered = 0

    def read(self, path: Path) -> Iterator[Span | Measured]:
        """Everything in it, in the order in which it ended."""
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                if (event := _event(line)) is not None:
                    yield from self._take(event)
        for call in list(self._asked):
            yield from self._tool(call, self._around.ended, "unfinished")

    def _take(self, event: dict[str, Any]) -> Iterator[Span | Measured]:
        call = str(event.get("call", ""))
        match event.get("kind"):
            case "asked":
                if call in self._asked:  # asked again: the first one came to nothing
                    yield from self._tool(call, _at(event), "asked again")
                if len(self._asked) >= MOST_OPEN:
                    yield from self._tool(next(iter(self._asked)), _at(event), "unfinished")
                self._asked[call] = event
            case "verdict" if call in self._asked:
                self._decided[call] = event
                if event.get("decision") != "allow":
                    yield from self._tool(call, _at(event), "denied")
            case "done" if call in self._asked:
                yield from self._tool(call, _at(event), "failed" if event.get("failed") else "")
            case "asking" if isinstance(event.get("n"), int):
                if len(self._asking) >= MOST_OPEN:
                    self._asking.clear()
                self._asking[event["n"]] = event
            case "usage" if event.get("n") in self._asking:
                yield from self._chat(self._asking.pop(event["n"]), event)
            case _:
                pass

    def _tool(self, call: str, end: float, error: str) -> Iterator[Span | Measured]:
        asked, decided = self._asked.pop(call), self._decided.pop(call, {})
        around, words = self._around, self._words
        tool, start = words.name(asked.get("tool", "")), _at(asked)
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool, "gen_ai.tool.type": "function",
            "gen_ai.agent.name": around.agent, "vcs.repository.name": around.repo,
        }  # fmt: skip
        if (ident := words.name(call, "")) != "":
            attributes["gen_ai.tool.call.id"] = ident
        if decided:
            attributes["overnight.guard.decision"] = words.name(decided.get("decision", ""))
            attributes["overnight.guard.rule"] = words.name(decided.get("rule", ""), "none")
        if words.content:
            attributes["gen_ai.tool.call.arguments"] = words.said(str(asked.get("input", "")))
            if decided.get("reason"):
                attributes["overnight.guard.reason"] = words.said(str(decided["reason"]))
        # Its number in the record: an id that the agent chose may come twice.
        ident = span_id(around.trace, around.run, "call", str(asked.get("seq")))
        yield Span(
            trace=around.trace, id=ident, parent=around.span, name=f"execute_tool {tool}", start=start,
            end=max(start, end), attributes=attributes, error=error,
        )  # fmt: skip
        if error == "denied":
            denied: dict[str, Value] = {
                "gen_ai.tool.name": tool, "overnight.guard.rule": attributes["overnight.guard.rule"],
                "vcs.repository.name": around.repo,
            }  # fmt: skip
            yield Measured("overnight.guard.denials", 1, denied)
        else:
            known: dict[str, Value] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
            yield Measured("gen_ai.client.operation.duration", max(0.0, end - start), _failed(known, error))

    def _chat(self, asking: dict[str, Any], used: dict[str, Any]) -> Iterator[Span | Measured]:
        around, words = self._around, self._words
        start, end = _at(asking), _at(used)
        model = words.name(asking.get("model") or around.model, "unknown")
        error = next((name for name in ("error", "lost", "unknown") if used.get(name)), "")
        known: dict[str, Value] = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": provider_of(model, around.agent),
            "gen_ai.request.model": model,
        }  # fmt: skip
        if answered := words.name(used.get("model", ""), ""):
            known["gen_ai.response.model"] = answered
        tokens = _tokens(used)
        more: dict[str, Value] = {"gen_ai.agent.name": around.agent, "vcs.repository.name": around.repo}
        if ident := words.name(used.get("id", ""), ""):
            more["gen_ai.response.id"] = ident
        if tokens is not None:
            self.metered += 1
            more |= tokens_of(*tokens)
        with contextlib.suppress(KeyError, TypeError, ValueError):
            more["overnight.cost_usd"] = float(used["cost"])
        yield Span(
            trace=around.trace, id=span_id(around.trace, around.run, "chat", str(asking["n"])), parent=around.span,
            name=f"chat {model}", client=True, start=start, end=max(start, end), attributes=known | more, error=error,
        )  # fmt: skip
        yield Measured("gen_ai.client.operation.duration", max(0.0, end - start), _failed(known, error))
        if tokens is not None:
            yield from used_by(known, *tokens[:2])


def tokens_of(prompt: int, output: int, read: int, written: int) -> dict[str, Value]:
    """Attributes of what was used. prompt: all that was read, also from a cache (`read`) and into one (`written`)."""
    return {
        "gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": output,
        "gen_ai.usage.cache_read.input_tokens": read, "gen_ai.usage.cache_creation.input_tokens": written,
    }  # fmt: skip


def used_by(known: dict[str, Value], prompt: int, output: int) -> Iterator[Measured]:
    """Measurements of what was used, with these attributes."""
    for kind, count in (("input", prompt), ("output", output)):
        yield Measured("gen_ai.client.token.usage", count, {**known, "gen_ai.token.type": kind})


def _tokens(used: dict[str, Any]) -> tuple[int, int, int, int] | None:
    """None where nobody knows: unknown is never zero."""
    found = used.get("tokens")
    if not isinstance(found, dict) or not found:
        return None
    tokens = cast("dict[str, Any]", found)
    new, out, read, written = (
        int(tokens.get(key, 0)) for key in ("input", "output", "cache_read", "cache_write")
    )  # fmt: skip
    return new + read + written, out, read, written


def _failed(known: dict[str, Value], error: str) -> dict[str, Value]:
    return {**known, "error.type": error} if error else known


def _at(event: dict[str, Any]) -> float:
    at = event.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _event(line: bytes) -> dict[str, Any] | None:
    """A line of the record; None for what is none, such as half a line."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
