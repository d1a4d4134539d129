"""A backup of the state folder, made while everything runs; and its way back, proved before it is put in place."""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from overnight import __version__
from overnight.durable.journal import Lock, refuse_network
from overnight.errors import BackupBroken, BadInput, JournalNewer, Refused, StateNotWritable
from overnight.service.bundle import Manifest, pack, sync_folder, unpack
from overnight.service.staging import Proved, prove, stage
from overnight.service.takeup import mark


class Kept(Struct, frozen=True, kw_only=True):
    """A backup that is whole."""

    manifest: Manifest
    proved: Proved


def make_backup(state: Path, settings: Path, path: Path) -> Kept:
    """Write the backup of a state folder, and of the settings' file if there is one, to a new file.

    What goes into it is proved first: a backup that could not be restored is not made. Raises BadInput, Refused,
    JournalNewer, StateNotWritable.
    """
    path = path.absolute()
    if path.exists() or path.is_symlink():
        raise BadInput(problem=f"{path} is there already. Name a new file: a backup never takes the place of another.")
    if not path.parent.is_dir():
        raise BadInput(problem=f"There is no folder {path.parent}. Make it first.")
    try:
        # Beside the backup, where there must be room for it anyway; readable by its owner alone.
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            proved = stage(state, settings, Path(folder))
            return Kept(manifest=pack(Path(folder), path, time.time(), __version__), proved=proved)
    except OSError as error:
        problem = f"The backup could not be written to {path}: {error}. Free some space, or choose another folder."
        raise Refused(problem=problem) from error


def restore(path: Path, target: Path, about_to: Callable[[], None] = lambda: None) -> Kept:
    """Put a backup in place as the state folder `target`, which is empty or not there; as a whole, or not at all.

    about_to: called when all is proved, just before it is put there. Raises AlreadyRunning where a daemon holds the
    folder, BadInput, BackupBroken, JournalNewer, NetworkFileSystem, Refused, StateNotWritable.
    """
    if not path.is_file():
        raise BadInput(problem=f"There is no backup {path}.")
    target = target.resolve()
    _refuse_taken(target)
    refuse_network(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise StateNotWritable(path=target, reason=error.strerror) from error
    try:
        kept = _proved(path, made)
        mark(made, kept.manifest.made, kept.manifest.version)
        about_to()
        _put(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return kept


def _refuse_taken(target: Path) -> None:
    """Raises AlreadyRunning, Refused."""
    if (target / "journal.lock").exists():
        Lock(target).release()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise _taken(target)


def _taken(target: Path) -> Refused:
    return Refused(
        problem=f"{target} is not empty, and a backup never mixes with what is there. "
        "Move it away first, or restore elsewhere with `--into FOLDER`."
    )


def _proved(path: Path, made: Path) -> Kept:
    manifest = unpack(path, made)
    try:
        return Kept(manifest=manifest, proved=prove(made))
    except JournalNewer:
        raise
    except (Refused, BadInput) as error:
        raise BackupBroken(path=path, problem=str(error).rstrip(".")) from error


def _put(made: Path, target: Path) -> None:
    try:
        made.rename(target)  # takes the place of an empty folder only
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _taken(target) from error
        raise StateNotWritable(path=target, reason=error.strerror) from error
    sync_folder(target.parent)
