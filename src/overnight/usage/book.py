"""What was read, put together with what is known: answers of one batch, merged, priced, and added up anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from operator import add, itemgetter
from typing import Any, NamedTuple

import msgspec

from overnight.missions.tokens import Tokens
from overnight.usage.costs import Costs, packed, unpacked
from overnight.usage.entries import Billing, Entry, Owner, figures, merged
from overnight.usage.places import Root
from overnight.usage.records import Answered, Seen

QUARTER_MS = 900_000
_THESE = """
SELECT a.key, a.rank, a.owned, a.session, a.at, a.billing, a.input, a.output, a.thinking, a.read, a.written, a.hour,
       a.searches, a.steps, a.known, a.cost
FROM answer AS a WHERE a.key IN (SELECT value FROM json_each(?))
"""
_OF_LOGS = _THESE.replace("a.key IN (SELECT value FROM json_each(?))", "NOT a.bill")
#: Answers that are looked up at once.
_AT_ONCE = 1000

_CELL = """
INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  answers = answers + excluded.answers, input = input + excluded.input, output = output + excluded.output,
  thinking = thinking + excluded.thinking, read = read + excluded.read, written = written + excluded.written,
  hour = hour + excluded.hour, searches = searches + excluded.searches, unknown = unknown + excluded.unknown,
  unpriced = unpriced + excluded.unpriced, cost = cost + excluded.cost
"""
_SUM = """
INSERT INTO cell SELECT at / 900000, session, billing, count(*), sum(input), sum(output), sum(thinking), sum(read),
  sum(written), sum(hour), sum(searches), sum(NOT known), sum(cost IS NULL), coalesce(sum(cost), 0)
