"""Time as a port: what the engine knows of it, so that tests can own it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

#: The system clock may jump (suspend, time synchronisation) while a timer runs: look again at least this often.
LOOK_AGAIN_S = 60.0


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> float:
        """Epoch seconds."""
        ...

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Return when the event is set, or no earlier than `until` by this clock, whichever comes first."""
        ...


class SystemClock:
    """The machine's clock."""

    def __init__(self, time: Callable[[], float] = time.time, look_again_s: float = LOOK_AGAIN_S) -> None:
        self._time, self._look_again_s = time, look_again_s

    def now(self) -> float:
        return self._time()

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        while not event.is_set():
            left = None if until is None else until - self._time()
            if left is not None and left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left is None else min(left, self._look_again_s)):
                    await event.wait()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._sleepers: set[tuple[float, asyncio.Future[None]]] = set()

    def now(self) -> float:
        return self._now

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for a time that has not come."""
        return any(not due.done() for _, due in self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move forward; everyone whose time has come is woken."""
        self._now += seconds
        for sleeper in [s for s in self._sleepers if s[0] <= self._now]:
            if not sleeper[1].done():
                sleeper[1].set_result(None)

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        if until is not None and until <= self._now:
            return
        if until is None:
            await event.wait()
            return
        due: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sleeper = (until, due)
        self._sleepers.add(sleeper)
        waiter = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({due, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sleepers.discard(sleeper)
            waiter.cancel()
            due.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiter
