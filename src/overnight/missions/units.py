"""Durations, sizes and money carry their unit, in files and in print."""

from __future__ import annotations

import re
from decimal import Decimal
from math import isfinite

from overnight.errors import BadUnit

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
BYTES = {"B": 1, "kB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2, "GB": 1000**3, "GiB": 1024**3}
_PART = re.compile(r"(\d+(?:\.\d+)?) ?(ms|[smhdw])(?![a-z]) ?")


class Duration(float):
    """Seconds. Written `90s`, `10m`, `1h30m`."""

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Raises BadUnit when a number lacks its unit or a unit is unknown."""
        parts = _PART.findall(text)
        seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
        if not parts or _PART.sub("", text).strip() or not isfinite(seconds):
            raise BadUnit(value=text, kind="duration", example='"90s", "10m" or "1h30m"')
        return cls(seconds)

    def __str__(self) -> str:
        return show_duration(self)


class Size(int):
    """Bytes. Written `64MiB`, `1GB`."""

    @classmethod
    def parse(cls, text: str) -> Size:
        """Raises BadUnit when the unit is missing or unknown."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMG]i?B|B)", text.strip())
        if not match or match[2] not in BYTES:
            raise BadUnit(value=text, kind="size", example='"64MiB" or "2GB"')
        size = Decimal(match[1]) * BYTES[match[2]]
        if size >= 2**63:
            raise BadUnit(value=text, kind="size that a disk can have", example='"64MiB" or "2GB"')
        return cls(size)


class Money(Decimal):
    """US dollars. Written `5 USD`, `0.25 USD`."""

    @classmethod
    def parse(cls, text: str) -> Money:
        """Raises BadUnit for anything but an amount in USD."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*USD", text.strip())
        if not match:
            raise BadUnit(value=text, kind="sum of money", example='"5 USD"')
        return cls(match[1])


def show_duration(seconds: float) -> str:
    """`4s`, `3m20s`, `2h05m`, `3d4h`: two units at most."""
    whole = round(seconds)
    if whole < 1:
        return f"{seconds * 1000:.0f}ms"
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def show_size(size: int) -> str:
    """`700 B`, `1.5 MiB`, `4 GiB`: one digit behind the point at most."""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"
