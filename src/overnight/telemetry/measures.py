"""Measurements added up. What is added up outlives the process: a restart neither begins anew nor counts twice."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct, field

from overnight.telemetry.values import Measured, Value

#: Sets of attributes of one instrument; what more there are is added up as one, as the SDK does.
MOST_SERIES = 500
OVERFLOW = json.dumps({"otel.metric.overflow": True})


class Instrument(NamedTuple):
    """What is measured."""

    unit: str
    description: str
    #: Upper bounds of a histogram's buckets; none for a sum.
    bounds: tuple[float, ...] = ()


#: Bounds as the conventions for generative AI ask for them.
_TOKENS = tuple(float(4**n) for n in range(14))
_SECONDS = tuple(0.01 * 2**n for n in range(14))
INSTRUMENTS: Mapping[str, Instrument] = {
    "gen_ai.client.token.usage": Instrument("{token}", "Number of input and output tokens used.", _TOKENS),
    "gen_ai.client.operation.duration": Instrument("s", "GenAI operation duration.", _SECONDS),
    "overnight.spend": Instrument("{USD}", "What models cost at list prices, where that is known."),
    "overnight.spend.unknown": Instrument("{use}", "Runs and judges of which nobody knows what they cost."),
    "overnight.guard.denials": Instrument("{call}", "Tool calls that the guard refused."),
    "overnight.tasks.ended": Instrument("{task}", "Tasks that ended, by how."),
}


class Point(Struct):
    """A sum, or a histogram."""

    total: float = 0.0
    count: int = 0
    buckets: list[int] = field(default_factory=list[int])
    least: float = 0.0
    most: float = 0.0


class Measures(Struct):
    """Instrument -> attributes as JSON -> what was measured."""

    series: dict[str, dict[str, Point]] = field(default_factory=dict[str, dict[str, Point]])

    def add(self, one: Measured) -> None:
        """One measurement."""
        bounds = INSTRUMENTS[one.name].bounds
        point = self._point(one.name, _key(one.attributes))
        point.least = one.value if point.count == 0 else min(point.least, one.value)
        point.most = one.value if point.count == 0 else max(point.most, one.value)
        point.total += one.value
        point.count += 1
        if bounds:
            point.buckets = point.buckets or [0] * (len(bounds) + 1)
            point.buckets[bisect_left(bounds, one.value)] += 1

    def merge(self, other: Measures) -> None:
        """Everything that was measured elsewhere as well."""
        for name, points in other.series.items():
            for key, new in points.items():
                point = self._point(name, key)
                point.least = new.least if point.count == 0 else min(point.least, new.least)
                point.most = new.most if point.count == 0 else max(point.most, new.most)
                point.total += new.total
                point.count += new.count
                point.buckets = [
                    sum(pair) for pair in zip(point.buckets or [0] * len(new.buckets), new.buckets, strict=True)
                ]

    def known(self) -> Measures:
        """What this Overnight measures too; another one may have had other instruments, or other buckets."""
        found = Measures()
        for name, points in self.series.items():
            if (instrument := INSTRUMENTS.get(name)) is not None:
                buckets = len(instrument.bounds) + 1 if instrument.bounds else 0
                same = {key: point for key, point in points.items() if len(point.buckets) == buckets}
                found.series |= {name: same} if same else {}
        return found

    def _point(self, name: str, key: str) -> Point:
        points = self.series.setdefault(name, {})
        if key not in points and len(points) >= MOST_SERIES:
            key = OVERFLOW
        return points.setdefault(key, Point())


def attributes_of(key: str) -> dict[str, Value]:
    """What a series is about."""
    return json.loads(key)


def _key(attributes: Mapping[str, Value]) -> str:
    return json.dumps(dict(attributes), sort_keys=True)
