"""What is known of vendors' limits, in the journal: windows and breaker of each account, and ceilings that are lifted.

The latest word on a window may be in the folder of a run that goes on; `known` reads both.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from overnight.durable.journal import Journal, connect
from overnight.judge.breaker import Breaker
from overnight.judge.limits import merged
from overnight.missions.codec import decode, encode
from overnight.missions.limits import Contact, Window
from overnight.missions.places import CONTACT, run_dir

#: Kinds of record. The key is the account; of `CEILING` it is `lifted`.
WINDOWS, BREAKER, CEILING, LIFTED = "windows", "breaker", "ceiling", "lifted"
_WINDOWS = tuple[Window, ...]
T = TypeVar("T")


class Lifted(Struct, frozen=True, kw_only=True):
    """A person lets runs go beyond the ceilings."""

    #: Epoch seconds.
    until: float


class Account(Struct, frozen=True, kw_only=True):
    """What is known of one account."""

    #: The agent and its route: `claude direct`.
    name: str
    windows: tuple[Window, ...] = ()
    breaker: Breaker = Breaker()


class LimitBook:
    """The writer's view."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def windows(self, account: str) -> tuple[Window, ...]:
        """As they were last seen."""
        return _read(self._journal.get(WINDOWS, account), _WINDOWS) or ()

    def breaker(self, account: str) -> Breaker:
        """As it was left; closed where nothing is known."""
        return _read(self._journal.get(BREAKER, account), Breaker) or Breaker()

    def see(self, account: str, windows: Iterable[Window]) -> tuple[Window, ...]:
        """Note what somebody saw; what is known then."""
        before = self.windows(account)
        after = merged(before, windows)
        if after != before:
            self._journal.put(WINDOWS, account, encode(after).decode())
        return after

    def set_breaker(self, account: str, breaker: Breaker) -> None:
        """Remember it."""
        if breaker != self.breaker(account):
            self._journal.put(BREAKER, account, encode(breaker).decode())

    def lifted(self) -> bool:
        """Whether the ceilings are lifted now."""
        found = _read(self._journal.get(CEILING, LIFTED), Lifted)
        return found is not None and found.until > self._journal.clock.now()

    def insisted(self, task: str) -> float | None:
        """When a person last said that a task is to be tried; epoch seconds."""
        sql = "SELECT max(at) AS at FROM event WHERE task = ? AND what = 'want.resume'"
        return self._journal.db.execute(sql, (task,)).fetchone()["at"]


def known(home: Path) -> tuple[Account, ...]:
    """Every account that anything is known of, with what runs under way have seen since. Reads only.

    Raises sqlite3.Error when the journal can't be read.
    """
    path = home / "journal.db"
    if not path.exists():
        return ()
    with contextlib.closing(connect(path, read_only=True)) as db:
        return read_known(db, home)


def read_known(db: sqlite3.Connection, home: Path) -> tuple[Account, ...]:
    """As `known`, for whoever has a connection."""
    windows = {key: _read(value, _WINDOWS) or () for key, value in _records(db, WINDOWS)}
    breakers = {key: _read(value, Breaker) or Breaker() for key, value in _records(db, BREAKER)}
    for run in runs_under_way(db):
        seen = read_contact(home, run)
        if seen.account and seen.windows:
            windows[seen.account] = merged(windows.get(seen.account, ()), seen.windows)
    names = sorted(windows.keys() | breakers.keys())
    return tuple(
        Account(name=name, windows=windows.get(name, ()), breaker=breakers.get(name, Breaker())) for name in names
    )


def lifted_until(home: Path) -> float | None:
    """Until when the ceilings are lifted, epoch seconds; None when they never were, or nobody can say so."""
    try:
        with contextlib.closing(connect(home / "journal.db", read_only=True)) as db:
            return read_lifted(db)
    except sqlite3.Error:
        return None


def read_lifted(db: sqlite3.Connection) -> float | None:
    """As `lifted_until`, for whoever has a connection."""
    found = next((_read(value, Lifted) for key, value in _records(db, CEILING) if key == LIFTED), None)
    return None if found is None else found.until


def runs_under_way(db: sqlite3.Connection) -> list[str]:
    """Runs that were granted something and have not settled it."""
    return [row["run"] for row in db.execute("SELECT run FROM spend WHERE settled IS NULL")]


def read_contact(home: Path, run: str) -> Contact:
    """What a run that goes on has seen so far; nothing where it says nothing."""
    try:
        return decode((Path(run_dir(str(home), run)) / CONTACT).read_bytes(), Contact)
    except (OSError, ValueError, msgspec.MsgspecError):
        return Contact()


def _records(db: sqlite3.Connection, kind: str) -> list[tuple[str, str]]:
    rows = db.execute("SELECT key, value FROM record WHERE kind = ? ORDER BY key", (kind,))
    return [(row["key"], row["value"]) for row in rows]


def _read(text: str | None, kind: type[T]) -> T | None:
    return None if text is None else decode(text, kind)
