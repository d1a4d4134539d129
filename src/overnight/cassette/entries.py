"""The lines of a cassette. What is large is JSON or bytes, compressed and in base64.

Texts come from agents and models: secrets are taken out before they get here, the run's own token among them.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import msgspec
from msgspec import Struct

from overnight.audit.chained import Link
from overnight.guard.verdict import Decision
from overnight.missions.guarding import GuardTable

#: Version of these lines.
FORMAT = 1
#: The file's name in the run's folder.
NAME = "cassette.ndjson"


class Surroundings(Struct, frozen=True, kw_only=True):
    """What differs from one run of the same thing to the next, and is in its requests."""

    #: Absolute paths.
    worktree: str
    home: str
    given: str
    #: The branch that the work is on, inside the box.
    branch: str = ""
    #: The warden's listeners, as ports inside the box.
    ports: tuple[int, ...] = ()


class Opened(Link, frozen=True, kw_only=True, tag_field="kind", tag="opened"):
    """The first line: whose cassette it is, and what it takes to run the same again."""

    run: str
    agent: str
    #: Of the agent's CLI.
    version: str
    #: What the agent spoke with its model.
    protocol: str
    #: The commit that the run started from.
    start: str
    around: Surroundings
    #: What the machine's settings asked of the guard then.
    guard: GuardTable = GuardTable()
    format: int = FORMAT


class Recorded(Link, frozen=True, kw_only=True, tag_field="kind", tag="exchange"):
    """One exchange, after it was over."""

    #: In the order in which requests came, from 1. Lines are in the order in which exchanges ended.
    n: int
    #: Epoch seconds of the request.
    began: float
    method: str
    #: Path and query.
    target: str
    #: Headers that say something of the request; none of them a credential. Names in lower case.
    asked: dict[str, str]
    #: The packed body; see `packing`.
    request: str
    #: None when no answer began.
    status: int | None
    headers: dict[str, str]
    #: Milliseconds from the request, and bytes of the body, of each piece of the answer.
    pieces: tuple[tuple[float, int], ...]
    #: The packed body of the answer.
    answer: str
    #: The answer came to its own end.
    whole: bool
    #: The agent went away before that.
    left: bool = False
    #: Texts of the answer that secrets were taken out of: who hears it again does not hear the same.
    redacted: int = 0


class Called(Link, frozen=True, kw_only=True, tag_field="kind", tag="call"):
    """A tool call and what the guard said, in the order in which they were decided."""

    call: str
    tool: str
    cwd: str
    #: The packed input, as JSON.
    input: str
    decision: Decision
    rule: str
    reason: str
    #: Secrets were taken out of the input.
    redacted: bool = False


class Incomplete(Link, frozen=True, kw_only=True, tag_field="kind", tag="incomplete"):
    """From here on something is missing."""

    why: str


class Closed(Link, frozen=True, kw_only=True, tag_field="kind", tag="closed"):
    """The last line: the run is over."""

    exchanges: int
    calls: int


AnyLine = Opened | Recorded | Called | Incomplete | Closed


def pack(data: bytes) -> str:
    """Bytes as they stand in a line."""
    return base64.b64encode(zlib.compress(data, 6)).decode() if data else ""


def unpack(text: str) -> bytes:
    """The bytes again. Raises ValueError for what is none of ours."""
    try:
        return zlib.decompress(base64.b64decode(text, validate=True)) if text else b""
    except zlib.error as error:
        raise ValueError(str(error)) from None


def pack_json(value: Any) -> str:
    """A JSON value as it stands in a line."""
    return pack(msgspec.json.encode(value))


def unpack_json(text: str) -> Any:
    """The value again. Raises ValueError."""
    try:
        return msgspec.json.decode(unpack(text))
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
