"""OpenAI's and Google's own client libraries as the agent's program in a real box, behind the real gateway: what they ask is
metered to the last digit, recorded, and played again to the same answers with no model there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from scene import PLENTY, Scene, within

from overnight.agents.command import CommandAgent, CommandSettings
from overnight.agents.scripted import Say, playing
from overnight.agents.scripted.http import Replier, Request, serving
from overnight.agents.scripted.script import Play, Scenario, Script
from overnight.cassette.entries import NAME, Opened
from overnight.cassette.playback import Playback
from overnight.cassette.reading import Cassette, read
from overnight.cassette.recorder import Recorder
from overnight.missions.run import End, RunOutcome, RunSpec
from overnight.missions.tokens import Tokens
from overnight.ports import Launch, Place, Route
from overnight.usage.protocols import PROTOCOLS

KEY = "sk-real-openai-or-google-0123456789"
ENVIRON = {"VENDOR_KEY": KEY, "PATH": "/usr/bin:/bin"}
MODELS = {"openai": "gpt-5.2", "gemini": "gemini-2.5-pro"}
#: Each asks twice, the second time with what the first answer said, and prints what it heard.
_OPENAI = """
import os, openai
client = openai.OpenAI(base_url=os.environ["BASE"] + "/v1", api_key=os.environ["TOKEN"], max_retries=1)
def chat(text):
    said = client.chat.completions.create(model="gpt-5.2", messages=[{"role": "user", "content": text}], max_tokens=99)
    return said.choices[0].message.content
def responses(text):
    return client.responses.create(model="gpt-5.2", input=text, max_output_tokens=99).output_text
def streamed(text):
    parts = client.chat.completions.create(model="gpt-5.2", messages=[{"role": "user", "content": text}], max_tokens=99,
                                           stream=True, stream_options={"include_usage": True})
    return "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
"""
_GEMINI = """
import os
from google import genai
options = genai.types.HttpOptions(base_url=os.environ["BASE"])
client = genai.Client(api_key=os.environ["TOKEN"], http_options=options, vertexai=False)
config = genai.types.GenerateContentConfig(max_output_tokens=99)
def generate(text):
    return client.models.generate_content(model="gemini-2.5-pro", contents=text, config=config).text
def streamed(text):
    parts = client.models.generate_content_stream(model="gemini-2.5-pro", contents=text, config=config)
    return "".join(part.text or "" for part in parts)
"""
_ASK = "\nfirst = {way}('hello')\nprint(first)\nprint({way}('you said ' + first))\n"


class Client(CommandAgent):
    """A program that asks the model by itself."""

    def __init__(self, protocol: str, program: str, upstream: str) -> None:
        folders = {str(Path(each).resolve()) for each in (sys.prefix, sys.base_prefix)}
        super().__init__(CommandSettings(argv=(sys.executable, "-I", "-c", program), readable=tuple(sorted(folders))))
        self._protocol, self._upstream = protocol, upstream

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        given = super().launch(spec, place)
        own = {"BASE": f"http://127.0.0.1:{place.ports.model}", "TOKEN": place.token}
        return msgspec.structs.replace(given, env={**given.env, **own})

    def route(self) -> Route:
        spoken = PROTOCOLS[self._protocol]
        return Route(
            kind="gateway", protocol=self._protocol, upstream=self._upstream, key_header=spoken.key_header,
            key_variable="VENDOR_KEY", allowed=spoken.allowed,
        )  # fmt: skip


class Way(Struct, frozen=True):
    """How a client asks."""

    protocol: str
    name: str


WAYS = (
    Way("openai", "chat"),
    Way("openai", "responses"),
    Way("openai", "streamed"),
    Way("gemini", "generate"),
    Way("gemini", "streamed"),
)
#: Every question is a session of its own.
TWICE = Play((Scenario((Script((Say("I heard you."),)), Script((Say("So I did."),)))),))
#: What every answer says it used: 1,500 read, 300 of them from a cache, 50 written.
USED = Tokens(input=1200, output=50, cache_read=300)


async def streams(request: Request, replier: Replier) -> None:
    """Both vendors' streams, a word a piece."""
    asked = request.body.decode()
    words = ["I ", "heard ", "you."] if "you said" not in asked else ["So ", "I ", "did."]
    name = f"answer-{len(asked)}"
    gemini = "streamGenerateContent" in request.path
    events = [_gemini(word) if gemini else _chunk(word, name) for word in words]
    whole: dict[str, Any] = {
        "promptTokenCount": 1500,
        "candidatesTokenCount": 50,
        "cachedContentTokenCount": 300,
        "totalTokenCount": 1550,
    }
    if gemini:
        events[-1] |= {"usageMetadata": whole}
    else:
        usage = {
            "prompt_tokens": 1500,
            "completion_tokens": 50,
            "total_tokens": 1550,
            "prompt_tokens_details": {"cached_tokens": 300},
        }
        events.append(_chunk(None, name) | {"usage": usage})
    await replier.start(200, {"content-type": "text/event-stream"})
    for event in events:
        await replier.chunk(b"data: " + msgspec.json.encode(event) + b"\r\n\r\n")
    if not gemini:
        await replier.chunk(b"data: [DONE]\n\n")
    await replier.end()


