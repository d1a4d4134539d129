"""Files for a service manager, which carry the digest of what was written: what a person changed is seen, and stays."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import uuid
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from overnight.errors import Refused, StateNotWritable

_SEAL = re.compile(r"Written by `overnight service install`, version (\S+)\..*sha256: ([0-9a-f]{64})")


class FileStanding(StrEnum):
    """What a file is."""

    MISSING = "missing"
    #: As Overnight wrote it, and would write it now.
    CURRENT = "current"
    #: As Overnight wrote it, and would write it differently now.
    OUTDATED = "outdated"
    #: Written by Overnight, changed by somebody else.
    EDITED = "edited"
    #: Not written by Overnight.
    FOREIGN = "foreign"


class Seen(Struct, frozen=True):
    """A file, and which Overnight wrote it; empty where none did."""

    standing: FileStanding
    version: str = ""


def sealed(name: str, text: str, version: str) -> str:
    """The text with a line that tells who wrote it; in XML behind the declaration."""
    words = (
        f"Written by `overnight service install`, version {version}. "
        f"If you change it, it is yours and stays. sha256: {_digest(text)}"
    )
    if name.endswith((".plist", ".xml")):
        first, _, rest = text.partition("\n")
        return f"{first}\n<!-- {words} -->\n{rest}"
    return f"# {words}\n{text}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def look(path: Path, wanted: str = "") -> Seen:
    """What is at a path. wanted: the sealed text that belongs there. Raises StateNotWritable where it can't be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Seen(FileStanding.FOREIGN if path.is_symlink() else FileStanding.MISSING)
    except OSError as error:
        raise StateNotWritable(path=path, reason=error.strerror) from error
    text = data.decode(_encoding(path), "replace")
    lines = text.splitlines(keepends=True)
    seal = next(((n, found) for n, line in enumerate(lines[:2]) if (found := _SEAL.search(line))), None)
    if seal is None:
        return Seen(FileStanding.FOREIGN)
    n, found = seal
    if _digest("".join(lines[:n] + lines[n + 1 :])) != found[2]:
        return Seen(FileStanding.EDITED, found[1])
    return Seen(FileStanding.CURRENT if text == wanted else FileStanding.OUTDATED, found[1])


def put(files: dict[Path, str], *, force: bool) -> dict[Path, str]:
    """Write sealed texts, all or none where one is not ours to replace. Path -> what was done.

    force: what is not ours goes to `NAME.bak` first. Raises Refused, StateNotWritable.
    """
    seen = {path: look(path, text).standing for path, text in files.items()}
    theirs = [path for path, what in seen.items() if what in (FileStanding.EDITED, FileStanding.FOREIGN)]
    if theirs and not force:
        names = ", ".join(str(path) for path in theirs)
        raise Refused(
            problem=f"{names}: changed by somebody else since Overnight wrote it, or never written by it. Nothing was "
            "written. Put your changes into a drop-in (`systemctl --user edit UNIT`) or the settings, move the file "
            "away, or say `--force`, which keeps it as NAME.bak."
        )
    return {path: _put(path, text, seen[path]) for path, text in files.items()}


def _put(path: Path, text: str, standing: FileStanding) -> str:
    if standing is FileStanding.CURRENT:
        return "unchanged"
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if standing in (FileStanding.EDITED, FileStanding.FOREIGN):
            path.replace(_free(path))
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode(_encoding(path)))
            file.flush()
            os.fsync(fd)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StateNotWritable(path=path, reason=error.strerror) from error
    return {FileStanding.MISSING: "written", FileStanding.OUTDATED: "brought up to date"}.get(standing, "replaced")


def _free(path: Path) -> Path:
    """Where what is not ours goes: a name that nothing has, so that none before it is lost."""
    names = (path.with_name(f"{path.name}.bak{f'-{n}' if n else ''}") for n in itertools.count())
    return next(each for each in names if not each.exists() and not each.is_symlink())


def take_away(paths: list[Path], *, force: bool) -> dict[Path, str]:
    """Remove what Overnight wrote and nothing else. Path -> what was done. force: also what was edited since."""
    done: dict[Path, str] = {}
    for path in paths:
        match look(path).standing:
            case FileStanding.MISSING:
                done[path] = "not there"
            case FileStanding.CURRENT | FileStanding.OUTDATED:
                done[path] = _removed(path)
            case FileStanding.EDITED if force:
                done[path] = _removed(path)
            case FileStanding.EDITED:
                done[path] = "kept: you changed it (`--force` removes it)"
            case FileStanding.FOREIGN:
                done[path] = "kept: it is not Overnight's"
    return done


def _removed(path: Path) -> str:
    try:
        path.unlink()
    except OSError as error:
        raise StateNotWritable(path=path, reason=error.strerror) from error
    return "removed"


def _encoding(path: Path) -> str:
    """Windows' scheduler reads UTF-16."""
    return "utf-16" if path.suffix == ".xml" else "utf-8"