FROM answer GROUP BY 1, 2, 3
"""

SUM_OF_SESSION = _SUM.replace("GROUP BY", "WHERE session = ? GROUP BY")


_ANSWER = "INTO answer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
#: Quarter, session and billing.
_Cell = tuple[int, int, int]
#: What is to be added to the sums of each.
_Cells = dict[_Cell, tuple[int, ...]]
_QUARTER = itemgetter(0)


class _Stored(NamedTuple):
    """An answer as the index has it."""

    entry: Entry
    session: int
    billing: int
    cost: int | None


class Book:
    """Takes in what readers saw; `write` puts it into the index, in the transaction under way."""

    def __init__(self, db: sqlite3.Connection, costs: Costs) -> None:
        self._db, self._costs = db, costs
        #: Agent -> key -> the answer, as far as it was read in this batch
        self._new: dict[str, dict[int, Entry]] = {}
        self._folders: dict[tuple[str, str], tuple[int, str]] = {}
        self._runs: dict[tuple[str, str], str] = {}
        self._windows: dict[tuple[str, str], Answered] = {}
        self._sessions: dict[tuple[str, str], int] = {}
        self._names: dict[int, str] = {}
        self._billings: dict[Billing, int] = {}
        self._billed: dict[int, Billing] = {}

    def __len__(self) -> int:
        """Answers that wait to be written."""
        return sum(map(len, self._new.values()))

    def take(self, root: Root, seen: Seen) -> None:
        """What a reader saw in a log of this root."""
        agent = root.agent
        new = self._new.setdefault(agent, {})
        for key, entry in seen.answers:
            had = new.get(key)
            new[key] = entry if had is None else merged(had, entry)
        for session, here in seen.folders.items():
            known = self._folders.get((agent, session))
            if known is None or here < known:
                self._folders[agent, session] = here
        if root.run:
            self._runs.update({(agent, session): root.run for session in seen.sessions})
        for window in seen.windows:
            last = self._windows.get((agent, window.name))
            if last is None or window.seen >= last.seen:
                self._windows[agent, window.name] = window

    def write(self) -> None:
        """Put it all into the index."""
        cells = _Cells()
        for agent, new in self._new.items():
            # In the order of their keys, so that the index's pages are gone through once.
            keys = sorted(new)
            for n in range(0, len(keys), _AT_ONCE):
                self._answers(agent, new, keys[n : n + _AT_ONCE], cells)
        # In the order of time, for the same reason.
        self._db.executemany(_CELL, ((*cell, *cells[cell]) for cell in sorted(cells, key=_QUARTER)))
        if any(sums[0] <= 0 for sums in cells.values()):
            self._db.execute("DELETE FROM cell WHERE answers = 0")
        self._place()
        if cells:
            self._drop_bills()

    def reprice(self) -> None:
        """Work out every cost anew."""
        costs = list[tuple[int | None, int]]()
        for row in self._db.execute(_OF_LOGS):
            had = self._stored(row)
            found = self._price(had.entry)
            if found != had.cost:
                costs.append((found, row[0]))
        self._db.executemany("UPDATE answer SET cost = ? WHERE key = ?", costs)
        self._db.execute("DELETE FROM cell")
        self._db.execute(_SUM)

    # -- answers ----------------------------------------------------------------------------------------------

    def _answers(self, agent: str, new: dict[int, Entry], keys: list[int], cells: _Cells) -> None:
        """Write some answers, those that are new or others now; what changes in the sums goes to `cells`."""
        found = self._db.execute(_THESE, (msgspec.json.encode(keys).decode(),)).fetchall()
        had, changed = {row[0]: row for row in found}, list[tuple[object, ...]]()
        for key in keys:
            if key in had:
                stored = self._stored(had[key])
                entry = merged(stored.entry, new[key])
                if entry != stored.entry:
                    _take_off(cells, stored)
                    changed.append(self._row(key, agent, entry, cells))
        self._db.executemany(f"INSERT OR REPLACE {_ANSWER}", changed)
        # To look for what a row might replace takes a quarter of the time of writing it.
        rows = [self._row(key, agent, new[key], cells) for key in keys if key not in had]
        self._db.executemany(f"INSERT {_ANSWER}", rows)

    def _row(self, key: int, agent: str, entry: Entry, cells: _Cells) -> tuple[object, ...]:
        """The answer's row; its part of the sums goes to `cells`."""
        cost = self._price(entry)
        session, billing = self._session(agent, entry.owner.session), self._billing(entry.billing)
        counts = figures(entry.tokens)
        _sum(cells, (entry.at // QUARTER_MS, session, billing), (1, *counts, not entry.known, cost is None, cost or 0))
        return (
            key, entry.at, entry.owner.rank, entry.owner.at, session, billing, *counts,
            packed(entry.steps), entry.known, cost,
        )  # fmt: skip

    def _price(self, entry: Entry) -> int | None:
        return self._costs(entry.billing, entry.at, entry.tokens, entry.steps) if entry.known else None

    def _stored(self, row: Any) -> _Stored:
        _, rank, owned, session, at, billing, i, o, t, r, w, h, s, steps, known, cost = row
        tokens = Tokens(input=i, output=o, thinking=t, cache_read=r, cache_write=w, cache_write_1h=h, web_searches=s)
        owner = Owner(rank, owned, self._name(session))
        entry = Entry(owner, at, self._of(billing), tokens, unpacked(steps), bool(known))
        return _Stored(entry, session, billing, cost)

    # -- names ------------------------------------------------------------------------------------------------

    def _session(self, agent: str, name: str) -> int:
        where = (agent, name)
        if where not in self._sessions:
            sql = "INSERT INTO session(agent, name) VALUES (?, ?) ON CONFLICT DO UPDATE SET name = name RETURNING id"
            found: int = self._db.execute(sql, where).fetchone()[0]
            self._sessions[where], self._names[found] = found, name
        return self._sessions[where]

    def _name(self, session: int) -> str:
        if session not in self._names:
            self._names[session] = self._db.execute("SELECT name FROM session WHERE id = ?", (session,)).fetchone()[0]
        return self._names[session]

    def _billing(self, billing: Billing) -> int:
        if billing not in self._billings:
            sql = "INSERT INTO billing(vendor, model, tier, speed, geo) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET geo = geo RETURNING id"
            found: int = self._db.execute(sql, billing).fetchone()[0]
            self._billings[billing], self._billed[found] = found, billing
        return self._billings[billing]

    def _of(self, billing: int) -> Billing:
        if billing not in self._billed:
            sql = "SELECT vendor, model, tier, speed, geo FROM billing WHERE id = ?"
            self._billed[billing] = Billing(*self._db.execute(sql, (billing,)).fetchone())
        return self._billed[billing]

    # -- beside answers ---------------------------------------------------------------------------------------

    def _place(self) -> None:
        for (agent, name), (at, folder) in self._folders.items():
            sql = "UPDATE session SET folder = ?, placed = ? WHERE id = ? AND (placed, folder) > (?, ?)"
            self._db.execute(sql, (folder, at, self._session(agent, name), at, folder))
        for (agent, name), run in self._runs.items():
            sql = "UPDATE session SET run = ? WHERE id = ? AND (run = '' OR run > ?)"
            self._db.execute(sql, (run, self._session(agent, name), run))
        for (agent, name), window in self._windows.items():
            sql = (
                "INSERT INTO window VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET used = excluded.used, "
                "resets = excluded.resets, status = excluded.status, seen = excluded.seen WHERE excluded.seen >= seen"
            )
            self._db.execute(sql, (agent, name, window.used, window.resets, window.status, window.seen))

    def _drop_bills(self) -> None:
        """A run's bill stands for a log that is gone; where the log turns up after all, it counts."""
        twice = list(self._twice())
        if twice:
            self._db.executemany("DELETE FROM answer WHERE bill AND session = ?", twice)
            self._db.executemany("DELETE FROM cell WHERE session = ?", twice)
            self._db.executemany(SUM_OF_SESSION, twice)

    def _twice(self) -> Iterator[tuple[int]]:
        sql = (
            "SELECT b.session FROM answer AS b WHERE b.bill GROUP BY b.session HAVING count(*) < "
            "(SELECT sum(c.answers) FROM cell AS c WHERE c.session = b.session)"
        )
        yield from self._db.execute(sql)


def _take_off(cells: _Cells, stored: _Stored) -> None:
    """What an answer came to so far counts no longer."""
    entry, cost = stored.entry, stored.cost
    sums = (1, *figures(entry.tokens), not entry.known, cost is None, cost or 0)
    _sum(cells, (entry.at // QUARTER_MS, stored.session, stored.billing), tuple(-value for value in sums))


def _sum(cells: _Cells, cell: _Cell, sums: tuple[int, ...]) -> None:
    before = cells.get(cell)
    cells[cell] = sums if before is None else tuple(map(add, before, sums))
