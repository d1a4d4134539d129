"""Patience for what happens in other processes, which announce nothing, and an end to what hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
#: Seconds after which what must happen did not, on a machine that has much else to do.
PATIENCE = 120.0


def soon(look: Callable[[], T | None], why: Callable[[], object] = lambda: "") -> T:
    """What a look finds, once it finds something. why: what is said where it never does."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"it does not happen: {why()}")


def within(story: Coroutine[Any, Any, T]) -> T:
    """Run a story on a loop of its own; one that hangs fails."""

    async def limited() -> T:
        async with asyncio.timeout(PATIENCE):
            return await story

    return asyncio.run(limited())
