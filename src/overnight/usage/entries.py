"""What a log says of one answer of a model, in a form that adds up the same in whatever order and however often it is read."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple

from msgspec import Struct

from overnight.missions.tokens import Tokens
from overnight.usage.tokens import Used

#: Owners of an answer: the log names whose it is; it only stands in somebody's log, perhaps as a copy.
NAMED, FOUND = 0, 1
#: Later than every time: an answer without one.
NEVER = 1 << 62


# Without garbage collection: there are as many of these two as answers, none holds itself, and Python stops every thread
# while it goes through all that there are.


class Owner(Struct, frozen=True, order=True, gc=False):
    """Whose answer it is; of several the least one has it: a copy is younger than what it is a copy of."""

    rank: int
    #: Milliseconds since the epoch, or `NEVER`.
    at: int
    session: str


class Billing(NamedTuple):
    """What decides the rates of an answer, as the log names it."""

    #: Who bills, as the price list calls it.
    vendor: str
    #: Empty where the log names none.
    model: str
    tier: str
    speed: str
    geo: str


class Entry(Struct, frozen=True, gc=False):
    """One answer, or what was known of it when the log was written."""

    owner: Owner
    #: Milliseconds since the epoch, or `NEVER`.
    at: int
    billing: Billing
    tokens: Tokens
    #: The requests that it was made of, where there were several.
    steps: tuple[Tokens, ...] = ()
    #: False: it does not say what it used.
    known: bool = True


def merged(one: Entry, other: Entry) -> Entry:
    """Two accounts of the same answer: the larger of each figure, since one may have been written before its end.

    Order and repetition change nothing. What goes with the figures is of the account that saw the most output.
    """
    late = max(one, other, key=_detail)
    tokens = one.tokens if one.tokens == other.tokens else one.tokens.most(other.tokens)
    owner, at = min(one.owner, other.owner), min(one.at, other.at)
    return Entry(owner, at, late.billing, tokens, late.steps, one.known or other.known)


def _detail(entry: Entry) -> tuple[bool, int, Billing, list[tuple[int, ...]]]:
    return entry.known, entry.tokens.output, entry.billing, [figures(step) for step in entry.steps]


def figures(tokens: Tokens) -> tuple[int, ...]:
    """As the index keeps them: input, output, thinking, read, written, written for an hour, searches."""
    return (
        tokens.input, tokens.output, tokens.thinking, tokens.cache_read, tokens.cache_write, tokens.cache_write_1h,
        tokens.web_searches,
    )  # fmt: skip


def key_of(name: str) -> int:
    """The number that an answer is known by; the same name gives the same number for ever."""
    return int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest(), "big", signed=True)


def entries_of(name: str, owner: Owner, billing: Billing, used: Used) -> list[tuple[int, Entry]]:
    """An answer by the name that is its own, and each second model that worked for it as an answer beside it."""
    found = [(key_of(name), Entry(owner, owner.at, billing, used.tokens, used.steps))]
    for n, aside in enumerate(used.asides):
        beside = billing._replace(model=aside.model or billing.model, tier="", speed="")
        found.append((key_of(f"{name}\0{n}"), Entry(owner, owner.at, beside, aside.tokens)))
    return found


def unsaid(name: str, owner: Owner, billing: Billing) -> tuple[int, Entry]:
    """An answer that does not say what it used."""
    return key_of(name), Entry(owner, owner.at, billing, Tokens(), known=False)


def milliseconds(text: str | None) -> int:
    """An ISO date in milliseconds since the epoch; `NEVER` where it is none."""
    if not text:
        return NEVER
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return NEVER
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        # Whole numbers all the way: a float would round some milliseconds down.
        delta = moment - _EPOCH
    except OverflowError:
        return NEVER
    whole = (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
    return whole if whole > 0 else NEVER


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
