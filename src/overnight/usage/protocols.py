"""The model APIs that agents speak: what may pass, who asks, and what a request says of its cost beforehand."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec
from msgspec import Struct


class Shape(StrEnum):
    """How an answer says what it used."""

    MESSAGES = "messages"
    RESPONSES = "responses"
    CHAT = "chat"
    GEMINI = "gemini"


class Protocol(Struct, frozen=True, kw_only=True):
    """One vendor's API, also as others speak it."""

    name: str
    #: Who bills, as the price list calls it.
    vendor: str
    #: The header that carries the key.
    key_header: str
    #: Headers in which a client may say who it is; `authorization` as a Bearer token.
    offers: tuple[str, ...]
    #: The same in the query; empty where there is no such way.
    query: str = ""
    #: (method, regex of the whole path without its query, shape of the answer); None: it costs nothing.
    calls: tuple[tuple[str, str, Shape | None], ...]

    @property
    def allowed(self) -> tuple[tuple[str, str], ...]:
        """What may pass, as a route has it."""
        return tuple((method, path) for method, path, _ in self.calls)

    def shape(self, method: str, path: str) -> tuple[bool, Shape | None]:
        """Whether the call is known, and how its answer says what it used."""
        for known, pattern, shape in self.calls:
            if known == method and re.fullmatch(pattern, path):
                return True, shape
        return False, None


_NAME = r"[A-Za-z0-9._:@-]+"
ANTHROPIC = Protocol(
    name="anthropic",
    vendor="anthropic",
    key_header="x-api-key",
    offers=("x-api-key", "authorization"),
    calls=(
        ("POST", r"/v1/messages", Shape.MESSAGES),
        ("POST", r"/v1/messages/count_tokens", None),
        ("GET", rf"/v1/models(/{_NAME})?", None),
        ("HEAD", r"/", None),
    ),
)
#: Also what speaks like it: most servers of one's own do.
OPENAI = Protocol(
    name="openai",
    vendor="openai",
    key_header="authorization",
    offers=("authorization",),
    calls=(
        ("POST", r"(/v1)?/responses", Shape.RESPONSES),
        ("POST", r"(/v1)?/chat/completions", Shape.CHAT),
        ("GET", rf"(/v1)?/models(/{_NAME}(/{_NAME})?)?", None),
    ),
)
GEMINI = Protocol(
    name="gemini",
    vendor="google",
    key_header="x-goog-api-key",
    offers=("x-goog-api-key",),
    query="key",
    calls=(
        ("POST", rf"/v1(beta|alpha)?/models/{_NAME}:(generateContent|streamGenerateContent)", Shape.GEMINI),
        ("POST", rf"/v1(beta|alpha)?/models/{_NAME}:countTokens", None),
        ("GET", rf"/v1(beta|alpha)?/models(/{_NAME})?", None),
    ),
)
PROTOCOLS = {protocol.name: protocol for protocol in (ANTHROPIC, OPENAI, GEMINI)}

#: Tokens of an answer whose request sets no bound.
MOST_OUTPUT = 128_000


class Asked(Struct, frozen=True, kw_only=True):
    """What a request says of what it may cost."""

    #: Empty when it names none.
    model: str
    #: Tokens that the answer may have.
    most: int
    #: It asks for what it reads to be cached, and for how long: 0, 5 or 60 minutes.
    caches: int
    #: It asks for a place that costs more.
    placed: bool = False


class _Config(Struct):
    maxOutputTokens: int | None = None  # noqa: N815 (as it is sent)


class _Body(Struct):
    """What matters of a request, of whatever protocol."""

    model: str = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None
    generationConfig: _Config | None = None  # noqa: N815 (as it is sent)
    inference_geo: str | None = None


_BODY = msgspec.json.Decoder(_Body)
_MODEL_IN_PATH = re.compile(rf"/models/({_NAME}):\w+")


def asked(path: str, body: bytes) -> Asked:
    """What a request asks for. One that can't be read asks for the most."""
    try:
        said = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Body()
    named = _MODEL_IN_PATH.search(path)
    gemini = said.generationConfig.maxOutputTokens if said.generationConfig else None
    bounds = [b for b in (said.max_tokens, said.max_completion_tokens, said.max_output_tokens, gemini) if b is not None]
    most = max(bounds, default=MOST_OUTPUT)
    caches = 60 if b'"1h"' in body else 5 if b'"cache_control"' in body else 0
    return Asked(
        model=named[1] if named else said.model,
        most=max(0, most) * max(1, said.n or 1),
        caches=caches,
        placed=bool(said.inference_geo),
    )
