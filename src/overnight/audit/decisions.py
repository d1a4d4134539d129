"""People's decisions in the audit: `STATE/audit/DAY/people.ndjson`, chained and signed as the files of runs are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from msgspec import Struct

from overnight.audit.chained import ChainedFile, Line, decoded
from overnight.audit.entries import DayLine, Decided, PeopleOpened
from overnight.audit.places import HEADS, PEOPLE, Places, day_at
from overnight.audit.record import tell
from overnight.audit.verify import lines_of


class DecisionFile:
    """Appends to the day's file. There is one writer: who holds the journal."""

    def __init__(self, state: Path) -> None:
        self._places = Places(state)
        self._day = ""

    def append(self, entry: Decided) -> None:
        """One line; on disk when this returns. Raises OSError."""
        day = day_at()
        self._places.make(day)
        name = f"{day}/{PEOPLE}"
        file = ChainedFile(self._places.path(name), name)
        try:
            with file.alone():
                file.append(entry)
        finally:
            file.close()
        if self._day != day:
            self._say(day)
            self._day = day

    def _say(self, day: str) -> None:
        """The day's heads know of the file, so that one which goes missing is missed."""
        lines = lines_of(self._places.top.parent, f"{day}/{HEADS}")
        if not any(isinstance(decoded(line, DayLine), PeopleOpened) for line in lines):
            tell(self._places, day, PeopleOpened())


def copied(state: Path) -> Iterator[Decided]:
    """Every decision on record, the latest first."""
    for view in reversed(list(_lines(state))):
        yield view[2]


class DecisionView(Struct, frozen=True, kw_only=True):
    """One decision or refusal as `overnight audit decisions --json` prints it."""

    #: Name of the file below the audit's folder, and the line in it.
    file: str
    line: int
    #: Epoch seconds at which it happened.
    at: float
    #: `approval.taken`, `approval.refused`, `answer.taken`, `question.answered`, `answer.refused`, `refusals.counted`.
    what: str
    #: Empty when it is about none that is known.
    task: str
    #: Whose word it was; of a refusal channel and sender.
    who: str
    why: str
    #: Of a refusal.
    reason: str
    channel: str
    sender: str
    ask: str
    commit: str
    action: str
    #: The ticket's id.
    ticket: str
    #: Of refusals that were counted only: how many.
    count: int
    #: Number of the journal's event.
    event: int


def decisions(state: Path) -> list[DecisionView]:
    """Every decision and refusal on record, in order. Lines that are not whole are left out: see `verify`."""
    return [
        DecisionView(
            file=name, line=line.number, at=said.told, what=said.what, task=said.task, who=said.who, why=said.why,
            reason=said.reason, channel=said.channel, sender=said.sender, ask=said.ask, commit=said.commit,
            action=said.action, ticket=said.ticket, count=said.count, event=said.event,
        )
        for name, line, said in _lines(state)
    ]  # fmt: skip


def refused(view: DecisionView) -> bool:
    """Whether it did not count."""
    return view.what.endswith(".refused") or view.what == "refusals.counted"


def _lines(state: Path) -> Iterator[tuple[str, Line, Decided]]:
    for day in Places(state).days():
        name = f"{day}/{PEOPLE}"
        for line in lines_of(state, name):
            if (said := cast("Decided | None", decoded(line, Decided))) is not None:
                yield name, line, said
