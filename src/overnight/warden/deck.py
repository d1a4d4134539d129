"""Answers the agent's model requests from a cassette, in the gateway's stead, as long as that holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol as Interface

from overnight.cassette.playback import Answer, Live, Mismatch, Playback, Reached
from overnight.missions.run import End, FailureClass
from overnight.warden import refusals
from overnight.warden.http import Exchange, Request

Reason = tuple[End, FailureClass | None, str]


class Tally(Interface):
    """What the gateway knows of an exchange."""

    status: int | None
    first_byte_ms: float | None
    received: int
    whole: bool
    cut: str
    replayed: int | None

    def ms(self) -> float: ...


class Hearer(Interface):
    """A gateway's listener, as far as it is told of what is played."""

    def begun(self, status: int, headers: Mapping[str, str]) -> None: ...

    def feed(self, piece: bytes) -> None: ...


class Deck:
    """Plays one cassette for one run."""

    def __init__(self, playback: Playback) -> None:
        self.playback = playback
        #: Set once the run has to end for what the cassette says, or does not say.
        self.alarm = asyncio.Event()
        self.over: Reason | None = None

    async def answer(
        self, request: Request, exchange: Exchange, tally: Tally, hear: Callable[[], Sequence[Hearer]]
    ) -> bool:
        """Answer a request; False when it is for the real model. hear: makes those who hear of what is played.

        Raises Refused where nothing was recorded, OSError when nobody takes the answer.
        """
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
        match self.playback.find(request.method, request.target, headers, request.body):
            case Live():
                return False
            case Answer() as answer:
                await _play(answer, exchange, tally, hear())
                return True
            case Reached(n):
                self._end(End.STOPPED, None, f"it was to go no further than exchange {n}")
            case Mismatch() as mismatch:
                self._end(End.FAILED, FailureClass.LAUNCH, f"the recording does not fit: {mismatch.words}")
        assert self.over is not None
        raise refusals.forbidden(self.over[2])

    def _end(self, end: End, failure: FailureClass | None, why: str) -> None:
        self.over = self.over or (end, failure, why)
        self.alarm.set()


async def _play(answer: Answer, exchange: Exchange, tally: Tally, hearers: Sequence[Hearer]) -> None:
    tally.replayed = answer.n
    if answer.status is None:
        if answer.left:
            await asyncio.Event().wait()  # the agent did not wait for it then, and will not now
        raise refusals.away(f"exchange {answer.n} had no answer when it was recorded")
    tally.status, tally.first_byte_ms = answer.status, tally.ms()
    for hearer in hearers:
        hearer.begun(answer.status, answer.headers)
    heads = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    await exchange.start(answer.status, heads)
    for piece in answer.pieces:
        tally.received += len(piece)
        await exchange.send(piece)
        for hearer in hearers:
            hearer.feed(piece)
    if answer.left:
        await asyncio.Event().wait()
    tally.whole = answer.whole
    if answer.whole:
        await exchange.finish()
    else:
        tally.cut = "it was cut when it was recorded"
        await exchange.cut()
