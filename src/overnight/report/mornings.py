"""The brief of every night, made once: in the morning, or as soon as somebody is there after it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable

from overnight.durable.journal import Journal
from overnight.errors import OvernightError
from overnight.judge.limits import Ceilings
from overnight.report.nights import Night, ReportSettings, clock_time, due, keep, latest, night_after

#: The kind of record that says that a night has its brief.
RECORD = "report"
#: A brief that is made so much after its night was over is late.
LATE_S = 600.0
#: What could not be made is tried again after this time.
AGAIN_S = 60.0


class Mornings:
    """Makes what is due, over one open journal."""

    def __init__(
        self,
        journal: Journal,
        settings: ReportSettings,
        ceilings: Ceilings,
        without: Callable[[str], str],
        say: Callable[[str], None],
    ) -> None:
        """without: takes secrets out of a text. say: into the daemon's log."""
        self._journal, self._at, self._ceilings = journal, clock_time(settings.at), ceilings
        self._without, self._say = without, say

    async def run(self) -> None:
        """Until cancelled. A machine that slept is no reason to miss one."""
        while True:
            now = self._journal.clock.now()
            until = night_after(latest(now, self._at), self._at).until
            try:
                await self.make()
            except (OSError, sqlite3.Error, OvernightError) as error:
                self._say(f"the night's brief could not be made: {error}; it is tried again")
                until = now + AGAIN_S
            await self._journal.clock.wait(asyncio.Event(), until)

    async def make(self) -> tuple[str, ...]:
        """Make every brief that is due; the nights' names. Raises OSError, sqlite3.Error, OvernightError."""
        found = due(self._first(), self._made(), self._journal.clock.now(), self._at)
        for each in found:
            await self._one(each, last=each is found[-1])
        return tuple(each.name for each in found)

    async def _one(self, night: Night, *, last: bool) -> None:
        from overnight.report.brief_read import brief
        from overnight.report.brief_render import markdown

        home, now = self._journal.home, self._journal.clock.now()
        late = now - night.until if now - night.until > LATE_S else 0.0
        made = await asyncio.to_thread(
            brief, home, night, now, without=self._without, ceilings=self._ceilings, late=late
        )  # fmt: skip
        path = await asyncio.to_thread(keep, home, made, markdown(made))
        with self._journal.tx("report"):
            self._journal.put(RECORD, night.name, json.dumps({"made": now}))
            self._journal.tell(
                "report.made", why=made.verdict.sentence, night=night.name, path=str(path), late=late, latest=last
            )

    def _first(self) -> float | None:
        row = self._journal.db.execute("SELECT at FROM event ORDER BY seq LIMIT 1").fetchone()
        return None if row is None else row["at"]

    def _made(self) -> frozenset[str]:
        rows = self._journal.db.execute("SELECT key FROM record WHERE kind = ?", (RECORD,))
        return frozenset(row["key"] for row in rows)
