"""The index of all logs: brought up to date by what was written since, and added up.

It only ever learns: a log that is rewritten, cut or deleted takes nothing away. Every step is one transaction that
holds what was read and how far, so it may be killed anywhere, and several processes may do it at once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from overnight.durable.journal import refuse_network
from overnight.errors import IndexBroken, IndexNewer, StateNotWritable
from overnight.usage import claude_log, codex_log, gemini_log
from overnight.usage.book import Book
from overnight.usage.costs import Costs, fingerprint
from overnight.usage.files import File, Found, Known, look, mark_of
from overnight.usage.lines import pieces
from overnight.usage.places import Root
from overnight.usage.prices import Price
from overnight.usage.records import Reading, Seen
from overnight.usage.runs import RunLog, note

NAME = "usage.db"
SCHEMA = 1
#: Seconds to wait for another process that writes.
PATIENCE_S = 60.0
#: Bytes of logs that one transaction takes in, and answers: every one of them rewrites much of the index.
BATCH, MOST_ANSWERS = 256 << 20, 20_000
Reader = Callable[[bytes, Reading], Seen]
READERS: dict[str, Reader] = {"claude": claude_log.read, "codex": codex_log.read, "gemini": gemini_log.read}
#: How the names of logs begin; all of them end in `.jsonl`.
_BEGINNINGS = {"claude": "", "codex": "rollout-", "gemini": "session-"}


class Refreshed(Struct, frozen=True, kw_only=True):
    """What bringing the index up to date came to."""

    #: Logs that there are, and those of them that were read.
    files: int
    read: int
    #: Roots that are there.
    roots: tuple[Root, ...]
    #: What could not be read, for a person.
    problems: tuple[str, ...]


class Progress(Struct, frozen=True, kw_only=True):
    """How far bringing the index up to date is."""

    #: Logs with something new in them, and how many of those were gone through.
    files: int
    read: int
    #: Bytes that are new in them, and those that were gone through.
    size: int
    bytes: int


class _Count:
    """Counts what was gone through, and tells."""

    def __init__(self, changed: list[File], known: Mapping[str, Known], told: Callable[[Progress], None]) -> None:
        self._files, self._size = len(changed), sum(_new(known.get(file.path), file) for file in changed)
        self._read = self._bytes = 0
        self._told = told
        self.add()

    def add(self, *, files: int = 0, size: int = 0) -> None:
        """So much more."""
        self._read += files
        self._bytes += size
        # What is written meanwhile, or anew, is read too.
        whole = max(self._size, self._bytes)
        self._told(Progress(files=self._files, read=self._read, size=whole, bytes=self._bytes))


class Index:
    """`usage.db` in the state folder."""

    def __init__(self, home: Path, own: Mapping[str, Price] | None = None) -> None:
        """own: prices that go before the list's. Raises IndexBroken, IndexNewer, StateNotWritable, NetworkFileSystem."""
        self.path, self._own = home / NAME, own or {}
        with self._telling():
            new = not self.path.exists()
            if new:
                refuse_network(home)
                home.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.db = sqlite3.connect(self.path, isolation_level=None, timeout=PATIENCE_S)
            try:
                self._settle()
            except BaseException:
                self.db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    def _settle(self) -> None:
        # A power cut may undo the last steps, never break one: what is undone is read again.
        for pragma in ("journal_mode=wal", "synchronous=normal", "cache_size=-16000", "temp_store=memory"):
            self.db.execute(f"PRAGMA {pragma}")
        found = self.db.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA:
            raise IndexNewer(path=self.path, found=found, known=SCHEMA)
        if found == 0:
            with self.step():
                if self.db.execute("PRAGMA user_version").fetchone()[0] == 0:  # nobody made it meanwhile
                    sql = (resources.files("overnight.usage") / "schema.sql").read_text()
                    for statement in sql.split(";\n"):
                        self.db.execute(statement)
                    self.db.execute(f"PRAGMA user_version={SCHEMA}")

    @contextlib.contextmanager
    def step(self) -> Generator[None]:
        """One transaction: all of it or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _telling(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StateNotWritable(path=self.path.parent, reason=error) from error
        except sqlite3.DatabaseError as error:
            raise IndexBroken(path=self.path, reason=error) from error
        except OSError as error:
            raise StateNotWritable(path=self.path.parent, reason=error.strerror or error) from error

    # -- bringing up to date ----------------------------------------------------------------------------------

    def refresh(self, roots: Iterable[Root], told: Callable[[Progress], None] = lambda _: None) -> Refreshed:
        """Take in what was written since the last time. told: how far it is, as soon as that is known and whenever it went
        on. Raises IndexBroken, StateNotWritable."""
        with self._telling():
            self._reprice()
            found = look(tuple(roots), _wanted)
            known = {row[0]: _known(row) for row in self.db.execute("SELECT * FROM file")}
            changed = [file for file in found.files if not _same(known.get(file.path), file)]
            read, problems, count = 0, list(found.problems), _Count(changed, known, told)
            for batch in _batches(changed):
                read += self._take(batch, problems, count)
            self._forget(found, known)
        return Refreshed(files=len(found.files), read=read, roots=tuple(found.roots), problems=tuple(problems))

    def noted(self, name: str) -> str | None:
        """What `note_runs` left under this name."""
        with self._telling():
            row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def note_runs(self, logs: Iterable[RunLog], name: str, value: str) -> None:
        """Mark the sessions of runs that are over, and remember a value with that. Raises IndexBroken, StateNotWritable."""
        with self._telling(), self.step():
            note(self.db, logs)
            self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _take(self, batch: list[File], problems: list[str], count: _Count) -> int:
        """Read some files in as many transactions as their size asks for; how many were read."""
        waiting, read = list(batch), 0
        while waiting:
            with self.step(), _uncollected():
                book, left = Book(self.db, Costs(self.db, self._own)), BATCH
                while waiting and left > 0 and len(book) < MOST_ANSWERS:
                    file = waiting[0]
                    try:
                        took, whole = self._read(file, book, left, count)
                    except FileNotFoundError:
                        took, whole = 0, True
                    except OSError as error:
                        problems.append(f"{file.path} can't be read: {error.strerror}")
                        took, whole = 0, True
                    left -= took
                    if whole:
                        waiting.pop(0)
                        read += 1
                        count.add(files=1)
                book.write()
        return read

    def _read(self, file: File, book: Book, most: int, count: _Count) -> tuple[int, bool]:
        """Take in what is new in a file, about `most` bytes of it; (bytes, whether that was all)."""
        known = self._known(file.path)
        with open(file.path, "rb", buffering=0) as raw:  # noqa: PTH123 (unbuffered)
            stat = os.fstat(raw.fileno())
            now = File(path=file.path, root=file.root, dev=stat.st_dev, ino=stat.st_ino, size=stat.st_size,
                       mtime=stat.st_mtime_ns)  # fmt: skip
            offset, state = 0, b""
            if known is not None and self._goes_on(known, now) and mark_of(raw, known.offset) == known.mark:
                offset, state = known.offset, known.state
            reading, begun, whole = Reading(stem=_stem(file.path), state=state), offset, True
            for block, behind in pieces(raw, offset):
                book.take(file.root, READERS[file.root.agent](block, reading))
                count.add(size=behind - offset)
                offset = behind
                if (offset - begun >= most or len(book) >= MOST_ANSWERS) and offset < now.size:
                    whole = False
                    break
            # Until all of it was read, it counts as shorter than it is: whoever comes next goes on.
            size = now.size if whole else offset
            mark = mark_of(raw, offset)
        row = (file.path, now.dev, now.ino, size, now.mtime, offset, mark, reading.state)
        self.db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return offset - begun, whole

    def _goes_on(self, known: Known, now: File) -> bool:
        return known.same(now) or known.grew(now)

    def _known(self, path: str) -> Known | None:
        row = self.db.execute("SELECT * FROM file WHERE path = ?", (path,)).fetchone()
        return None if row is None else _known(row)

    def _forget(self, found: Found, known: Mapping[str, object]) -> None:
        """Files that are gone from roots that are there: only where they were read to, never what they said."""
        here = {file.path for file in found.files}
        under = tuple(f"{root.path}/" for root in found.roots)
        gone = [(path,) for path in known if path not in here and path.startswith(under)]
        if gone:
            with self.step():
                self.db.executemany("DELETE FROM file WHERE path = ?", gone)

    def _reprice(self) -> None:
        """Work out every cost anew if the price list or one's own prices are others than last time."""
        now = fingerprint(self._own)
        row = self.db.execute("SELECT value FROM meta WHERE name = 'prices'").fetchone()
        if row is not None and row[0] == now:
            return
        with self.step():
            self.db.execute("DELETE FROM rate")
            Book(self.db, Costs(self.db, self._own)).reprice()
            self.db.execute("INSERT OR REPLACE INTO meta VALUES ('prices', ?)", (now,))


@contextlib.contextmanager
def _uncollected() -> Generator[None]:
    """No collection of garbage for the time of one transaction: reading makes none that holds itself, and to go through
    all that was read again and again takes an eighth of the time. Two threads at once leave it as the first one found it.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _wanted(root: Root, name: str) -> bool:
    return root.agent in READERS and name.endswith(".jsonl") and name.startswith(_BEGINNINGS[root.agent])


def _known(row: tuple[Any, ...]) -> Known:
    return Known(dev=row[1], ino=row[2], size=row[3], mtime=row[4], offset=row[5], mark=row[6], state=row[7])


def _same(known: Known | None, file: File) -> bool:
    return known is not None and known.same(file)


def _new(known: Known | None, file: File) -> int:
    """Bytes of a log that are to be read, as far as its size tells."""
    return file.size - known.offset if known is not None and known.grew(file) else file.size


def _batches(files: list[File]) -> Generator[list[File]]:
    batch, size = list[File](), 0
    for file in files:
        batch.append(file)
        size += file.size
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".jsonl")
