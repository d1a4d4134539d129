"""Pauses: a file says that nothing starts, and whoever sees it heeds it. The file is the truth, also when nobody lives.

`PAUSED` in the state folder is for everything, `repos/NAME/PAUSED` for one repo, `loops/NAME/PAUSED` for one loop. An
empty file, as `touch` makes it, also ends the runs under way; one whose first line is `drain` lets them go on to
their end. Removing the file takes the pause back.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import quote, unquote

from msgspec import Struct

NAME = "PAUSED"
#: First line of a file that lets runs under way go on.
DRAIN = "drain"
#: Where each kind of thing has its file.
REPOS, LOOPS = "repos", "loops"
#: Bytes of a file that are read.
_MOST = 4096


class Pause(Struct, frozen=True, kw_only=True):
    """One pause that is on."""

    #: Name of the repo; empty for everything.
    lane: str
    #: Who paused it; empty when a file was made by hand.
    by: str
    #: Epoch seconds.
    since: float
    #: Runs under way go on to their end.
    drain: bool


def place(home: Path, lane: str = "", kind: str = REPOS) -> Path:
    """The file that pauses a repo or loop, or everything."""
    if not lane:
        return home / NAME
    name = quote(lane, safe="")
    return home / kind / (name.replace(".", "%2E") if name.startswith(".") else name) / NAME


def pause(home: Path, lane: str = "", *, by: str, drain: bool) -> None:
    """Pause. One that drains never weakens one that does not. Raises OSError when not even an empty file can be made."""
    path = place(home, lane)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = _read(path, lane)
    if before is not None and (drain or not before.drain):
        return
    if not drain and before is None:
        path.touch(mode=0o600)  # at once, and also where there is no room for words
    part = path.with_name(f"{NAME}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(f"{DRAIN if drain else 'stop'}\n{by}\n".encode(errors="replace"))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if drain or before is not None:
            raise
    _keep(path.parent)


def resume(home: Path, lane: str = "") -> bool:
    """Take a pause back; False when there was none. Raises OSError."""
    path = place(home, lane)
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    _keep(path.parent)
    return True


def read(home: Path) -> tuple[Pause, ...]:
    """All pauses, the one over everything first."""
    lanes = [""]
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        lanes += sorted(unquote(folder.name) for folder in (home / REPOS).iterdir())
    found = (_read(place(home, lane), lane) for lane in lanes)
    return tuple(each for each in found if each is not None)


def scope(home: Path, lane: str) -> str | None:
    """`pause-all` or `pause-lane` while such a pause is on."""
    if _is_there(place(home)):
        return "pause-all"
    return "pause-lane" if lane and _is_there(place(home, lane)) else None


def ends(home: Path, lane: str, loop: str = "") -> str | None:
    """Why a run under way must end now: the words for its record; None while it may go on."""
    places = ((place(home), ""), (place(home, lane), lane), (place(home, loop, LOOPS), loop))
    for path, name in dict.fromkeys(places):
        # Nearly always there is none: one look at the name, nothing more.
        if (name or path == place(home)) and _is_there(path):
            found = _read(path, name)
            if found is not None and not found.drain:
                return f"paused{f' by {found.by}' if found.by else ''} ({path} is there)"
    return None


def _is_there(path: Path) -> bool:
    """What can't be looked at counts as there: a pause that nobody can read is no reason to go on."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read(path: Path, lane: str) -> Pause | None:
    if not _is_there(path):
        return None
    since, words = 0.0, ""
    with contextlib.suppress(OSError):
        since = path.lstat().st_mtime
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            words = os.read(fd, _MOST).decode(errors="replace")
        finally:
            os.close(fd)
    mode, _, by = words.partition("\n")
    return Pause(lane=lane, by=by.partition("\n")[0].strip(), since=since, drain=mode.strip() == DRAIN)


def _keep(folder: Path) -> None:
    """A file comes and goes for good only with its folder's entry."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
