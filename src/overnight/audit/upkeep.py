"""The audit's upkeep, as the daemon does it: a checkpoint each day, and retention."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from overnight.audit.checkpoints import Made, make_checkpoint, missed, sweep_runs
from overnight.audit.places import Places, day_at, day_of, task_of
from overnight.errors import AuditKeyUnusable

_DAY_S = 86400.0
#: After a day's end, so that no clock is just before it.
_AFTER_S = 5.0


class Upkeep:
    """Signs what is on record, and says what came of it."""

    def __init__(self, state: Path, told: Callable[[Made], None], trouble: Callable[[str], None]) -> None:
        """told: of checkpoints that were made or found something broken. trouble: of what could not be done."""
        self._state, self._told, self._trouble = state, told, trouble

    async def daily(self) -> None:
        """At the start when a day was missed, and after each day's end, for ever."""
        if await asyncio.to_thread(missed, self._state):
            await self.sign("start")
        while True:
            now = time.time()
            # No longer than an hour at a time: clocks are set, and machines sleep.
            await asyncio.sleep(min(_DAY_S - now % _DAY_S + _AFTER_S, 3600.0))
            if day_at(now) != day_at():
                await self.sign("day")

    async def sign(self, why: str) -> None:
        """One checkpoint. What keeps it from being made is told; nothing else stops for it."""
        try:
            made = await asyncio.to_thread(make_checkpoint, self._state, why)
        except (OSError, AuditKeyUnusable) as error:
            self._trouble(f"no checkpoint of the audit could be signed: {error}")
            return
        if made.head is not None or made.flaws:
            self._told(made)

    def sweep(self, keep_s: float, kept: Callable[[str], bool]) -> None:
        """Remove the files of runs that began longer than keep_s ago, unless their task is kept."""
        before = day_at(time.time() - keep_s)
        names = [name for name in Places(self._state).runs() if day_of(name) < before]
        tasks = {task for name in names if (task := task_of(name)) is not None and not kept(task)}
        try:
            sweep_runs(self._state, sorted(tasks))
        except (OSError, AuditKeyUnusable) as error:
            self._trouble(f"the audit of tasks that ended long ago could not be swept: {error}")
