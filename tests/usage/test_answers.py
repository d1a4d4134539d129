"""What is read off an answer as it passes, however it is cut into pieces."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.missions.tokens import Tokens
from overnight.usage.answers import Answer, reader
from overnight.usage.protocols import ANTHROPIC, GEMINI, OPENAI, Shape, asked
from overnight.usage.tokens import Used

SSE = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}


def events(*values: dict[str, Any]) -> bytes:
    """Server-sent events."""
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(v.get("type", "x")).encode(), json.dumps(v).encode()) for v in values
    )


START = {"type": "message_start", "message": {"id": "msg_1", "model": "claude-opus-5-5",
         "usage": {"input_tokens": 1000, "output_tokens": 1, "cache_read_input_tokens": 300}}}  # fmt: skip
TEXT = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": 'he said "usage": {"output_tokens": 9}'}}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 50}}
MESSAGES = events(START, TEXT, DELTA, {"type": "message_stop"})
RESPONSES = events(
    {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5.2", "usage": None}},
    {"type": "response.output_text.delta", "delta": "usage"},
    {"type": "response.completed", "response": {"id": "resp_1", "model": "gpt-5.2", "service_tier": "default",
     "usage": {"input_tokens": 1300, "input_tokens_details": {"cached_tokens": 300}, "output_tokens": 50}}},
)  # fmt: skip
CHAT = (
    events({"id": "chatcmpl-1", "model": "gpt-5.2", "usage": None, "choices": []}, {"id": "chatcmpl-1", "model": "gpt-5.2",
           "choices": [], "usage": {"prompt_tokens": 1300, "prompt_tokens_details": {"cached_tokens": 300}, "completion_tokens": 50}})
    + b"data: [DONE]\n\n"
)  # fmt: skip
GEMINI_STREAM = events(
    {"responseId": "r1", "modelVersion": "gemini-2.5-pro", "candidates": [{}],
     "usageMetadata": {"promptTokenCount": 1300, "cachedContentTokenCount": 300}},
    {"responseId": "r1", "modelVersion": "gemini-2.5-pro", "candidates": [{"finishReason": "STOP"}],
     "usageMetadata": {"promptTokenCount": 1300, "cachedContentTokenCount": 300, "candidatesTokenCount": 50}},
)  # fmt: skip
ALL = Tokens(input=1000, output=50, cache_read=300)
STREAMS = [
    (Shape.MESSAGES, MESSAGES, Answer(id="msg_1", model="claude-opus-5-5", used=Used(tokens=ALL), final=True)),
    (
        Shape.RESPONSES,
        RESPONSES,
        Answer(id="resp_1", model="gpt-5.2", used=Used(tokens=ALL, tier="default"), final=True),
    ),
    (Shape.CHAT, CHAT, Answer(id="chatcmpl-1", model="gpt-5.2", used=Used(tokens=ALL), final=True)),
    (Shape.GEMINI, GEMINI_STREAM, Answer(id="r1", model="gemini-2.5-pro", used=Used(tokens=ALL), final=True)),
]


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 1000), max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_streams(stream: tuple[Shape, bytes, Answer], cuts: list[int], end: str) -> None:
    """Each protocol's stream says the same in whatever pieces it comes; words in a text are not taken for usage."""
    shape, data, answer = stream
    data = data.replace(b"\n", end.encode())
    found = reader(shape, SSE)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, stop in pairwise(places):
        found.feed(data[start:stop])
    assert found.answer() == answer


def test_cut_streams() -> None:
    """Of an answer that breaks off, what was seen counts, and is not final; one that said nothing is not known."""
    found = reader(Shape.MESSAGES, SSE)
    found.feed(events(START, TEXT))
    seen = Tokens(input=1000, output=1, cache_read=300)
    assert found.answer() == Answer(id="msg_1", model="claude-opus-5-5", used=Used(tokens=seen))
    nothing = reader(Shape.CHAT, SSE)
    nothing.feed(CHAT[:60])
    assert nothing.answer().used is None


@pytest.mark.parametrize("coding", ["", "gzip", "br"])
def test_whole_answers(coding: str) -> None:
    """Answers in one piece; one that is packed in a way that can't be read is not known, never zero."""
    message = {"type": "message", "id": "msg_1", "model": "m", "usage": {"input_tokens": 1000, "output_tokens": 50}}
    body = json.dumps(message).encode()
    packed = gzip.compress(body) if coding == "gzip" else body
    found = reader(Shape.MESSAGES, {**JSON, "content-encoding": coding})
    for n in range(len(packed)):
        found.feed(packed[n : n + 1])
    known = Answer(id="msg_1", model="m", used=Used(tokens=Tokens(input=1000, output=50)), final=True)
    assert found.answer() == (Answer() if coding == "br" else known)


@given(st.sampled_from(list(Shape)), st.sampled_from([SSE, JSON]), st.binary(max_size=200))
def test_garbage_is_not_known(shape: Shape, headers: dict[str, str], data: bytes) -> None:
    """Whatever a server sends, reading it raises nothing."""
    found = reader(shape, headers)
    found.feed(data)
    found.feed(b'data: {"usage": [1], "usageMetadata": 7}\n')
    assert found.answer().used is None


def test_what_a_request_asks_for() -> None:
    """Model and most tokens of each protocol; a request that can't be read asks for the most."""
    claude = asked("/v1/messages", b'{"model":"m","max_tokens":500,"system":[{"cache_control":{"ttl":"1h"}}]}')
    assert (claude.model, claude.most, claude.caches) == ("m", 500, 60)
    assert asked("/v1/responses", b'{"model":"m","max_output_tokens":7}').most == 7
    assert asked("/v1/chat/completions", b'{"model":"m","max_completion_tokens":7,"n":3}').most == 21
    gemini = asked("/v1beta/models/gemini-2.5-pro:streamGenerateContent", b'{"generationConfig":{"maxOutputTokens":9}}')
    assert (gemini.model, gemini.most) == ("gemini-2.5-pro", 9)
    assert asked("/v1/messages", b"{").most == 128_000


def test_what_costs() -> None:
    """Every call of a protocol is known to cost or not; others are not known."""
    assert ANTHROPIC.shape("POST", "/v1/messages") == (True, Shape.MESSAGES)
    assert ANTHROPIC.shape("POST", "/v1/messages/count_tokens") == (True, None)
    assert OPENAI.shape("POST", "/v1/responses") == (True, Shape.RESPONSES)
    assert GEMINI.shape("POST", "/v1beta/models/gemini-2.5-pro:generateContent") == (True, Shape.GEMINI)
    assert OPENAI.shape("POST", "/v1/files") == (False, None)
