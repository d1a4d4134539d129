"""The journal: one SQLite file, one writer, the only truth about what has happened.

Every change is one transaction that carries its events. `synchronous=FULL`: what was committed survives a power
cut. A lock file held for life makes the writer the only one; the kernel frees it on kill -9.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from overnight.durable.chain import GENESIS, Break, Event, digest, verify
from overnight.durable.clock import Clock, SystemClock
from overnight.errors import (
    AlreadyRunning,
    BadInput,
    JournalBroken,
    JournalNewer,
    NetworkFileSystem,
    Refused,
    StateNotWritable,
)

#: SQLite's locks and shared memory do not hold on these.
NETWORK_KINDS = frozenset({
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs2", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb", "smb3", "smbfs", "vboxsf", "vmhgfs", "webdav", "fuse.ceph",
    "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
    "fuse.vmhgfs-fuse",
})  # fmt: skip
#: Where the last event's number and digest are kept: without it, events missing at the end would not be noticed.
HEAD = ("journal", "head")
ANCHOR = ("journal", "anchor")
SETTINGS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "cache_size": -2000}

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
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise AlreadyRunning(pid=holder, path=home) from None
        except OSError as error:
            os.close(self._fd)
            raise StateNotWritable(path=home, reason=error.strerror or error) from error

    def release(self) -> None:
        os.close(self._fd)


def network_kind(path: str, mounts: Iterable[tuple[str, str]]) -> str | None:
    """The kind of network file system that an absolute, resolved path lies on; None when it is local.

    mounts: (mount point, kind) in the order they were mounted: of two at one place the later one counts.
    """
    kind, depth = "", -1
    for point, its_kind in mounts:
        stem = point.rstrip("/")
        if f"{path}/".startswith(f"{stem}/") and len(stem) >= depth:
            kind, depth = its_kind.lower(), len(stem)
    return kind if kind in NETWORK_KINDS else None


def refuse_network(path: Path) -> None:
    """Raises NetworkFileSystem when the folder lies, or would lie, on one."""
    import psutil

    mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    if kind := network_kind(os.path.realpath(path), mounts):
        raise NetworkFileSystem(path=path, kind=kind)


@functools.cache
def migrations() -> tuple[tuple[int, str], ...]:
    """(version, SQL), in order. Forward only: a released file never changes."""
    folder = resources.files("overnight.durable") / "migrations"
    return tuple(sorted((int(f.name[:4]), f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql")))


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with the journal's settings. Readers never write, not even a checkpoint.

    Raises Refused when SQLite does not take a setting that durability rests on.
    """
    if not read_only:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # what it holds is the owner's alone
    uri = f"{path.absolute().as_uri()}{'?mode=ro' if read_only else ''}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)
    db.row_factory = sqlite3.Row
    if not read_only:
        try:
            _settle(db, path)
        except BaseException:
            db.close()
            raise
    return db


def _settle(db: sqlite3.Connection, path: Path) -> None:
    for name, value in SETTINGS.items():
        db.execute(f"PRAGMA {name}={value}")
        if (found := db.execute(f"PRAGMA {name}").fetchone()[0]) != value:
            raise Refused(
                problem=f"SQLite does not keep {name} at {value} for {path}: it says {found}. Set OVERNIGHT_HOME to a folder on a local disk."
            )


