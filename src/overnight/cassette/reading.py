"""A cassette read back: whole and untouched, or refused with the place and the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from overnight.audit.chained import Head, Reading, decoded
from overnight.cassette.entries import AnyLine, Called, Closed, Incomplete, Opened, Recorded, unpack, unpack_json
from overnight.cassette.packing import Unpacker
from overnight.cassette.recorder import chain_name
from overnight.errors import CassetteBroken, NoCassette
from overnight.guard.verdict import Call, Decision
from overnight.missions.run import Tape


class Exchange(Struct, frozen=True, kw_only=True):
    """One recorded exchange."""

    n: int
    began: float
    method: str
    target: str
    asked: dict[str, str]
    #: The request's body as a JSON value; text where it was none.
    body: Any
    #: None when no answer began.
    status: int | None
    headers: dict[str, str]
    pieces: tuple[tuple[float, int], ...]
    answer: bytes
    whole: bool
    left: bool
    redacted: int


class Decided(Struct, frozen=True, kw_only=True):
    """One recorded tool call."""

    call: Call
    decision: Decision
    rule: str
    reason: str
    redacted: bool


class Cassette(Struct, frozen=True, kw_only=True):
    """All of it, in order of requests."""

    opened: Opened
    exchanges: tuple[Exchange, ...]
    calls: tuple[Decided, ...]
    #: Why not everything is in it; empty when it is.
    missing: str
    #: What this can't vouch for; empty when its end is known from the run's outcome.
    doubt: str


def read(path: Path, run: str, tape: Tape | None) -> Cassette:
    """The cassette of a run. tape: what the run's outcome says of it; None when it says nothing.

    Raises NoCassette, CassetteBroken.
    """
    reading = Reading(chain_name(run))
    try:
        with path.open("rb") as file:
            lines = list(reading.lines(file))
    except OSError as error:
        raise NoCassette(run=run, why=f"{path} can't be read: {error.strerror}") from error
    if reading.flaws:
        flaw = reading.flaws[0]
        more = f" ({len(reading.flaws) - 1} more flaws)" if len(reading.flaws) > 1 else ""
        raise CassetteBroken(path=path, problem=f"line {flaw.line}: {flaw.problem}{more}")
    if tape is not None and reading.head != (known := Head(tape.lines, tape.digest)):
        problem = f"the run ended with {known.lines} lines of it, and it has {reading.head.lines}"
        if reading.head.lines == known.lines:
            problem = "its last line is another than the one that the run ended with"
        raise CassetteBroken(path=path, problem=problem)
    doubt = ""
    if tape is None:
        doubt = "its run left no word of how far it goes: it goes on still, or its warden died. Lines may be missing at its end"
    elif reading.torn:
        raise CassetteBroken(path=path, problem=f"line {reading.torn[0].line}: half a line after its end")
    try:
        return _put_together([cast("AnyLine | None", decoded(line, AnyLine)) for line in lines], run, doubt)
    except (ValueError, msgspec.MsgspecError) as error:
        raise CassetteBroken(path=path, problem=str(error)) from None


def _put_together(lines: list[AnyLine | None], run: str, doubt: str) -> Cassette:
    if not lines or not isinstance(opened := lines[0], Opened) or opened.run != run:
        raise ValueError("its first line does not open the cassette of this run")
    unpacker, exchanges, calls, missing = Unpacker(), list[Exchange](), list[Decided](), ""
    ended = False
    for line in lines[1:]:
        match line:
            case Recorded():
                exchanges.append(_exchange(line, unpacker))
            case Called():
                calls.append(_decided(line))
            case Incomplete(why=why):
                missing = why
            case Closed():
                ended = True
            case _:
                raise ValueError("it has a line that this version does not know")
    if not ended and not missing:
        missing = "it has no end"
    return Cassette(
        opened=opened, exchanges=tuple(sorted(exchanges, key=lambda exchange: exchange.n)), calls=tuple(calls),
        missing=missing, doubt=doubt,
    )  # fmt: skip


def _exchange(line: Recorded, unpacker: Unpacker) -> Exchange:
    return Exchange(
        n=line.n, began=line.began, method=line.method, target=line.target, asked=line.asked,
        body=unpacker.body(unpack_json(line.request)), status=line.status, headers=line.headers, pieces=line.pieces,
        answer=unpack(line.answer), whole=line.whole, left=line.left, redacted=line.redacted,
    )  # fmt: skip


def _decided(line: Called) -> Decided:
    given: Any = unpack_json(line.input)
    return Decided(
        call=Call(id=line.call, tool=line.tool, input=given, cwd=line.cwd), decision=line.decision, rule=line.rule,
        reason=line.reason, redacted=line.redacted,
    )  # fmt: skip
