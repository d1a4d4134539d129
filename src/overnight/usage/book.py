"""What was read, put together with what is known: answers of one batch, merged, priced, and added up anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
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
        #: (agent, key) -> the answer, as far as it was read in this batch
        self._new: dict[int, tuple[str, Entry]] = {}
        self._folders: dict[tuple[str, str], tuple[int, str]] = {}
        self._runs: dict[tuple[str, str], str] = {}
        self._windows: dict[tuple[str, str], Answered] = {}
        self._sessions: dict[tuple[str, str], int] = {}
        self._names: dict[int, str] = {}
        self._billings: dict[Billing, int] = {}
        self._billed: dict[int, Billing] = {}

    def __len__(self) -> int:
        """Answers that wait to be written."""
        return len(self._new)

    def take(self, root: Root, seen: Seen) -> None:
        """What a reader saw in a log of this root."""
        agent, new = root.agent, self._new
        for key, entry in seen.answers:
            had = new.get(key)
            new[key] = (agent, entry if had is None else merged(had[1], entry))
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
        cells = dict[tuple[int, int, int], list[int]]()
        # In the order of their keys, so that the index's pages are gone through once.
        keys, rows = sorted(self._new), list[tuple[object, ...]]()
        for n in range(0, len(keys), _AT_ONCE):
            some = keys[n : n + _AT_ONCE]
            found = {row[0]: row for row in self._db.execute(_THESE, (msgspec.json.encode(some).decode(),)).fetchall()}
            rows += [row for key in some if (row := self._row(key, *self._new[key], found.get(key), cells))]
        self._db.executemany(
            "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", rows
        )
        self._db.executemany(_CELL, ((*where, *sums) for where, sums in cells.items()))
        if any(sums[0] <= 0 for sums in cells.values()):
            self._db.execute("DELETE FROM cell WHERE answers = 0")
        self._place()
        if rows:
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

    def _row(
        self, key: int, agent: str, new: Entry, found: Any, cells: dict[tuple[int, int, int], list[int]]
    ) -> tuple[object, ...] | None:
        """The answer's row, if it is another one now; what changes in the sums goes to `cells`. found: the row so far."""
        entry = new
        if found is not None:
            had = self._stored(found)
            entry = merged(had.entry, new)
            if entry == had.entry:
                return None
            _add(cells, had, -1)
        cost = self._price(entry)
        session, billing = self._session(agent, entry.owner.session), self._billing(entry.billing)
        _add(cells, _Stored(entry, session, billing, cost), 1)
        return (
            key, entry.at, entry.owner.rank, entry.owner.at, session, billing, *figures(entry.tokens),
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


def _add(cells: dict[tuple[int, int, int], list[int]], stored: _Stored, sign: int) -> None:
    entry = stored.entry
    where = (entry.at // QUARTER_MS, stored.session, stored.billing)
    values = (1, *figures(entry.tokens), int(not entry.known), int(stored.cost is None), stored.cost or 0)
    sums = cells.get(where)
    if sums is None:
        cells[where] = [sign * value for value in values]
    else:
        for n, value in enumerate(values):
            sums[n] += sign * value
