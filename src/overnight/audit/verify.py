"""Is the audit whole? Every line of every file, against its chain, against the day's heads, against the checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from msgspec import Struct

from overnight.audit.chained import Flaw, Head, Line, Reading, Torn, decoded
from overnight.audit.checkpoints import Known, against, known
from overnight.audit.entries import (
    Checkpoint,
    Closed,
    DayLine,
    Decided,
    PeopleOpened,
    RunClosed,
    RunOpened,
    Signed,
    SignedLine,
)
from overnight.audit.key import read_key, signed_by
from overnight.audit.places import CHECKPOINTS, HEADS, PEOPLE, SUFFIX, Places, day_of, run_of, task_of
from overnight.errors import AuditKeyUnusable


class Verified(Struct, frozen=True, kw_only=True):
    """What `overnight audit verify --json` prints."""

    whole: bool
    #: Files and lines that were looked at, without those that are half.
    files: int
    lines: int
    #: Runs that have no end yet: under way, or lost with their warden.
    unended: tuple[str, ...]
    #: Files that retention removed, which are in order.
    swept: int
    checkpoints: int
    #: Epoch seconds of the last one; null when there is none. What is younger is chained, not signed.
    signed_until: float | None
    #: The public key that signed them, hex; null when there is none.
    key: str | None
    flaws: tuple[Flaw, ...]
    torn: tuple[Torn, ...]


class _State:
    """What was found so far."""

    def __init__(self, places: Places, key: str | None) -> None:
        self.places, self.key = places, key
        self.flaws: list[Flaw] = []
        self.torn: list[Torn] = []
        self.files = self.lines = self.swept = 0
        self.unended: list[str] = []

    def flaw(self, file: str, line: int | None, problem: str) -> None:
        self.flaws.append(Flaw(file=file, line=line, problem=problem))

    def read(self, name: str) -> tuple[Reading, list[Line]] | None:
        """A file and its sound lines; None when it can't be read, which is on record then."""
        reading = Reading(name)
        try:
            with self.places.path(name).open("rb") as file:
                lines = list(reading.lines(file))
        except OSError as error:
            self.flaw(name, None, f"it can't be read: {error.strerror}")
            return None
        self.files, self.lines = self.files + 1, self.lines + reading.head.lines
        self.flaws += reading.flaws
        self.torn += reading.torn
        return reading, lines


def verify(state: Path, key: str | None = None) -> Verified:
    """Look at all of it. key: the public key, hex, that must have signed it; by default the one in the state folder."""
    places = Places(state)
    found = _State(places, key or _own_key(places))
    signed, checkpoints, last = _checkpoints(found)
    days = sorted({*places.days(), *(day_of(name) for name in signed.heads)})
    for day in days:
        _day(found, day, signed, checkpoints)
    return Verified(
        whole=not found.flaws, files=found.files, lines=found.lines, unended=tuple(found.unended), swept=found.swept,
        checkpoints=checkpoints.head.lines, signed_until=last, key=found.key, flaws=tuple(found.flaws),
        torn=tuple(found.torn),
    )  # fmt: skip


def _own_key(places: Places) -> str | None:
    try:
        key = read_key(places.key)
    except AuditKeyUnusable:
        return None  # then no signature can be told to be ours, and that is said
    return key.public if key else None


def _checkpoints(found: _State) -> tuple[Known, Reading, float | None]:
    """What the checkpoints say; those whose signature does not hold say nothing."""
    if not found.places.path(CHECKPOINTS).exists():
        return Known(heads={}, swept={}), Reading(CHECKPOINTS), None
    read = found.read(CHECKPOINTS)
    if read is None:
        return Known(heads={}, swept={}), Reading(CHECKPOINTS), None
    reading, lines = read
    good: list[SignedLine] = []
    last = None
    for line in lines:
        entry = cast("SignedLine | None", decoded(line, SignedLine))
        if entry is None:
            found.flaw(CHECKPOINTS, line.number, "it is no checkpoint that this version knows")
        elif found.key is None:
            found.flaw(CHECKPOINTS, line.number, "there is no key to check its signature with")
        elif entry.key != found.key:
            found.flaw(CHECKPOINTS, line.number, f"it was signed with another key: {entry.key}")
        elif not signed_by(found.key, line.digest, line.signature):
            found.flaw(CHECKPOINTS, line.number, "its signature does not hold: it was replaced")
        else:
            good.append(entry)
            last = entry.at if isinstance(entry, Checkpoint) else last
    return known(good), reading, last


