"""What tasks have cost so far: what is settled for their ended runs, and what the records of a live run say."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path

from msgspec import Struct

from overnight.durable.ledger import PARTS
from overnight.report.journal import reading, snapshot
from overnight.report.rundir import EVENTS, folder_of, lines_from, read_event
from overnight.report.views import TaskRow


class CostView(Struct, frozen=True, kw_only=True):
    """What a task has cost."""

    #: US dollars at list prices.
    usd: Decimal
    #: Parts of it are not known: it is at least that.
    unknown: bool = False


class Costs:
    """Remembers how far the record of each live run was read."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._live = dict[str, _Live]()

    def look(self, rows: Iterable[TaskRow]) -> dict[str, CostView]:
        """Task -> what it has cost so far. Raises JournalNewer, Refused."""
        found, live = dict[str, CostView](), dict[str, _Live]()
        with reading(self._home) as db, snapshot(db):
            for row in rows:
                usd, unpriced, open_runs = _settled(db, row.id)
                for run in open_runs:
                    live[run] = self._live.get(run) or _Live(folder_of(self._home, run) / EVENTS)
                    live[run].read()
                    usd, unpriced = usd + live[run].usd, unpriced or live[run].unknown
                found[row.id] = CostView(usd=usd, unknown=unpriced)
        self._live = live
        return found


class _Live:
    """One live run's record, as far as it was read."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0
        self.usd, self.unknown = Decimal(0), False

    def read(self) -> None:
        with contextlib.suppress(OSError):
            for line, end in lines_from(self._path, self._offset):
                self._offset = end
                if b'"usage"' in line and (event := read_event(line)) is not None and event.get("kind") == "usage":
                    self._take(event)

    def _take(self, event: dict[str, object]) -> None:
        try:
            self.usd += Decimal(str(event.get("cost")))
        except InvalidOperation:
            self.unknown = self.unknown or not event.get("error")
        self.unknown = self.unknown or bool(event.get("unknown") or event.get("lost"))


def _settled(db: sqlite3.Connection, task: str) -> tuple[Decimal, bool, list[str]]:
    """(dollars, whether parts are unknown, runs that are not settled). Judges are counted; their loans have no record."""
    usd, unpriced, runs = Decimal(0), False, list[str]()
    for row in db.execute("SELECT run, usd, unpriced, settled FROM spend WHERE task = ?", (task,)):
        usd += Decimal(row["usd"]) / PARTS
        unpriced = unpriced or bool(row["unpriced"])
        if row["settled"] is None and "/" not in row["run"]:
            runs.append(row["run"])
    return usd, unpriced, runs
