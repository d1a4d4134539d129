"""The journal: one SQLite file, one writer, the only truth about what has happened.

Every change is one transaction that carries its events. `synchronous=FULL`: what was committed survives a power
cut. A lock file held for life makes the writer the only one; the kernel frees it on kill -9.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from overnight.durable.chain import GENESIS, Break, Event, digest, verify
from overnight.durable.clock import Clock, SystemClock
from overnight.errors import AlreadyRunning, JournalBroken, JournalNewer, NetworkFileSystem, StateNotWritable

#: SQLite's locks and shared memory do not hold on these.
NETWORK_KINDS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb3",
        "smbfs",
        "afpfs",
        "webdav",
        "9p",
        "ceph",
        "glusterfs",
        "lustre",
        "beegfs",
        "afs",
    }
    | {"fuse.sshfs", "fuse.rclone"}
)

Observer = Callable[[str, str], None]


def _unobserved(_moment: str, _label: str) -> None:
    """Nobody watches the commits."""


class Lock:
    """`journal.lock`, held by the one writer."""

    def __init__(self, home: Path) -> None:
        """Raises AlreadyRunning, StateNotWritable."""
        self.path = home / "journal.lock"
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateNotWritable(path=home, reason=error.strerror or error) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise AlreadyRunning(pid=holder, path=home) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)


def refuse_network(path: Path) -> None:
    """Raises NetworkFileSystem when the folder lies on one."""
    import psutil

    real = os.path.realpath(path)
    mounts = [p for p in psutil.disk_partitions(all=True) if f"{real}/".startswith(p.mountpoint.rstrip("/") + "/")]
    if mounts and (kind := max(mounts, key=lambda p: len(p.mountpoint)).fstype.lower()) in NETWORK_KINDS:
        raise NetworkFileSystem(path=path, kind=kind)


def migrations() -> list[tuple[int, str]]:
    """(version, SQL), in order. Forward only: a released file never changes."""
    folder = resources.files("overnight.durable") / "migrations"
    return sorted((int(f.name[:4]), f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql"))


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with the journal's settings. Readers never write, not even a checkpoint."""
    uri = f"{path.absolute().as_uri()}{'?mode=ro' if read_only else ''}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)
    db.row_factory = sqlite3.Row
    if not read_only:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-2000"):
            db.execute(f"PRAGMA {pragma}")
    return db


class Journal:
    """The writer's view. Everything here is called from one thread."""

    def __init__(self, home: Path, *, clock: Clock | None = None, observer: Observer = _unobserved) -> None:
        """Opens and migrates `home/journal.db`. observer is told `before` and `after` each commit.

        Raises AlreadyRunning, StateNotWritable, NetworkFileSystem, JournalNewer.
        """
        self.home, self.clock, self._observer = home, clock or SystemClock(), observer
        self._lock = Lock(home)
        try:
            refuse_network(home)
            self.db = connect(home / "journal.db")
            self._migrate()
        except sqlite3.OperationalError as error:
            self._lock.release()
            raise StateNotWritable(path=home, reason=error) from error
        except BaseException:
            self._lock.release()
            raise
        last = self.db.execute("SELECT seq, digest FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        self._seq, self._digest = (last["seq"], last["digest"]) if last else self.anchor()
        self._depth = 0

    def close(self) -> None:
        """Let go of file and lock."""
        self.db.close()
        self._lock.release()

    def _migrate(self) -> None:
        known = migrations()
        at = self.db.execute("PRAGMA user_version").fetchone()[0]
        if at > known[-1][0]:
            raise JournalNewer(found=at, known=known[-1][0])
        for version, sql in known:
            if version > at:
                self.db.executescript(f"BEGIN IMMEDIATE; {sql}; PRAGMA user_version={version}; COMMIT;")

    # -- writing --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def tx(self, label: str) -> Generator[sqlite3.Connection]:
        """One transaction; a nested one joins the outer. label tells observers what is being committed."""
        if self._depth:
            yield self.db
            return
        chain = self._seq, self._digest
        self.db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield self.db
            self._observer("before", label)
            self.db.execute("COMMIT")
        except BaseException:
            self._seq, self._digest = chain
            with contextlib.suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0
        self._observer("after", label)

    def tell(self, what: str, *, task: str | None = None, actor: str = "daemon", why: str = "", **data: Any) -> None:
        """Append an event, inside a transaction."""
        body = json.dumps(data, sort_keys=True, default=str)
        event = Event(self._seq + 1, self.clock.now(), task, actor, what, why, body)
        self._seq, self._digest = event.seq, digest(event, self._digest)
        row = (event.seq, event.at, task, actor, what, why, body, self._digest)
        self.db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def put(self, kind: str, key: str, value: str) -> None:
        """Set a record."""
        row = (kind, key, value, self.clock.now())
        self.db.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", row)

    def drop(self, kind: str, key: str) -> bool:
        """Remove a record; False when there was none."""
        return self.db.execute("DELETE FROM record WHERE kind = ? AND key = ?", (kind, key)).rowcount > 0

    # -- reading --------------------------------------------------------------------------------------------

    def get(self, kind: str, key: str) -> str | None:
        """A record's value, or None."""
        row = self.db.execute("SELECT value FROM record WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return row["value"] if row else None

    def anchor(self) -> tuple[int, str]:
        """(sequence number, digest) that the first kept event follows."""
        return anchor(self.db)


def anchor(db: sqlite3.Connection) -> tuple[int, str]:
    """(sequence number, digest) before the first kept event: the end of the archive, or the beginning of time."""
    row = db.execute("SELECT value FROM record WHERE kind = 'journal' AND key = 'anchor'").fetchone()
    if row is None:
        return 0, GENESIS
    seq, last = json.loads(row["value"])
    return seq, last


def read_events(db: sqlite3.Connection, *, task: str | None = None, after: int = 0) -> Iterator[Event]:
    """Events in order, of one task or all, after a sequence number."""
    where, args = ("AND task = ?", (after, task)) if task is not None else ("", (after,))
    for row in db.execute(f"SELECT * FROM event WHERE seq > ? {where} ORDER BY seq", args):  # noqa: S608 (constant)
        yield Event(*row)


def verify_journal(path: Path) -> int:
    """Recompute the chain; the number of events that fit. Raises JournalBroken at the first that does not."""
    with contextlib.closing(connect(path, read_only=True)) as db:
        seq, before = anchor(db)
        found = verify(read_events(db), before, seq)
    if isinstance(found, Break):
        raise JournalBroken(seq=found.seq, problem=found.problem, path=path)
    return found[0]
