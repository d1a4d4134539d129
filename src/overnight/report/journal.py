"""Opening the journal for readers. Nothing here writes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator
from pathlib import Path

from overnight.durable.journal import connect, migrations
from overnight.errors import JournalNewer, Refused

JOURNAL = "journal.db"


@contextlib.contextmanager
def reading(home: Path) -> Generator[sqlite3.Connection]:
    """A read-only connection. Where no journal is yet, one that holds nothing.

    Raises JournalNewer; Refused when the file can't be read.
    """
    with _refusing(home / JOURNAL), contextlib.closing(_open(home / JOURNAL)) as db:
        yield db


@contextlib.contextmanager
def snapshot(db: sqlite3.Connection) -> Generator[None]:
    """All queries inside see the same instant."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        return _empty()
    db = connect(path, read_only=True)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except BaseException:
        db.close()
        raise
    if version == migrations()[-1][0]:
        return db
    db.close()
    return _other(path, version)


def _other(path: Path, version: int) -> sqlite3.Connection:
    known = migrations()[-1][0]
    if version == 0:  # its writer is making it right now
        return _empty()
    if version > known:
        raise JournalNewer(found=version, known=known)
    problem = f"The journal {path} has the older schema {version}. `overnight up` brings it up to date."
    raise Refused(problem=problem)


def _empty() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    for _, sql in migrations():
        db.executescript(sql)
    return db


@contextlib.contextmanager
def _refusing(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        problem = (
            f"The journal {path} can't be read: {error}. Look at the file's permissions and the disk it lies on; "
            f"`overnight journal verify` says whether it is whole."
        )
        raise Refused(problem=problem) from error