def _chunk(word: str | None, name: str) -> dict[str, Any]:
    choices = [] if word is None else [{"index": 0, "delta": {"content": word}, "finish_reason": None}]
    return {"id": name, "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.2", "choices": choices}


def _gemini(word: str) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"role": "model", "parts": [{"text": word}]}, "index": 0}],
        "modelVersion": "gemini-2.5-pro",
    }


def program(way: Way) -> str:
    return (_OPENAI if way.protocol == "openai" else _GEMINI) + _ASK.format(way=way.name)


async def keep(scene: Scene, way: Way, upstream: str, playback: Callable[..., Playback] | None = None) -> RunOutcome:
    """One run of the client."""

    def tape(opened: Opened, without: Callable[[str], str]) -> Recorder:
        return Recorder(scene.root / "run" / NAME, opened, without, 1 << 20)

    made = scene.keeper(
        "", "bubblewrap", agent=Client(way.protocol, program(way), upstream), environ=ENVIRON,
        spec=scene.spec(allowance=PLENTY), playback=playback,
        tape=tape,
    )  # fmt: skip
    return await made.keep()


def said(scene: Scene) -> str:
    return (scene.root / "run" / "agent.jsonl").read_text()


def cassette(scene: Scene, outcome: RunOutcome) -> Cassette:
    return read(scene.root / "run" / NAME, outcome.run, outcome.tape)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.protocol}-{way.name}")
def test_metered_recorded_and_played_again(scene: Scene, way: Way) -> None:
    """Two answers cost what they cost, without the key in the box; played again they are the same words, at no cost."""

    async def story() -> RunOutcome:
        if way.name == "streamed":
            async with serving(streams) as port:
                return await keep(scene, way, f"http://127.0.0.1:{port}")
        async with playing(TWICE) as (url, _):
            return await keep(scene, way, url)

    outcome = within(story())
    assert outcome.end is End.COMPLETED, (outcome, (scene.root / "run" / "agent.err").read_text()[-2000:])
    assert said(scene) == "I heard you.\nSo I did.\n"
    bill = outcome.bill
    assert bill is not None
    (use,) = bill.models
    assert (use.calls, use.tokens) == (2, USED + USED)
    assert (bill.source, bill.paid, bill.unknown, bill.unpriced) == ("wire", True, 0, ())
    assert bill.cost == 2 * cost(way.protocol)
    tape = cassette(scene, outcome)
    assert [exchange.status for exchange in tape.exchanges] == [200, 200]
    for path in (path for path in (scene.root / "run").rglob("*") if path.is_file()):
        assert KEY.encode() not in path.read_bytes(), path
    played: list[Playback] = []

    def playback(here: Any, without: Callable[[str], str]) -> Playback:
        played.append(Playback(tape, here, without))
        return played[0]

    for name in ("events.ndjson", "agent.jsonl", "agent.err", NAME):
        (scene.root / "run" / name).unlink(missing_ok=True)
    again = within(keep(scene, way, "http://127.0.0.1:9", playback))
    assert again.end is End.COMPLETED, (again, played[0].mismatches)
    assert said(scene) == "I heard you.\nSo I did.\n"
    assert (played[0].played, played[0].mismatches, played[0].unasked) == ([1, 2], [], ())


def cost(protocol: str) -> Decimal:
    """Of one answer, in dollars, by the list prices of a million tokens: read, from a cache, written."""
    rates: Mapping[str, tuple[str, str, str]] = {"openai": ("1.75", "0.175", "14"), "gemini": ("1.25", "0.125", "10")}
    fresh, cached, written = (Decimal(each) for each in rates[protocol])
    return (1200 * fresh + 300 * cached + 50 * written) / 1_000_000


def test_another_question_is_not_answered_by_guess(scene: Scene) -> None:
    """A client that asks something else than was recorded ends the replay, with what differs."""
    way = WAYS[0]

    async def story() -> RunOutcome:
        async with playing(TWICE) as (url, _):
            return await keep(scene, way, url)

    outcome = within(story())
    tape = cassette(scene, outcome)
    played: list[Playback] = []

    def playback(here: Any, without: Callable[[str], str]) -> Playback:
        played.append(Playback(tape, here, without))
        return played[0]

    (scene.root / "run" / NAME).unlink()
    (scene.root / "run" / "events.ndjson").unlink()
    other = Client(way.protocol, program(way).replace("'hello'", "'good evening'"), "http://127.0.0.1:9")
    made = scene.keeper(
        "", "bubblewrap", agent=other, environ=ENVIRON, spec=scene.spec(allowance=PLENTY), playback=playback
    )
    again = within(made.keep())
    assert again.end is End.FAILED
    assert "the recording does not fit" in again.why
    assert "good evening" in again.why
    assert played[0].played == []
