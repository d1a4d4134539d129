"""Answers requests from a cassette: by what they ask, not by when. What does not fit is told, never answered by guess."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

from overnight.cassette.differences import Difference, differences
from overnight.cassette.entries import Surroundings
from overnight.cassette.packing import Change, canonical, changed
from overnight.cassette.reading import Cassette, Exchange
from overnight.cassette.rules import SESSION, Applied, Rules, applied, moved
from overnight.cassette.streams import rewritten

#: What a model has signed, or draws its own conclusions from, when it hears it again.
_SIGNED = frozenset({"thinking"})


class Answer(Struct, frozen=True, kw_only=True):
    """A recorded answer, as it is to be given here."""

    n: int
    #: None: no answer began then.
    status: int | None
    headers: dict[str, str]
    pieces: tuple[bytes, ...]
    whole: bool
    #: The agent went away before the end, then.
    left: bool


class Mismatch(Struct, frozen=True, kw_only=True):
    """A request that the cassette has no exchange for."""

    #: The exchange that it is most like; None when all were asked for already.
    n: int | None
    #: What it is, in one line.
    why: str
    differences: tuple[Difference, ...] = ()

    @property
    def words(self) -> str:
        """With the first difference, for where there is no room for all."""
        first = next(iter(self.differences), None)
        return self.why if first is None else f"{self.why}: at {first.where} {' '.join(first.lines)}"[:600]


class Reached(Struct, frozen=True):
    """The request is for the exchange that the playback ends before, or for a later one."""

    n: int


class Live(Struct, frozen=True):
    """The request is for the real model."""


class Playback:
    """The answers of one replay."""

    def __init__(
        self,
        cassette: Cassette,
        here: Surroundings,
        without: Change,
        *,
        until: int | None = None,
        live: bool = False,
        go_on: bool = False,
        ends: bool = False,
    ) -> None:
        """here: what is different this time. without: takes secrets out of a text. until: the exchange that is not
        answered any more; live: the real model does from there. go_on: after a mismatch, with the exchange that is most
        like the request; it is on record all the same. ends: the recording may end before the run does."""
        self.cassette, self._until, self._live, self._go_on = cassette, until, live, go_on
        self._ends = ends or bool(cassette.missing)
        self._here, self._without = here, without
        self._moved = moved(cassette.opened.around, here)
        self._open = list(cassette.exchanges)
        there = Rules(cassette.opened.around, _session(cassette))
        self._bodies = {exchange.n: there(exchange.body) for exchange in cassette.exchanges}
        self._targets = {exchange.n: there(exchange.target) for exchange in cassette.exchanges}
        self._keys = {
            exchange.n: _key(exchange.method, self._targets[exchange.n], self._bodies[exchange.n])
            for exchange in cassette.exchanges
        }
        self._used: Counter[str] = Counter()
        #: The real model has answered already.
        self.went_live = False
        self.played: list[int] = []
        self.mismatches: list[Mismatch] = []

    @property
    def rules(self) -> tuple[Applied, ...]:
        """The rules that were needed."""
        return applied(self._used)

    @property
    def unasked(self) -> tuple[int, ...]:
        """Exchanges that nobody asked for, but for those that were not to be answered."""
        return tuple(e.n for e in self._open if self._until is None or e.n < self._until)

    def find(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer | Reached | Live | Mismatch:
        """What a request gets."""
        rules = Rules(self._here, headers.get(SESSION, ""))
        now = rules(_read(body, self._without))
        at = rules(self._without(target))
        self._used += rules.used
        key = _key(method, at, now)
        found = next((exchange for exchange in self._open if self._keys[exchange.n] == key), None)
        if found is not None:
            return self._given(found)
        if self.went_live:
            return Live()
        if self._ends and not self._open:
            return Reached(len(self.cassette.exchanges) + 1)
        mismatch, nearest = self._mismatch(method, at, now)
        self.mismatches.append(mismatch)
        return self._given(nearest) if self._go_on and nearest is not None and not self._live else mismatch

    def _given(self, exchange: Exchange) -> Answer | Reached | Live:
        if self._until is not None and exchange.n >= self._until:
            self.went_live = self._live
            return Live() if self._live else Reached(exchange.n)
        self._open.remove(exchange)
        self.played.append(exchange.n)
        kind = exchange.headers.get("content-type", "")
        body, changes = rewritten(exchange.answer, kind, self._moved, _SIGNED)
        pieces = (body,) if changes else tuple(_cut(body, exchange.pieces))
        return Answer(
            n=exchange.n, status=exchange.status, headers=exchange.headers, pieces=pieces, whole=exchange.whole,
            left=exchange.left,
        )  # fmt: skip

    def _mismatch(self, method: str, target: str, body: Any) -> tuple[Mismatch, Exchange | None]:
        """What the request is nearest to, and how they differ."""
        if not self._open:
            why = f"all {len(self.cassette.exchanges)} recorded exchanges were asked for, and here is one more"
            if self.cassette.missing:
                why += f" (the recording is incomplete: {self.cassette.missing})"
            return Mismatch(n=None, why=why), None
        nearest = max(self._open, key=lambda exchange: (self._alike(exchange, method, target, body), -exchange.n))
        recorded = {
            "method": nearest.method, "target": self._targets[nearest.n], "body": self._bodies[nearest.n],
        }  # fmt: skip
        found = differences(recorded, {"method": method, "target": target, "body": body})
        why = f"the request is none that was recorded; it is most like that of exchange {nearest.n}"
        return Mismatch(n=nearest.n, why=why, differences=found), nearest

    def _alike(self, exchange: Exchange, method: str, target: str, body: Any) -> float:
        """How much two requests have in common."""
        if exchange.method != method or self._targets[exchange.n] != target:
            return -1.0
        recorded = self._bodies[exchange.n]
        if not isinstance(recorded, dict) or not isinstance(body, dict):
            return float(recorded == body)
        old, new = cast("dict[str, Any]", recorded), cast("dict[str, Any]", body)
        return sum(_same(old.get(key), part) for key, part in new.items())


def _same(recorded: Any, now: Any) -> float:
    """Of lists the share of elements at the same place that are equal."""
    if isinstance(recorded, list) and isinstance(now, list):
        old, new = cast("list[Any]", recorded), cast("list[Any]", now)
        equal = sum(one == other for one, other in zip(old, new, strict=False))
        return equal / max(1, len(old), len(new))
    return float(recorded == now)


def _session(cassette: Cassette) -> str:
    """The session's id, as the agent's CLI says it with each request."""
    return next((e.asked[SESSION] for e in cassette.exchanges if SESSION in e.asked), "")


def _key(method: str, target: str, body: Any) -> bytes:
    return hashlib.sha256(canonical([method, target, body])).digest()


def _read(body: bytes, without: Change) -> Any:
    """A request's body as the cassette has bodies."""
    if not body:
        return None
    try:
        return changed(msgspec.json.decode(body), without)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return without(body.decode(errors="replace"))


def _cut(body: bytes, pieces: tuple[tuple[float, int], ...]) -> list[bytes]:
    """A body in the pieces in which it came."""
    found, at = list[bytes](), 0
    for _, size in pieces:
        found.append(body[at : at + size])
        at += size
    return found
