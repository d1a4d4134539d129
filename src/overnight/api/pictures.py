"""Live pictures: drawn once for each change, however many watch, and no oftener than an eye follows."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol

from overnight.api.pulse import Pulse
from overnight.errors import OvernightError

#: Seconds between two pictures of one thing, at least; and after which a quiet one is drawn anew.
APART_S, ALIVE_S = 0.3, 15.0
#: So many things are remembered.
KEPT = 64


class Picture(NamedTuple):
    """One drawing."""

    #: The pulse's count before it was drawn.
    beat: int
    #: The same for the same picture.
    mark: bytes
    #: As it is sent.
    message: bytes


class Threads(Protocol):
    """Where what blocks is done."""

    async def run(self, do: Callable[[], str]) -> str: ...


class _One:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.picture: Picture | None = None
        self.began = float("-inf")


class Pictures:
    """By key. For one event loop."""

    def __init__(self, pulse: Pulse, threads: Threads) -> None:
        self._pulse, self._threads = pulse, threads
        self._ones = OrderedDict[str, _One]()

    async def watch(self, key: str, draw: Callable[[], str], every: float = ALIVE_S) -> AsyncIterator[bytes]:
        """Messages for one who watches, as long as pages are served. draw: the same for all who name this key. every:
        seconds after which it is drawn anew though nothing was seen to change."""
        last = b""
        yield b"retry: 500\n\n"
        while not self._pulse.ended:
            picture = await self.get(key, self._pulse.beat, draw, every)
            if picture.mark != last:
                last = picture.mark
                yield picture.message
            else:
                yield b": alive\n\n"
            await self._pulse.wait(picture.beat, every)

    async def get(self, key: str, beat: int, draw: Callable[[], str], every: float = ALIVE_S) -> Picture:
        """One that was drawn after this beat."""
        one = self._of(key)
        now = asyncio.get_running_loop().time
        async with one.lock:  # who waited here takes what the one before drew
            known = one.picture
            if known is not None and known.beat >= beat and now() - one.began < every:
                return known
            await asyncio.sleep(max(0.0, one.began + APART_S - now()))
            one.began, seen = now(), self._pulse.beat
            html = await _drawn(self._threads.run(draw))
            one.picture = Picture(seen, hashlib.sha256(html.encode()).digest(), message(html))
            return one.picture

    def _of(self, key: str) -> _One:
        one = self._ones.setdefault(key, _One())
        self._ones.move_to_end(key)
        if len(self._ones) > KEPT:
            self._ones.popitem(last=False)
        return one


async def _drawn(drawing: Awaitable[str]) -> str:
    try:
        return await drawing
    except OvernightError as error:
        return f'<p class="note bad">{type(error).__name__}</p>'


def message(html: str) -> bytes:
    """As a server-sent event."""
    return "".join(f"data: {line}\n" for line in html.splitlines() if line.strip()).encode() + b"\n"
