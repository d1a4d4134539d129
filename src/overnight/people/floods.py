"""Refusals go on record one by one until there are too many of one sender; from then on they are counted.

Whoever can send can send without end. So that nobody fills the journal, keeps the daemon busy or rings a person's phone
all night, a sender's eleventh refusal within ten minutes and those after it make no record of their own: the hundredth,
the thousandth and so on, and the end of the ten minutes, say how many there were.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import Any

from msgspec import Struct

from overnight.durable.journal import Journal
from overnight.missions.approval import WORDS, Reason

#: Refusals of one sender that go on record by themselves, within so many seconds.
MOST, SPAN_S = 10, 600.0
#: Senders of one channel that are told apart within that time; the others count as one.
SENDERS = 100
_OTHERS = "others"


class Seen(Struct, frozen=True):
    """What a refusal comes to."""

    #: It goes on record by itself.
    alone: bool
    #: So many that were only counted are to go on record now.
    counted: int = 0


class _Span(Struct):
    since: float
    count: int = 0
    told: int = 0


class Floods:
    """Counts, by channel and sender."""

    def __init__(self) -> None:
        self._spans: dict[str, dict[str, _Span]] = {}

    def see(self, channel: str, sender: str, now: float) -> Seen:
        """One more was refused. now: seconds of the journal's clock."""
        spans = self._spans.setdefault(channel, {})
        if sender not in spans and len(spans) >= SENDERS:
            sender = _OTHERS
        span = spans.setdefault(sender, _Span(now))
        rest = 0
        if _over(span, now):
            rest, span = span.count - span.told, _Span(now)
            spans[sender] = span
        span.count += 1
        if span.count <= MOST:
            span.told = span.count
            return Seen(True, rest)
        if str(span.count).strip("0") != "1":  # no power of ten
            return Seen(False, rest)
        rest, span.told = rest + span.count - span.told, span.count
        return Seen(False, rest)

    def over(self, now: float | None) -> list[tuple[str, str, int]]:
        """(channel, sender, how many were only counted) of everything that is over; None: of everything. It is forgotten."""
        found = list[tuple[str, str, int]]()
        for channel, spans in self._spans.items():
            for sender, span in list(spans.items()):
                if now is None or _over(span, now):
                    del spans[sender]
                    found.append((channel, sender, span.count - span.told))
        return [each for each in found if each[2]]


def _over(span: _Span, now: float) -> bool:
    return not span.since <= now < span.since + SPAN_S  # a clock that was set back begins anew


class Refusals:
    """Puts refusals on record, over one open journal."""

    def __init__(self, journal: Journal, floods: Floods | None = None) -> None:
        self._journal, self._floods = journal, floods or Floods()

    def put(self, what: str, reason: Reason, channel: str, sender: str, task: str | None = None, **about: Any) -> bool:
        """One refusal. sender: short and harmless. Whether it is only counted."""
        seen = self._floods.see(channel, sender, self._journal.clock.now())
        with self._journal.tx("refusal"):
            if seen.counted:
                self._count(channel, sender, seen.counted)
            if seen.alone:
                self._journal.tell(
                    what, task=task, actor=f"{channel}:{sender}", why=f"{reason}: {WORDS[reason]}", reason=reason,
                    channel=channel, sender=sender, **about,
                )  # fmt: skip
        return not seen.alone

    def rest(self, *, all_of_it: bool = False) -> None:
        """Put on record how many were only counted in spans that are over. Raises sqlite3.Error."""
        for channel, sender, count in self._floods.over(None if all_of_it else self._journal.clock.now()):
            self._count(channel, sender, count)

    def _count(self, channel: str, sender: str, count: int) -> None:
        why = f"{count} more of this sender were refused, and counted only"
        self._journal.tell(
            "refusals.counted", actor=f"{channel}:{sender}", why=why, channel=channel, sender=sender, count=count
        )

    async def run(self) -> None:
        """Until cancelled: what is left over goes on record."""
        clock = self._journal.clock
        try:
            while True:
                await clock.wait(asyncio.Event(), clock.now() + SPAN_S)
                with contextlib.suppress(sqlite3.Error):  # the engine meets it as well, and says so
                    self.rest()
        finally:
            with contextlib.suppress(sqlite3.Error):
                self.rest(all_of_it=True)
