"""What tokens cost: list prices, from the catalogue that is installed. Nothing is fetched, nothing is guessed.

The catalogue (`genai-prices`) is slow to load and to ask, so a model's rates are resolved once and kept: with a run
they also say later what it was priced by. The sum is the one that Claude Code itself works out, in exact decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import Struct

from overnight.missions.tokens import Tokens
from overnight.missions.units import Money
from overnight.usage.tokens import Used

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice

_MILLION = Decimal(1_000_000)
#: What an answer that was computed in the US only costs more.
_US = Decimal("1.1")
#: Words for what is billed by the standard rates, and for what costs less where a model has rates for it at all.
_STANDARD = frozenset({"", "auto", "standard", "default", "on_demand"})
_CHEAPER = frozenset({"batch", "flex"})


class Table(Struct, frozen=True, kw_only=True):
    """US dollars for a million tokens of each kind."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    #: What nobody is shown; most vendors bill it as any other output.
    thinking: Decimal


class Rates(Struct, frozen=True, kw_only=True):
    """What one model costs, as it is billed for one speed and tier."""

    #: The model's name in the catalogue.
    model: str
    #: Where the rates are from: "genai-prices 0.2.3".
    source: str
    base: Table
    #: (tokens, rates): a prompt of more tokens than this is billed by these rates, as a whole. Ascending.
    long: tuple[tuple[int, Table], ...] = ()
    #: US dollars for one web search; None when it is not known.
    web_search: Decimal | None = None

    def table(self, prompt: int) -> Table:
        """The rates for a prompt of so many tokens."""
        found = self.base
        for above, table in self.long:
            if prompt > above:
                found = table
        return found


class Billed(Struct, frozen=True):
    """What decides the rates of an answer."""

    model: str
    #: As in `Used`.
    speed: str = ""
    tier: str = ""


#: The rates of a model, None when they are not known.
Lookup = Callable[[Billed], Rates | None]


def cost(used: Used, model: str, lookup: Lookup) -> Decimal | None:
    """US dollars for one answer, exact; None when any part of it has no known price."""
    rates = lookup(Billed(model, used.speed, used.tier))
    if rates is None:
        return None
    steps = used.steps or (used.tokens,)
    tokens = sum((_tokens(step, rates) for step in steps), Decimal(0))
    searches = _searches(used.tokens.web_searches, rates)
    beside = [cost(Used(tokens=a.tokens, geo=used.geo), a.model or model, lookup) for a in used.asides]
    if searches is None or None in beside:
        return None
    whole = tokens * _US if used.geo == "us" else tokens
    return whole + searches + sum((part for part in beside if part is not None), Decimal(0))


def worst(rates: Rates, prompt: int, output: int, caches: int = 60, *, placed: bool = True) -> Decimal:
    """US dollars at most for a request whose prompt has at most so many tokens, and its answer too.

    caches: minutes that what it reads may stay in a cache: 0, 5 or 60. placed: it may be computed where it costs more.
    """
    table = rates.table(prompt)
    kinds = [table.input, table.cache_read]
    kinds += [table.cache_write_5m] if caches else []
    kinds += [table.cache_write_1h] if caches > 5 else []
    whole = (prompt * max(kinds) + output * max(table.output, table.thinking)) / _MILLION
    return whole * _US if placed else whole


def _tokens(tokens: Tokens, rates: Rates) -> Decimal:
    table = rates.table(tokens.prompt)
    return (
        tokens.input * table.input
        + (tokens.output - tokens.thinking) * table.output
        + tokens.thinking * table.thinking
        + tokens.cache_read * table.cache_read
        + (tokens.cache_write - tokens.cache_write_1h) * table.cache_write_5m
        + tokens.cache_write_1h * table.cache_write_1h
    ) / _MILLION


def _searches(count: int, rates: Rates) -> Decimal | None:
    if not count:
        return Decimal(0)
    return None if rates.web_search is None else count * rates.web_search


