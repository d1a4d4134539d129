"""What people decided and what was refused, copied from the journal into the audit's signed, chained files.

The journal decides what happened; the audit follows it. A line names its event's number and digest, so whoever comes
after a kill goes on behind the last one, and nothing is copied twice or left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable, Generator
from typing import Any

from overnight.audit.decisions import DecisionFile, copied
from overnight.audit.entries import Decided
from overnight.durable.journal import Journal
from overnight.people.floods import Floods, Refusals

#: Events that are about a person's word.
KINDS = (
    "approval.taken", "approval.refused", "answer.taken", "question.answered", "answer.refused", "refusals.counted",
)  # fmt: skip
#: Seconds until the audit is tried again, should its disk have been full.
EVERY_S = 60.0


def _nobody(_text: str) -> None:
    """Nobody is told."""


class Record:
    """Keeps the audit up to date with one open journal."""

    def __init__(self, journal: Journal, trouble: Callable[[str], None] = _nobody) -> None:
        """trouble: told why the audit can't be written; it is tried again."""
        self.refusals = Refusals(journal, Floods())
        self._journal, self._trouble = journal, trouble
        self._file = DecisionFile(journal.home)
        self._last: int | None = None

    @contextlib.contextmanager
    def kept(self) -> Generator[None]:
        """Around a transaction, never inside one: what it put on record is in the audit afterwards, also when it raises."""
        try:
            yield
        finally:
            self.follow()

    def follow(self) -> None:
        """Copy what is new. A decision stands in the journal already, so what keeps the audit from it undoes nothing."""
        try:
            self._follow()
        except OSError as error:
            self._trouble(
                f"people's decisions can't be written to the audit: {error.strerror or error}; it is tried again"
            )

    def _follow(self) -> None:
        db = self._journal.db
        if self._last is None:
            self._last = self._begin()
        newest = db.execute("SELECT coalesce(max(seq), 0) AS seq FROM event").fetchone()["seq"]
        marks = ", ".join("?" * len(KINDS))
        sql = f"SELECT * FROM event WHERE seq > ? AND what IN ({marks}) ORDER BY seq"  # noqa: S608 (marks only)
        for row in db.execute(sql, (self._last, *KINDS)).fetchall():
            self._file.append(_decided(row))
            self._last = row["seq"]
        self._last = max(self._last, newest)

    def _begin(self) -> int:
        """The last event that was copied. A journal that was put back from a copy has other events by the same numbers."""
        for line in copied(self._journal.home):
            if line.event <= self._journal.anchor()[0]:
                return line.event
            row = self._journal.db.execute("SELECT digest FROM event WHERE seq = ?", (line.event,)).fetchone()
            if row is not None and row["digest"] == line.chain:
                return line.event
        return 0

    async def run(self) -> None:
        """Until cancelled."""
        clock, counting = self._journal.clock, asyncio.create_task(self.refusals.run())
        try:
            while True:
                with contextlib.suppress(sqlite3.Error):  # the engine meets it as well, and says so
                    self.follow()
                await clock.wait(asyncio.Event(), clock.now() + EVERY_S)
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
            with contextlib.suppress(sqlite3.Error):
                self.follow()


def _decided(row: sqlite3.Row) -> Decided:
    data: dict[str, Any] = json.loads(row["data"])

    def text(name: str) -> str:
        return str(data.get(name) or "")

    return Decided(
        event=row["seq"], chain=row["digest"], told=row["at"], what=row["what"], task=row["task"] or "", who=row["actor"],
        why=row["why"], reason=text("reason"), channel=text("channel"), sender=text("sender"), operator=text("operator"),
        ask=text("ask") or text("question"), commit=text("commit"), action=text("action"), ticket=text("ticket"),
        right=text("right"), count=int(data.get("count") or 0),
    )  # fmt: skip