class Journal:
    """The writer's view. Everything here is called from one thread."""

    def __init__(self, home: Path, *, clock: Clock | None = None, observer: Observer | None = None) -> None:
        """Opens and migrates `home/journal.db`. observer is told `before` and `after` each commit.

        Raises AlreadyRunning, StateNotWritable, NetworkFileSystem, JournalNewer, JournalBroken.
        """
        self.home, self.clock, self._observer = home, clock or SystemClock(), observer or _unobserved
        self._inside = False
        self._seq: int
        self._digest: str
        refuse_network(home)
        with contextlib.ExitStack() as stack:
            self._lock = Lock(home)
            stack.callback(self._lock.release)
            try:
                self.db = connect(home / "journal.db")
                stack.callback(self.db.close)
                self._migrate()
                self._seq, self._digest = self._last()
            except (sqlite3.OperationalError, OSError) as error:
                raise StateNotWritable(path=home, reason=error) from error
            except sqlite3.DatabaseError as error:
                raise JournalBroken(
                    seq=0, problem=f"the file can't be read ({error})", path=home / "journal.db"
                ) from error
            stack.pop_all()

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

    def _last(self) -> tuple[int, str]:
        """(sequence number, digest) that the next event follows. Raises JournalBroken when events at the end are gone:
        going on would hide it for good."""
        row = self.db.execute("SELECT seq, digest FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        seq, last = (row["seq"], row["digest"]) if row else self.anchor()
        head = mark_of(self.db, HEAD)
        if head is not None and head != (seq, last):
            raise JournalBroken(seq=head[0], problem=f"event {seq} is the last one left", path=self.home / "journal.db")
        return seq, last

    # -- writing --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def tx(self, label: str) -> Generator[sqlite3.Connection]:
        """One transaction; a nested one joins the outer. label tells observers what is being committed."""
        if self._inside:
            yield self.db
            return
        chain = self._seq, self._digest
        self.db.execute("BEGIN IMMEDIATE")
        self._inside = True
        try:
            yield self.db
            if self._seq != chain[0]:
                self.put(*HEAD, json.dumps([self._seq, self._digest]))
            self._observer("before", label)
            self.db.execute("COMMIT")
        except BaseException:
            self._seq, self._digest = chain
            with contextlib.suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise
        finally:
            self._inside = False
        self._observer("after", label)

    def tell(self, what: str, *, task: str | None = None, actor: str = "daemon", why: str = "", **data: Any) -> None:
        """Append an event, to the transaction under way or in one of its own."""
        body = json.dumps(data, sort_keys=True, default=str)
        with self.tx(what):
            # float: what the file gives back must be what was digested
            event = Event(self._seq + 1, float(self.clock.now()), task, actor, what, printable(why), body)
            self._seq, self._digest = event.seq, digest(event, self._digest)
            row = (event.seq, event.at, event.task, event.actor, event.what, event.why, event.data, self._digest)
            self.db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def put(self, kind: str, key: str, value: str) -> None:
        """Set a record, in the transaction under way or in one of its own."""
        with self.tx("put"):
            row = (kind, key, value, self.clock.now())
            self.db.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", row)

    def drop(self, kind: str, key: str) -> bool:
        """Remove a record, as `put` sets it; False when there was none."""
        with self.tx("drop"):
            return self.db.execute("DELETE FROM record WHERE kind = ? AND key = ?", (kind, key)).rowcount > 0

    # -- reading --------------------------------------------------------------------------------------------

    def get(self, kind: str, key: str) -> str | None:
        """A record's value, or None."""
        row = self.db.execute("SELECT value FROM record WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return row["value"] if row else None

    def anchor(self) -> tuple[int, str]:
        """(sequence number, digest) that the first kept event follows."""
        return anchor(self.db)


def printable(text: str) -> str:
    """Text that fits the file: bytes of a file name that are no UTF-8 are written out."""
    return text.encode(errors="backslashreplace").decode()


def mark_of(db: sqlite3.Connection, where: tuple[str, str]) -> tuple[int, str] | None:
    """(sequence number, digest) that HEAD or ANCHOR keeps; None where there is none."""
    row = db.execute("SELECT value FROM record WHERE kind = ? AND key = ?", where).fetchone()
    if row is None:
        return None
    seq, last = json.loads(row["value"])
    return seq, last


def anchor(db: sqlite3.Connection) -> tuple[int, str]:
    """(sequence number, digest) before the first kept event: the end of the archive, or the beginning of time."""
    return mark_of(db, ANCHOR) or (0, GENESIS)


def read_events(db: sqlite3.Connection, *, task: str | None = None, after: int = 0) -> Iterator[Event]:
    """Events in order, of one task or all, after a sequence number."""
    where, args = ("AND task = ?", (after, task)) if task is not None else ("", (after,))
    for row in db.execute(f"SELECT * FROM event WHERE seq > ? {where} ORDER BY seq", args):  # noqa: S608 (constant)
        yield Event(*row)


#: Gives the archived events up to and including a sequence number, in order.
Archive = Callable[[int], Iterable[Event]]


def verify_journal(path: Path, archived: Archive | None = None) -> int:
    """Recompute the chain; the number of events that fit. Raises JournalBroken at the first that does not.

    archived: reads the events that left the journal; with them the chain is followed from its very beginning.
    """
    if not path.exists():
        raise BadInput(problem=f"There is no journal at {path} yet. `overnight add` makes one.")
    try:
        with contextlib.closing(connect(path, read_only=True)) as db:
            db.execute("BEGIN")  # one view of the file, whatever the writer does meanwhile
            found = _check(db, archived)
    except sqlite3.DatabaseError as error:
        found = Break(0, f"the file can't be read ({error})")
    if isinstance(found, Break):
        raise JournalBroken(seq=found.seq, problem=found.problem, path=path)
    return found


def _check(db: sqlite3.Connection, archived: Archive | None) -> Break | int:
    seq, before = anchor(db)
    old = (0, GENESIS) if archived is None else verify(archived(seq))
    if isinstance(old, Break):
        return old
    if archived is not None and old != (seq, before):
        return Break(old[0] + 1, f"the archive ends before it, the journal goes on after event {seq}")
    found = verify(read_events(db), before, seq)
    if isinstance(found, Break):
        return found
    head = mark_of(db, HEAD)
    if head is not None and head != (seq + found[0], found[1]):
        return Break(seq + found[0] + 1, f"it is missing: the last event was {head[0]}")
    return old[0] + found[0]