_ZERO = Decimal(0)
#: A model on a machine of one's own.
FREE = Rates(
    model="local",
    source="a server of your own",
    base=Table(input=_ZERO, output=_ZERO, cache_read=_ZERO, cache_write_5m=_ZERO, cache_write_1h=_ZERO, thinking=_ZERO),
    web_search=_ZERO,
)


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs that no price list knows, or that costs you something else. For a million tokens."""

    input: Money
    output: Money
    #: Read from a cache; as `input` when absent.
    cache_read: Money | None = None
    #: Put into a cache for 5 minutes; as `input` when absent.
    cache_write: Money | None = None
    #: Put into a cache for an hour; as `cache_write` when absent.
    cache_write_1h: Money | None = None

    def rates(self, model: str) -> Rates:
        """The same as rates. Web searches have no price then."""
        put = self.input if self.cache_write is None else self.cache_write
        table = Table(
            input=Decimal(self.input),
            output=Decimal(self.output),
            thinking=Decimal(self.output),
            cache_read=Decimal(self.input if self.cache_read is None else self.cache_read),
            cache_write_5m=Decimal(put),
            cache_write_1h=Decimal(put if self.cache_write_1h is None else self.cache_write_1h),
        )
        return Rates(model=model, source="your settings", base=table)


class Catalogue:
    """Rates, each looked up once. Loading the catalogue takes a fifth of a second: `load` does it beforehand."""

    def __init__(self, at: float, vendor: str = "", url: str = "", own: Mapping[str, Price] | None = None) -> None:
        """at: the prices of which day, epoch seconds. vendor, url: who bills, as the catalogue calls it (`anthropic`,
        `openai`, `google`), and the base URL of the API, which goes first where the catalogue knows it. own: prices
        that go before the catalogue's, by the model's exact name."""
        self._at, self._vendor, self._url, self._own = at, vendor, url, own or {}
        self._known: dict[Billed, Rates | None] = {}
        self._dearest: Rates | None = None

    def load(self) -> Catalogue:
        """Import and read the catalogue, and find what its vendor asks most for. From any thread."""
        self._dearest = _dearest(self._vendor, self._at)
        return self

    def __call__(self, billed: Billed) -> Rates | None:
        """The rates, or None when the catalogue has none for exactly this model, speed and tier."""
        if billed not in self._known:
            self._known[billed] = self._resolve(billed)
        return self._known[billed]

    def changes(self, model: str) -> bool:
        """Whether what this model costs depends on the date or the time of day."""
        found = None if model in self._own else self._find(model)
        return found is not None and isinstance(found.prices, list)

    @property
    def dearest(self) -> Rates | None:
        """For each kind of tokens the most that this vendor asks for any model, once loaded; None for no vendor."""
        return self._dearest

    @property
    def used(self) -> tuple[tuple[Billed, Rates | None], ...]:
        """Everything that was asked for so far."""
        return tuple(self._known.items())

    def _resolve(self, billed: Billed) -> Rates | None:
        if billed.model in self._own:
            return self._own[billed.model].rates(billed.model)
        found = self._find(billed.model)
        price = None if found is None else _price(found, billed, self._at)
        return None if found is None or price is None else _rates(found.id, price)

    def _find(self, model: str) -> ModelInfo | None:
        prices = _price_list()
        ways = [(None, self._url)] if self._url else []
        ways += [(self._vendor or None, None)]
        for vendor, url in ways:
            try:
                return prices.find_provider_model(model, None, vendor, url)[1]
            except LookupError:
                continue
        return None


def _dearest(vendor: str, at: float) -> Rates | None:
    from datetime import UTC, datetime

    try:
        models = _price_list().find_provider(None, vendor, None).models if vendor else []
    except LookupError:
        models = []
    day = datetime.fromtimestamp(at, UTC)
    rates = [found for model in models if (found := _rates(model.id, model.get_prices(day))) is not None]
    tables = [table for found in rates for table in (found.base, *(long for _, long in found.long))]
    if not tables:
        return None
    most = {name: max(getattr(table, name) for table in tables) for name in Table.__struct_fields__}
    return Rates(model=f"the dearest of {vendor}", source=rates[0].source, base=Table(**most))


def context_window(model: str) -> int | None:
    """Tokens that a model's context holds, by the catalogue; None when it does not say. Takes its time at first."""
    try:
        return _price_list().find_provider_model(model, None, None, None)[1].context_window
    except LookupError:
        return None


def _price_list() -> DataSnapshot:
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def _price(model: ModelInfo, billed: Billed, at: float) -> ModelPrice | None:
    """The model's prices in this speed and tier; None when it has none for one that may cost more than the standard."""
    from datetime import UTC, datetime

    day, context = datetime.fromtimestamp(at, UTC), dict[str, str]()
    price = model.get_prices(day)
    for key, word in (("speed", billed.speed), ("service_tier", billed.tier)):
        if word in _STANDARD:
            continue
        context |= {"processing": "batch"} if word == "batch" else {key: word}
        special = model.get_prices(day, context)
        if special == price and word not in _CHEAPER and not _at_list_price(model, word):
            return None
        price = special
    return price


def _at_list_price(model: ModelInfo, word: str) -> bool:
    """Anthropic's priority tier is capacity bought beforehand; what it is used for counts at the list price."""
    return word == "priority" and model.id.startswith("claude-")


def _rates(model: str, price: ModelPrice) -> Rates | None:
    from genai_prices import __version__

    keys = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "output_reasoning")
    raw = {key: getattr(price, f"{key}_mtok") for key in keys}
    if raw["input"] is None or raw["output"] is None:
        return None
    starts = sorted({tier.start for value in raw.values() for tier in getattr(value, "tiers", ())})
    searches = price.web_searches_kcount
    return Rates(
        model=model,
        source=f"genai-prices {__version__}",
        base=_table(raw, 0),
        long=tuple((start, _table(raw, start + 1)) for start in starts),
        web_search=searches / 1000 if isinstance(searches, Decimal) else None,
    )


def _table(raw: dict[str, object], prompt: int) -> Table:
    """The rates for a prompt of this size. What has no rate of its own is billed as what it is a part of."""
    at = {key: _rate(value, prompt) for key, value in raw.items()}
    read, written = at["input"], at["output"]
    assert read is not None
    assert written is not None
    put = read if at["cache_write"] is None else at["cache_write"]
    return Table(
        input=read,
        output=written,
        cache_read=read if at["cache_read"] is None else at["cache_read"],
        cache_write_5m=put,
        cache_write_1h=put if at["cache_write_1h"] is None else at["cache_write_1h"],
        thinking=written if at["output_reasoning"] is None else at["output_reasoning"],
    )


def _rate(value: object, prompt: int) -> Decimal | None:
    if value is None or isinstance(value, Decimal):
        return value
    from genai_prices.types import TieredPrices

    assert isinstance(value, TieredPrices)
    found = value.base
    for tier in value.tiers:
        if prompt > tier.start:
            found = tier.price
    return found
