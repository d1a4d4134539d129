"""Checkpoints: signed lines that say how far every file of the audit goes, so that what was signed can't be rewritten."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import cast

from msgspec import Struct

from overnight.audit.chained import ChainedFile, Flaw, Head, Reading, decoded, genesis, head_of
from overnight.audit.entries import Checkpoint, Signed, SignedLine, Swept
from overnight.audit.key import Key, make_key, read_key
from overnight.audit.places import CHECKPOINTS, HEADS, Places, day_at, day_of, run_of
from overnight.audit.record import tell
from overnight.errors import AuditKeyUnusable


class Made(Struct, frozen=True, kw_only=True):
    """What a checkpoint came to."""

    #: How far the checkpoints go now; None when there was nothing new and none was made.
    head: Head | None
    #: Files that it speaks for.
    files: int
    #: Files that are not as an earlier checkpoint says. Their new state was not signed.
    flaws: tuple[Flaw, ...]


class Known(Struct, frozen=True, kw_only=True):
    """What all checkpoints together say."""

    #: How far each file went when it was signed last.
    heads: dict[str, Head]
    swept: dict[str, Head]


def known(entries: Iterable[SignedLine]) -> Known:
    """Of the checkpoints in their order."""
    heads, swept = dict[str, Head](), dict[str, Head]()
    for entry in entries:
        heads |= entry.heads
        if isinstance(entry, Swept):
            swept |= entry.heads
    return Known(heads=heads, swept=swept)


def make_checkpoint(state: Path, why: str) -> Made:
    """Sign how far every file goes that changed since the last checkpoint. why: day, start, stop or person.

    Raises OSError, AuditKeyUnusable.
    """
    places = Places(state)
    with _writing(places) as (file, key, before):
        heads, flaws = _news(places, before)
        if not heads:
            return Made(head=None, files=0, flaws=tuple(flaws))
        head = file.append(Checkpoint(key=key.public, why=why, heads=heads), key.sign)
        # So that checkpoints which go missing at the end are missed.
        today = day_at()
        tell(places, today, Signed(checkpoint=head))
    return Made(head=head, files=len(heads), flaws=tuple(flaws))


def sweep_runs(state: Path, tasks: Iterable[str]) -> int:
    """Remove the files of these tasks' runs, after it is on record, signed, how far they went; how many there were.

    A file that is not as it was signed stays, for whoever looks into that. Raises OSError, AuditKeyUnusable.
    """
    places = Places(state)
    names = [name for task in tasks for name in places.runs(task)]
    if not names:
        return 0
    with _writing(places) as (file, key, before):
        heads = {name: head_of(places.path(name), name) for name in names}
        whole = {name: head for name, head in heads.items() if not _contradicts(places, name, before.heads.get(name))}
        if new := {name: head for name, head in whole.items() if before.swept.get(name) != head}:
            head = file.append(Swept(key=key.public, heads=new), key.sign)
            tell(places, day_at(), Signed(checkpoint=head))
    for name in whole:
        places.path(name).unlink(missing_ok=True)
    return len(whole)


def missed(state: Path) -> bool:
    """Whether a day before today has a file that goes further than the checkpoints know."""
    places, today = Places(state), day_at()
    if not places.top.is_dir():
        return False
    heads, _ = _news(places, known(_entries(places)))
    return any(day_of(name) < today for name in heads)


# -- what is there ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _writing(places: Places) -> Generator[tuple[ChainedFile, Key, Known]]:
    """The file of the checkpoints, held alone, the key, and what they say so far."""
    places.top.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = ChainedFile(places.path(CHECKPOINTS), CHECKPOINTS)
    try:
        with file.alone():
            if file.head.lines and read_key(places.key) is None:
                reason = "it is gone, and earlier checkpoints were signed with it"
                raise AuditKeyUnusable(path=places.key, reason=reason)
            yield file, make_key(places.key), known(_entries(places))
    finally:
        file.close()


def _entries(places: Places) -> Iterator[SignedLine]:
    """Every checkpoint that is where it belongs."""
    reading = Reading(CHECKPOINTS)
    with contextlib.suppress(FileNotFoundError), places.path(CHECKPOINTS).open("rb") as file:
        for line in reading.lines(file):
            if (entry := cast("SignedLine | None", decoded(line, SignedLine))) is not None:
                yield entry


def _news(places: Places, before: Known) -> tuple[dict[str, Head], list[Flaw]]:
    """How far the files go that go further than was signed, and those that are not as they were signed."""
    heads, flaws = dict[str, Head](), list[Flaw]()
    for name in places.names():
        signed = before.heads.get(name)
        try:
            head = head_of(places.path(name), name)
        except OSError:
            continue
        if head == signed or name in before.swept or head.digest == genesis(name):
            continue
        if problem := _contradicts(places, name, signed):
            flaws.append(Flaw(file=name, line=None, problem=problem))
        elif not (run_of(name) == HEADS and signed is not None and _only_signed(places, name, signed)):
            heads[name] = head
    return heads, flaws


def _contradicts(places: Places, name: str, signed: Head | None) -> str:
    """How a file is not as it was signed; empty when it is."""
    reading = Reading(name)
    with places.path(name).open("rb") as file:
        for _ in reading.lines(file):
            pass
    if reading.flaws:
        return f"line {reading.flaws[0].line}: {reading.flaws[0].problem}"
    return against(reading, signed)


def against(reading: Reading, signed: Head | None) -> str:
    """How a file that was read is not as it was signed; empty when it is."""
    if signed is None:
        return ""
    if signed.lines >= len(reading.digests):
        return f"it was signed with {signed.lines} lines and has {len(reading.digests) - 1}: its end is missing"
    if reading.digests[signed.lines] != signed.digest:
        return f"up to line {signed.lines} it is another file than the one that was signed"
    return ""


def _only_signed(places: Places, name: str, signed: Head) -> bool:
    """Whether a day's heads grew by nothing but word of checkpoints, which are no reason for one more."""
    reading = Reading(name)
    with places.path(name).open("rb") as file:
        new = [line for line in reading.lines(file) if line.link.seq > signed.lines]
    return all(isinstance(decoded(line, Signed), Signed) for line in new)
