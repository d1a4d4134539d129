"""The chain of digests over events: a changed, missing or reordered event breaks it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from overnight.durable.links import digest_of

#: The digest before the first event.
GENESIS = "0" * 64


class Event(Struct, frozen=True):
    """One thing that happened."""

    seq: int
    #: Epoch seconds.
    at: float
    #: The task it is about; None for the whole system.
    task: str | None
    #: Who did it: `daemon`, `cli`, a person's name.
    actor: str
    #: Stable dotted key, such as `step.done`.
    what: str
    #: For a person; may be empty.
    why: str
    #: JSON object.
    data: str
    digest: str = ""


def digest(event: Event, before: str) -> str:
    """SHA-256, hex, over the event and the digest before it."""
    return digest_of((event.seq, event.at, event.task, event.actor, event.what, event.why, event.data), before)


class Break(Struct, frozen=True):
    """Where a chain is broken and how."""

    seq: int
    problem: str


def verify(events: Iterable[Event], before: str = GENESIS, after_seq: int = 0) -> Break | tuple[int, str]:
    """(number of events, last digest), or the first Break. before and after_seq anchor a chain whose start was archived."""
    count, seq = 0, after_seq
    for event in events:
        if event.seq != seq + 1:
            return Break(seq + 1, f"event {seq + 1} is missing: {event.seq} follows {seq}")
        if digest(event, before) != event.digest:
            return Break(event.seq, "its content does not fit its digest")
        before, seq, count = event.digest, event.seq, count + 1
    return count, before
