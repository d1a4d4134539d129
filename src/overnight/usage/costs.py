"""What answers cost, in whole parts of a dollar: rates are looked up once and kept beside the index, so that figures
come without loading the price list. Another list, or other prices of one's own, and every answer is priced anew."""

from __future__ import annotations

import importlib.util
import sqlite3
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from hashlib import blake2b
from pathlib import Path

import msgspec

from overnight.missions.codec import decode, encode
from overnight.missions.tokens import Tokens
from overnight.usage.entries import NEVER, Billing
from overnight.usage.prices import Billed, Catalogue, Price, Rates, cost
from overnight.usage.tokens import Used

#: Parts of a dollar that costs are kept in. No price list goes below them.
PARTS = 10**12
HOUR_MS = 3_600_000
_PER_TOKEN = PARTS // 10**6
#: Whole parts for a token of each kind: input, output, thinking, read, written, written for an hour; for a search.
_Fast = tuple[int, int, int, int, int, int, int | None]


def fingerprint(own: Mapping[str, Price]) -> str:
    """What costs were worked out by: the installed list as it lies on disk, and one's own prices."""
    spec = importlib.util.find_spec("genai_prices")
    stamps = list[str]()
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("data*")):
            stat = path.stat()
            stamps.append(f"{path.name} {stat.st_size} {stat.st_mtime_ns}")
    said = encode([stamps, dict(own)])
    return blake2b(said, digest_size=16).hexdigest()


class Costs:
    """Costs of answers, by rates that are kept in the index's table `rate`."""

    def __init__(self, db: sqlite3.Connection, own: Mapping[str, Price]) -> None:
        self._db, self._own = db, own
        self._rates: dict[tuple[Billing, int], Rates | None] = {}
        self._fast: dict[tuple[Billing, int], _Fast | None] = {}
        #: Whole parts that hold at all times: those of nearly every answer.
        self._always: dict[Billing, _Fast] = {}
        self._dated: dict[tuple[str, str], bool] = {}
        self._catalogues: dict[tuple[str, int], Catalogue] = {}
        for row in db.execute("SELECT vendor, model, tier, speed, geo, hour, rates FROM rate"):
            billing, hour = Billing(*row[:5]), row[5]
            self._keep(billing, hour, None if row[6] is None else decode(row[6], Rates))

    def __call__(self, billing: Billing, at: int, tokens: Tokens, steps: tuple[Tokens, ...]) -> int | None:
        """Parts of a dollar; None when any part of it has no known price."""
        where, fast = (billing, 0), self._always.get(billing)
        if fast is None:
            found = self._where(billing, at)
            if found is None:
                return None
            where, fast = found, self._fast[found]
        if fast is None or (tokens.web_searches and fast[6] is None):
            return self._exactly(where, tokens, steps)
        whole = (
            tokens.input * fast[0] + (tokens.output - tokens.thinking) * fast[1] + tokens.thinking * fast[2]
            + tokens.cache_read * fast[3] + (tokens.cache_write - tokens.cache_write_1h) * fast[4]
            + tokens.cache_write_1h * fast[5]
        )  # fmt: skip
        if billing.geo == "us":
            if whole % 10:
                return self._exactly(where, tokens, steps)
            whole = whole * 11 // 10
        return whole + tokens.web_searches * (fast[6] or 0)

    def _exactly(self, where: tuple[Billing, int], tokens: Tokens, steps: tuple[Tokens, ...]) -> int | None:
        rates, billing = self._rates[where], where[0]
        if rates is None:
            return None
        used = Used(tokens=tokens, steps=steps if sum(steps, Tokens()).total == tokens.total else (), geo=billing.geo)
        found = cost(used, billing.model, lambda _: rates)
        return None if found is None else int((found * PARTS).to_integral_value(ROUND_HALF_EVEN))

    def _where(self, billing: Billing, at: int) -> tuple[Billing, int] | None:
        """Where the rates are kept: those of all times, or of the hour where the list has several. None: not known."""
        for hour in (0, at // HOUR_MS):
            if (billing, hour) in self._rates:
                return billing, hour
        if self._changes(billing) and at == NEVER:
            return None
        hour = at // HOUR_MS if self._changes(billing) else 0
        rates = self._catalogue(billing.vendor, hour)(Billed(billing.model, billing.speed, billing.tier))
        row = (*billing, hour, None if rates is None else encode(rates).decode())
        self._db.execute("INSERT OR REPLACE INTO rate VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._keep(billing, hour, rates)
        return billing, hour

    def _keep(self, billing: Billing, hour: int, rates: Rates | None) -> None:
        self._rates[billing, hour] = rates
        fast = self._fast[billing, hour] = None if rates is None else _whole(rates)
        if fast is not None and not hour:
            self._always[billing] = fast

    def _changes(self, billing: Billing) -> bool:
        known = (billing.vendor, billing.model)
        if known not in self._dated:
            self._dated[known] = self._catalogue(billing.vendor, 0).changes(billing.model)
        return self._dated[known]

    def _catalogue(self, vendor: str, hour: int) -> Catalogue:
        if (vendor, hour) not in self._catalogues:
            # Rates of all times are those of any: the half of an hour keeps clear of both its ends.
            self._catalogues[vendor, hour] = Catalogue(hour * 3600.0 + 1800.0, vendor, own=self._own)
        return self._catalogues[vendor, hour]


def _whole(rates: Rates) -> _Fast | None:
    """Rates as whole parts; None where they depend on the size of the prompt or are too fine for that."""
    table = rates.base
    each = [table.input, table.output, table.thinking, table.cache_read, table.cache_write_5m, table.cache_write_1h]
    whole = [rate * _PER_TOKEN for rate in each]
    search = None if rates.web_search is None else rates.web_search * PARTS
    fine = any(rate != rate.to_integral_value() for rate in whole)
    if rates.long or fine or (search is not None and search != search.to_integral_value()):
        return None
    i, o, t, r, w, h = (int(rate) for rate in whole)
    return i, o, t, r, w, h, None if search is None else int(search)


def dollars(parts: int) -> Decimal:
    """Parts of a dollar as dollars, exact."""
    return Decimal(parts) / PARTS


def packed(steps: tuple[Tokens, ...]) -> bytes | None:
    """Steps as the index keeps them."""
    return msgspec.json.encode(steps) if steps else None


def unpacked(data: bytes | None) -> tuple[Tokens, ...]:
    """Steps as they were."""
    return msgspec.json.decode(data, type=tuple[Tokens, ...]) if data else ()
