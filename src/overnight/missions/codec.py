"""Values to JSON and back, the same everywhere: journal, run directory, socket."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from overnight.missions.units import Duration, Money, Size

T = TypeVar("T")
_UNITS = (Duration, Size, Money)


def _out(value: Any) -> Any:
    if isinstance(value, Duration):
        return float(value)
    if isinstance(value, Size):
        return int(value)
    if isinstance(value, Money):
        return str(Decimal(value))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _in(kind: type, value: Any) -> Any:
    if kind in _UNITS:
        if isinstance(value, str) and not (kind is Money and value.replace(".", "", 1).isdigit()):
            return kind.parse(value)
        return kind(value)
    raise TypeError(f"{kind.__name__} has no JSON form")


def encode(value: Any) -> bytes:
    """Canonical JSON: keys sorted, so that equal values have equal bytes."""
    return msgspec.json.encode(value, enc_hook=_out, order="sorted")


def decode(data: bytes | str, kind: type[T]) -> T:
    """Raises msgspec.ValidationError when the data does not have the shape."""
    return msgspec.json.decode(data, type=kind, dec_hook=_in, strict=True)


def convert(value: Any, kind: type[T]) -> T:
    """A decoded JSON or TOML value to a typed one. Units may be text (`10m`) or bare seconds and bytes."""
    return msgspec.convert(value, kind, dec_hook=_in, strict=True)


def builtins(value: Any) -> Any:
    """A value to plain dicts, lists, strings and numbers."""
    return msgspec.to_builtins(value, enc_hook=_out, order="sorted")
