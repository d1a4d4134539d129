"""Raises anomalies while a daemon lives: each key once, storms as one, with a record of what was told."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable

from overnight.durable.journal import Journal
from overnight.errors import OvernightError
from overnight.judge.anomalies import Anomaly, AnomalySettings, folded, to_tell
from overnight.missions.codec import builtins
from overnight.report.signs import RECORD, Signs
from overnight.report.slept import Sleeps

LOOK_S = 15.0
#: What was told so long ago may be told again.
FORGET_S = 30 * 86400.0


class Alerts:
    """Looks every few seconds, over one open journal."""

    def __init__(
        self, journal: Journal, settings: AnomalySettings, without: Callable[[str], str], say: Callable[[str], None],
        sleeps: Sleeps | None = None,
    ) -> None:  # fmt: skip
        """without: takes secrets out of a text. say: into the daemon's log. sleeps: sees whether the machine slept."""
        self._journal, self._settings, self._without, self._say = journal, settings, without, say
        self._signs = Signs(journal.home, settings, sleeps)

    async def run(self) -> None:
        """Until cancelled."""
        clock = self._journal.clock
        while True:
            try:
                await self.step()
            except (OSError, sqlite3.Error, OvernightError) as error:
                self._say(f"it could not be looked whether anything is unusual: {error}")
            await clock.wait(asyncio.Event(), clock.now() + LOOK_S)

    async def step(self) -> tuple[Anomaly, ...]:
        """One look; what was raised. Raises OSError, sqlite3.Error, OvernightError."""
        now = self._journal.clock.now()
        found = await asyncio.to_thread(self._signs.look, now)
        told = self._told(now)
        new = to_tell(found, told, now, self._settings.storm)
        if not new:
            return ()
        unsaid = [each for each in found if each.key not in told]
        with self._journal.tx("anomalies"):
            for key in folded(unsaid, new):
                self._journal.put(RECORD, key, "{}")
            for each in new:
                why = self._without(each.why)
                said = {"anomaly": {**builtins(each), "why": why}}
                self._journal.put(RECORD, each.key, json.dumps(said))
                self._journal.tell(
                    "anomaly.raised", task=each.task if self._known(each.task) else None, why=why,
                    anomaly=said["anomaly"],
                )  # fmt: skip
        return new

    def _told(self, now: float) -> dict[str, float]:
        rows = self._journal.db.execute("SELECT key, at FROM record WHERE kind = ?", (RECORD,)).fetchall()
        for key in [row["key"] for row in rows if row["at"] < now - FORGET_S]:
            self._journal.drop(RECORD, key)
        return {row["key"]: row["at"] for row in rows if row["at"] >= now - FORGET_S}

    def _known(self, task: str | None) -> bool:
        return self._journal.db.execute("SELECT 1 FROM task WHERE id = ?", (task,)).fetchone() is not None