def _day(found: _State, day: str, signed: Known, checkpoints: Reading) -> None:
    opened, closed = _heads(found, f"{day}/{HEADS}", signed, checkpoints)
    names = {name for name in (*signed.heads, *opened) if day_of(name) == day and run_of(name) != HEADS}
    there = _there(found, day)
    for name in sorted(names | there):
        if name in there:
            _run(found, name, signed.heads.get(name), closed.get(name), known=name in names)
        elif name in signed.swept:
            found.swept += 1
        else:
            found.flaw(name, None, "the file is missing")


def _there(found: _State, day: str) -> set[str]:
    """The files of runs and of people in a day's folder. What else is there is foreign."""
    names = set[str]()
    folder = found.places.top / day
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = f"{day}/{path.name.removesuffix(SUFFIX)}"
        if path.name.endswith(SUFFIX) and (run_of(name) == PEOPLE or task_of(name) is not None):
            names.add(name)
        elif path.name != HEADS + SUFFIX:
            found.flaw(f"{day}/{path.name}", None, "it is no file of the audit")
    return names


def _heads(
    found: _State, name: str, signed: Known, checkpoints: Reading
) -> tuple[dict[str, int], dict[str, Head]]:  # fmt: skip
    """Files of runs that began that day, with the line that says so; and how far those go that ended."""
    if not found.places.path(name).exists():
        if name in signed.heads or list(_there(found, day_of(name))):
            found.flaw(name, None, "the file is missing")
        return {}, {}
    if (read := found.read(name)) is None:
        return {}, {}
    reading, lines = read
    if problem := against(reading, signed.heads.get(name)):
        found.flaw(name, None, problem)
    opened, closed = dict[str, int](), dict[str, Head]()
    for line in lines:
        match cast("DayLine | None", decoded(line, DayLine)):
            case RunOpened(run=run):
                opened[f"{day_of(name)}/{run}"] = line.number
            case PeopleOpened():
                opened[f"{day_of(name)}/{PEOPLE}"] = line.number
            case RunClosed(run=run, head=head):
                closed[f"{day_of(name)}/{run}"] = head
            case Signed(checkpoint=head):
                _has(found, checkpoints, head)
            case None:
                found.flaw(name, line.number, "it is no line of a day's heads that this version knows")
    return opened, closed


def _has(found: _State, checkpoints: Reading, head: Head) -> None:
    if head.lines >= len(checkpoints.digests):
        problem = f"checkpoint {head.lines} was made and is missing"
    elif checkpoints.digests[head.lines] not in ("", head.digest):
        problem = f"checkpoint {head.lines} is another than the one that was made"
    else:
        return
    if not any(flaw.file == CHECKPOINTS and flaw.problem == problem for flaw in found.flaws):
        found.flaw(CHECKPOINTS, head.lines, problem)


def _run(found: _State, name: str, signed: Head | None, closed: Head | None, *, known: bool) -> None:
    if (read := found.read(name)) is None:
        return
    reading, lines = read
    if not known:
        if reading.head.lines <= 1 and not reading.flaws:
            cut = "the machine went down between the first line of a file and the word of it in the day's heads"
            found.torn.append(Torn(file=name, line=None, problem=cut))
        else:
            found.flaw(name, None, "the heads of that day know of no such file")
        return
    if problem := against(reading, signed):
        found.flaw(name, None, problem)
    elif closed is not None and reading.head != closed:
        found.flaw(name, None, f"its run ended with {closed.lines} lines, and it has {reading.head.lines}")
    if run_of(name) == PEOPLE:
        for line in lines:
            if decoded(line, Decided) is None:
                found.flaw(name, line.number, "it is no line of people's decisions that this version knows")
        return
    ended = bool(lines) and lines[-1].link.seq == reading.head.lines and isinstance(decoded(lines[-1], Closed), Closed)
    if not ended and closed is None:
        found.unended.append(run_of(name))


def lines_of(state: Path, name: str) -> Iterator[Line]:
    """The sound lines of one file; none where there is no file."""
    with contextlib.suppress(FileNotFoundError), Places(state).path(name).open("rb") as file:
        yield from Reading(name).lines(file)
