"""Reads what an answer used while it passes by: piece by piece, keeping no more of it than one line."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import msgspec
from msgspec import Struct

from overnight.usage.protocols import Shape
from overnight.usage.tokens import Raw, Used, of_anthropic, of_chat, of_gemini, of_responses, updated

#: Bytes of a line, or of an answer in one piece, that are read; a longer one says nothing.
MOST = 16 << 20
#: A line of a stream without one of these says nothing of interest.
_MARKS = (b'"usage"', b'"usageMetadata"')


class Answer(Struct, frozen=True, kw_only=True):
    """What was seen of an answer."""

    #: The vendor's id; empty when it has none.
    id: str = ""
    #: The model that answered, as the vendor names it; empty when it does not.
    model: str = ""
    #: None: it did not say.
    used: Used | None = None
    #: The account is the last one; False for an answer that was cut before it.
    final: bool = False


class Reader(Protocol):
    """Takes an answer in, piece by piece."""

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body, as they are on the wire."""
        ...

    def answer(self) -> Answer:
        """What is known so far; at the end of the answer, what is known at all."""
        ...


def reader(shape: Shape, headers: Mapping[str, str]) -> Reader:
    """For an answer with these headers, names in lower case."""
    kind, coding = headers.get("content-type", ""), headers.get("content-encoding", "identity").strip().lower()
    inner = _Stream(shape) if "event-stream" in kind else _Whole(shape)
    return inner if coding in ("", "identity") else _Packed(inner, coding)


class _Packed:
    """An answer that comes compressed though nobody asked for that."""

    def __init__(self, inner: Reader, coding: str) -> None:
        self._inner = inner
        self._unpack = zlib.decompressobj(wbits=47) if coding in ("gzip", "x-gzip", "deflate") else None

    def feed(self, piece: bytes) -> None:
        try:
            if self._unpack is not None:
                self._inner.feed(self._unpack.decompress(piece, MOST))
        except zlib.error:
            self._unpack = None

    def answer(self) -> Answer:
        return self._inner.answer() if self._unpack is not None else Answer()


class _Whole:
    """One JSON value; Gemini may also stream a list of them."""

    def __init__(self, shape: Shape) -> None:
        self._shape, self._body = shape, bytearray()

    def feed(self, piece: bytes) -> None:
        if len(self._body) <= MOST:
            self._body += piece

    def answer(self) -> Answer:
        value = _object(self._body) if len(self._body) <= MOST else None
        seen = _Seen(self._shape)
        for part in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                seen.take(cast("dict[str, Any]", part))
        return seen.answer()


class _Stream:
    """Server-sent events. Only lines that speak of usage are decoded."""

    def __init__(self, shape: Shape) -> None:
        self._seen, self._line, self._lost = _Seen(shape), bytearray(), False

    def feed(self, piece: bytes) -> None:
        end = piece.rfind(b"\n")
        if end < 0:
            self._keep(piece)
            return
        whole = bytes(self._line) + piece[:end] if self._line else piece[:end]
        self._line.clear()
        self._keep(piece[end + 1 :])
        lost, self._lost = self._lost, False
        if lost:
            whole = whole.partition(b"\n")[2]
        if any(mark in whole for mark in _MARKS):
            for line in whole.split(b"\n"):
                self._read(line)

    def answer(self) -> Answer:
        return self._seen.answer()

    def _keep(self, start: bytes) -> None:
        if len(self._line) + len(start) > MOST:
            self._lost = True
            self._line.clear()
        elif not self._lost:
            self._line += start

    def _read(self, line: bytes) -> None:
        if line.startswith(b"data:") and any(mark in line for mark in _MARKS):
            value = _object(line[5:])
            if isinstance(value, dict):
                self._seen.take(cast("dict[str, Any]", value))


class _Seen:
    """What the events or values of one answer say, put together."""

    def __init__(self, shape: Shape) -> None:
        self._take: Callable[[dict[str, Any]], None] = getattr(self, f"_{shape.value}")
        self._of = {Shape.MESSAGES: of_anthropic, Shape.RESPONSES: of_responses,
                    Shape.CHAT: of_chat, Shape.GEMINI: of_gemini}[shape]  # fmt: skip
        self._id = self._model = self._tier = ""
        self._usage: dict[str, Any] = {}
        self._final = False

    def take(self, value: dict[str, Any]) -> None:
        """One event's data, or a whole answer."""
        self._take(value)

    def answer(self) -> Answer:
        used = self._of(self._usage)
        if used is not None and self._tier and not used.tier:
            used = msgspec.structs.replace(used, tier=self._tier)
        return Answer(id=self._id, model=self._model, used=used, final=self._final and used is not None)

    def _name(self, value: Raw, ident: str = "id", model: str = "model") -> None:
        self._id, self._model = _text(value, ident) or self._id, _text(value, model) or self._model

    def _messages(self, value: dict[str, Any]) -> None:
        match value.get("type"):
            case "message_start":
                message = _child(value, "message")
                self._name(message)
                self._usage = _child(message, "usage")
            case "message_delta":
                self._usage, self._final = updated(self._usage, _child(value, "usage")), True
            case "message":
                self._name(value)
                self._usage, self._final = _child(value, "usage"), True
            case _:
                pass

    def _responses(self, value: dict[str, Any]) -> None:
        response = _child(value, "response") if "response" in value else value
        self._name(response)
        self._tier = _text(response, "service_tier") or self._tier
        if usage := _child(response, "usage"):
            self._usage, self._final = usage, True

    def _chat(self, value: dict[str, Any]) -> None:
        self._name(value)
        self._tier = _text(value, "service_tier") or self._tier
        if usage := _child(value, "usage"):
            self._usage, self._final = usage, True

    def _gemini(self, value: dict[str, Any]) -> None:
        self._name(value, "responseId", "modelVersion")
        if usage := _child(value, "usageMetadata"):
            # Each piece of an answer counts anew from its beginning.
            self._usage = usage
            self._final = self._final or any(_text(c, "finishReason") for c in _children(value, "candidates"))


def _object(data: bytes | bytearray) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _text(value: Raw, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _child(value: Raw, key: str) -> dict[str, Any]:
    found = value.get(key)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _children(value: Raw, key: str) -> list[dict[str, Any]]:
    found = value.get(key)
    items = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
