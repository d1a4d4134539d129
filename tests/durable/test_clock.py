"""Clocks, and waiting by them."""

from __future__ import annotations

import asyncio
import time

from overnight.durable.clock import ManualClock, SystemClock


def test_a_forward_jump_of_the_system_clock_is_noticed() -> None:
    """A timer of a day rings soon after the clock jumped past it: the machine slept, or the time was put right."""
    now = [1_000_000.0]

    async def main() -> None:
        clock = SystemClock(lambda: now[0], look_again_s=0.01)
        waiting = asyncio.create_task(clock.wait(asyncio.Event(), 1_000_000.0 + 86400))
        await asyncio.sleep(0)
        assert not waiting.done()
        now[0] += 86401
        await asyncio.wait_for(waiting, 30)

    asyncio.run(main())


def test_the_system_clock_does_not_ring_early() -> None:
    """After the wait the time has come, by the same clock."""

    async def main() -> None:
        clock = SystemClock()
        until = clock.now() + 0.02
        await clock.wait(asyncio.Event(), until)
        assert time.time() >= until

    asyncio.run(main())


def test_an_event_ends_any_wait() -> None:
    """With or without a time, on either clock; a time that has passed does not wait at all."""

    async def main() -> None:
        for clock in (SystemClock(), ManualClock()):
            for until in (None, clock.now() + 1000):
                event = asyncio.Event()
                waiting = asyncio.create_task(clock.wait(event, until))
                await asyncio.sleep(0)
                event.set()
                await asyncio.wait_for(waiting, 30)
            await asyncio.wait_for(clock.wait(asyncio.Event(), clock.now() - 1), 30)

    asyncio.run(main())


def test_a_wait_can_be_cancelled() -> None:
    """A cancelled wait ends as cancelled, on either clock."""

    async def main() -> None:
        for clock in (SystemClock(), ManualClock()):
            waiting = asyncio.create_task(clock.wait(asyncio.Event(), clock.now() + 1000))
            await asyncio.sleep(0)
            waiting.cancel()
            done, _ = await asyncio.wait({waiting}, timeout=30)
            assert done == {waiting}
            assert waiting.cancelled()

    asyncio.run(main())


def test_the_manual_clock_wakes_whoever_is_due() -> None:
    """Sleepers wake at their time and not before."""

    async def main() -> None:
        clock = ManualClock(0.0)
        early, late = (asyncio.create_task(clock.wait(asyncio.Event(), until)) for until in (10.0, 20.0))
        await asyncio.sleep(0)
        clock.advance(10)
        await early
        assert not late.done()
        clock.advance(10)
        await late

    asyncio.run(main())
