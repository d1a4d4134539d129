"""A state folder's copy that fits together, taken while daemon and wardens write.

The journal comes first: what its steps name (evidence, archived events) was on disk before them. Files of the audit only
grow, so a file's length, taken while nobody may write heads or checkpoints, is a state that all of them agree on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import stat
import zlib
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from overnight.audit.places import CHECKPOINTS, HEADS, Places
from overnight.audit.verify import Verified
from overnight.audit.verify import verify as verify_audit
from overnight.durable.journal import connect, migrations, verify_journal
from overnight.durable.retention import read_archive
from overnight.errors import BadInput, JournalBroken, JournalNewer, Refused

JOURNAL = "journal.db"
USAGE = "usage.db"
#: Copied as they are. Not there: runs with their HOMEs, worktrees, logs, caches, and what only this boot means.
TREES = ("archive", "evidence", "people", "reports", "repos", "loops", "forge")
FILES = ("PAUSED", "web/token")
SETTINGS = "settings/config.toml"
#: A run that begins, or a first checkpoint, can fall between two looks at the audit.
TRIES = 5


class Proved(Struct, frozen=True, kw_only=True):
    """What was found in a copy that fits together."""

    #: Of the journal and its archive.
    events: int
    audit: Verified


def stage(state: Path, settings: Path, folder: Path) -> Proved:
    """Copy what is worth keeping into an empty folder, and prove it.

    Raises BadInput where there is no journal, Refused where a record is broken, OSError.
    """
    if not (state / JOURNAL).exists():
        raise BadInput(problem=f"There is no journal in {state} yet, so there is nothing to back up.")
    for name in (JOURNAL, USAGE):
        if (state / name).exists():
            _copy_database(state / name, folder / name)
    for name in TREES:
        _copy_tree(state / name, folder / name)
    for name in FILES:
        _copy(state / name, folder / name)
    _copy(settings, folder / SETTINGS, follow=True)
    for _ in range(TRIES):
        shutil.rmtree(folder / "audit", ignore_errors=True)
        _copy_audit(state, folder)
        if verify_audit(folder).whole:
            break
    return prove(folder)


def prove(folder: Path) -> Proved:
    """Whether journal, archive and audit of a copy hold. Raises Refused, which says what does not."""
    journal, archive = folder / JOURNAL, folder / "archive"
    try:
        _refuse_newer(journal)
        events = verify_journal(journal, partial(read_archive, archive) if archive.is_dir() else None)
    except JournalBroken as error:
        problem = f"The journal's chain breaks at event {error.fields['seq']}: {error.fields['problem']}."
        raise Refused(problem=problem) from error
    except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
        raise Refused(problem=f"The journal's archive can't be read: {error}.") from error
    found = verify_audit(folder)
    if not found.whole:
        first = found.flaws[0]
        raise Refused(problem=f"The audit is broken: {first.file}: {first.problem}.")
    return Proved(events=events, audit=found)


def _refuse_newer(journal: Path) -> None:
    try:
        with contextlib.closing(connect(journal, read_only=True)) as db:
            found, known = db.execute("PRAGMA user_version").fetchone()[0], migrations()[-1][0]
    except sqlite3.DatabaseError as error:
        raise Refused(problem=f"The journal can't be read: {error}.") from error
    if found > known:
        raise JournalNewer(found=found, known=known)


def _copy_database(source: Path, target: Path) -> None:
    """By SQLite's own means, as of one instant, into one file."""
    try:
        with (
            contextlib.closing(connect(source, read_only=True)) as old,
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode=delete")  # a reader of the copy leaves no other files beside it
    except sqlite3.DatabaseError as error:
        raise Refused(problem=f"{source} can't be read: {error}. Keep it as it is and look at the disk.") from error


def _copy_tree(source: Path, target: Path) -> None:
    for folder, names, files in os.walk(source):
        for name in names:
            if Path(folder, name).is_symlink():
                _no_plain_file(Path(folder, name))
        for name in files:
            path = Path(folder, name)
            _copy(path, target / path.relative_to(source))


def _copy(source: Path, target: Path, size: int | None = None, *, follow: bool = False) -> None:
    """A plain file, or its first `size` bytes; nothing where there is none (any more)."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        mode = source.stat(follow_symlinks=follow).st_mode
        if not stat.S_ISREG(mode):
            _no_plain_file(source)
        fd = os.open(source, flags)
    except (FileNotFoundError, NotADirectoryError):
        return
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(fd, "rb") as file, target.open("xb") as out:
        left = os.fstat(fd).st_size if size is None else size
        while left > 0 and (chunk := file.read(min(left, 1 << 20))):
            out.write(chunk)
            left -= len(chunk)


def _no_plain_file(path: Path) -> None:
    raise Refused(problem=f"{path} is no plain file, so it can't be backed up. Put the file itself in its place.")


def _copy_audit(state: Path, folder: Path) -> None:
    places, copied = Places(state), Places(folder)
    with _still(places.path(CHECKPOINTS)):
        _copy(places.path(CHECKPOINTS), copied.path(CHECKPOINTS))
        for day in places.days():
            with _still(places.path(f"{day}/{HEADS}")):
                sizes = list(_sizes(places.top / day))
            for path, size in sizes:
                _copy(path, copied.top / day / path.name, size)
    _copy(places.key, copied.key)


def _sizes(day: Path) -> Iterator[tuple[Path, int]]:
    for path in sorted(day.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # retention removed it; that it did is in the checkpoints
            yield path, path.stat(follow_symlinks=False).st_size


@contextlib.contextmanager
def _still(path: Path) -> Generator[None]:
    """Nobody appends to this file inside; where it is not there, somebody may make it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
