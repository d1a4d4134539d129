"""What a model's answer says of the vendor's limits, in its headers: Anthropic's, OpenAI's, and `retry-after`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from overnight.missions.limits import Window

_UNIFIED, _ANTHROPIC, _OPENAI = "anthropic-ratelimit-unified-", "anthropic-ratelimit-", "x-ratelimit-"
#: A subscription's windows: as headers call them, and as we do.
_CLAIMS = {"5h": "five-hour", "7d": "seven-day"}
_KINDS = ("requests", "tokens", "input-tokens", "output-tokens")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def windows_of(headers: Mapping[str, str], now: float) -> tuple[Window, ...]:
    """The windows that headers (names in lower case) speak of; what can't be read is unknown. now: epoch seconds."""
    return (*_unified(headers, now), *_anthropic(headers, now), *_openai(headers, now))


def retry_at(headers: Mapping[str, str], now: float) -> float | None:
    """Epoch seconds before which the vendor does not want to be asked again; None where it says none."""
    if (ms := _number(headers.get("retry-after-ms"))) is not None:
        return now + ms / 1000
    said = headers.get("retry-after")
    if (seconds := _number(said)) is not None:
        return now + seconds
    return None if said is None else _http_date(said)


def _unified(headers: Mapping[str, str], now: float) -> Iterator[Window]:
    for claim, name in _CLAIMS.items():
        known = {part: headers.get(f"{_UNIFIED}{claim}-{part}") for part in ("utilization", "reset", "status")}
        if any(known.values()):
            yield Window(
                name=name,
                used=_number(known["utilization"]),
                resets=_number(known["reset"]),
                status=_word(known["status"]),
                source="headers",
                seen=now,
            )


def _anthropic(headers: Mapping[str, str], now: float) -> Iterator[Window]:
    for kind in _KINDS:
        limit, left, reset = (headers.get(f"{_ANTHROPIC}{kind}-{part}") for part in ("limit", "remaining", "reset"))
        if limit or left:
            yield _of_key(kind, limit, left, None if reset is None else _iso_date(reset), now)


def _openai(headers: Mapping[str, str], now: float) -> Iterator[Window]:
    for kind in _KINDS[:2]:
        limit, left, reset = (headers.get(f"{_OPENAI}{part}-{kind}") for part in ("limit", "remaining", "reset"))
        if limit or left:
            span = None if reset is None else _span(reset)
            yield _of_key(kind, limit, left, None if span is None else now + span, now)


def _of_key(kind: str, limit: str | None, left: str | None, resets: float | None, now: float) -> Window:
    most, rest = _number(limit), _number(left)
    used = None if most is None or rest is None or most <= 0 else min(1.0, max(0.0, 1 - rest / most))
    return Window(name=kind, used=used, resets=resets, source="headers", seen=now)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _word(text: str | None) -> str:
    return text if text is not None and re.fullmatch(r"[a-z_]{1,40}", text) else ""


def _span(text: str) -> float | None:
    """`6m0s`, `1.5s`, `20ms` in seconds."""
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return _number(text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _iso_date(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
