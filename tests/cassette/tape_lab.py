"""What the tests of cassettes share: a cassette that was really written, without an agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from overnight.cassette.entries import NAME, Opened, Surroundings
from overnight.cassette.reading import Cassette, read
from overnight.cassette.recorder import Hearing, Recorder
from overnight.guard.redact import Redactor
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.run import Tape

RUN = "t1.1.1"
TOKEN = "overnight-Zx81kQp0LmN4vB7yT2rW9sD3"
THERE = Surroundings(worktree="/then/work", home="/then/run/home", given="/then/run/given", ports=(4001, 4002, 4003))
HERE = Surroundings(worktree="/now/work", home="/now/run/home", given="/now/run/given", ports=(5001, 5002, 5003))
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
POST = ("POST", "/v1/messages")


def opened(run: str = RUN) -> Opened:
    return Opened(run=run, agent="claude", version="1", protocol="anthropic", start="0" * 40, around=THERE)


def recorder(
    folder: Path, most: int = 64 << 20, without: Callable[[str], str] | None = None, run: str = RUN
) -> Recorder:
    return Recorder(folder / NAME, opened(run), without or Redactor((TOKEN,)), most)


def body(*texts: str, **more: Any) -> bytes:
    """A request that says so many things."""
    messages = [{"role": "user", "content": text} for text in texts]
    return msgspec.json.encode(
        {"model": "m", "messages": messages, "system": [{"type": "text", "text": "Be."}], **more}
    )


def events(*values: dict[str, Any]) -> list[bytes]:
    """An event stream, an event a piece."""
    return [
        b"event: " + value["type"].encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n" for value in values
    ]


def says(*pieces: str) -> list[bytes]:
    """A streamed answer whose text comes in these pieces."""
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces
    ]
    return events({"type": "message_start", "message": {"id": "msg_1"}}, *deltas, {"type": "message_stop"})


def exchange(
    to: Recorder, request: bytes, answer: list[bytes], *, status: int = 200, headers: dict[str, str] = SSE,
    whole: bool = True, at: tuple[str, str] = POST, asked: tuple[tuple[bytes, bytes], ...] = (),
) -> Hearing:  # fmt: skip
    """One exchange, from its request to its end."""
    heard = to.hear(*at, asked, request)
    heard.begun(status, headers)
    for piece in answer:
        heard.feed(piece)
    heard.over(whole=whole, left=False)
    return heard


def call(to: Recorder, command: str, number: int = 1) -> None:
    """One tool call that was allowed."""
    asked = Call(id=f"toolu_{number}", tool="Bash", input={"command": command}, cwd=THERE.worktree)
    to.called(asked, Verdict(decision=Decision.ALLOW, rule="permitted", reason="it changes nothing"))


def sample(folder: Path) -> Tape:
    """A cassette of three exchanges and two calls."""
    to = recorder(folder)
    exchange(to, body("one"), says("Hel", "lo"))
    call(to, "echo one")
    exchange(to, body("one", "two"), says("two"))
    call(to, "echo two", 2)
    exchange(to, body("one", "two", "three"), says("three"))
    return to.close()


def readable(folder: Path, tape: Tape | None = None) -> Cassette:
    return read(folder / NAME, RUN, tape)
