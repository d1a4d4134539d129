"""What answers say of the vendor's limits in their headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.missions.limits import Window
from overnight.usage.ratelimits import retry_at, windows_of

NOW = 1_795_228_000.0


def of(**more: float | str | None) -> Window:
    return Window(**{"source": "headers", "seen": NOW, **more})  # type: ignore[arg-type] (each row is a window's)


@pytest.mark.parametrize(
    ("headers", "windows"),
    [
        ({}, ()),
        (
            {
                "anthropic-ratelimit-unified-status": "rejected",
                "anthropic-ratelimit-unified-5h-status": "rejected",
                "anthropic-ratelimit-unified-5h-reset": "1795231849",
                "anthropic-ratelimit-unified-5h-utilization": "1.02",
                "anthropic-ratelimit-unified-7d-utilization": "0.4",
            },
            (of(name="five-hour", used=1.02, resets=1795231849.0, status="rejected"), of(name="seven-day", used=0.4)),
        ),
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "10",
                "anthropic-ratelimit-requests-reset": "2026-11-21T03:30:00Z",
                "anthropic-ratelimit-input-tokens-limit": "80000",
                "anthropic-ratelimit-input-tokens-remaining": "0",
            },
            (of(name="requests", used=0.8, resets=1795231800.0), of(name="input-tokens", used=1.0)),
        ),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "150000",
                "x-ratelimit-remaining-tokens": "75000",
                "x-ratelimit-reset-tokens": "6m0.5s",
            },
            (
                of(name="requests", used=1 - 59 / 60, resets=NOW + 1),
                of(name="tokens", used=0.5, resets=NOW + 360.5),
            ),
        ),
        ({"x-ratelimit-limit-tokens": "150000"}, (of(name="tokens"),)),
        ({"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "0"}, (of(name="tokens"),)),
        ({"x-ratelimit-limit-tokens": "many", "x-ratelimit-reset-tokens": "soon"}, (of(name="tokens"),)),
        ({"anthropic-ratelimit-unified-5h-utilization": "nan"}, (of(name="five-hour"),)),
        ({"anthropic-ratelimit-unified-5h-status": "\x1b[31m"}, (of(name="five-hour"),)),
    ],
)
def test_headers_in_our_words(headers: dict[str, str], windows: tuple[Window, ...]) -> None:
    """Each vendor's words; what can't be read is unknown, not zero."""
    assert windows_of(headers, NOW) == windows


@pytest.mark.parametrize(
    ("headers", "at"),
    [
        ({}, None),
        ({"retry-after": "30"}, NOW + 30),
        ({"retry-after": "0"}, NOW),
        ({"retry-after-ms": "1500", "retry-after": "2"}, NOW + 1.5),
        ({"retry-after": "Sat, 21 Nov 2026 03:30:00 GMT"}, 1795231800.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": "1e999"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], at: float | None) -> None:
    """Seconds, milliseconds or a date; nonsense is no time."""
    assert retry_at(headers, NOW) == at


NAMES = [
    "anthropic-ratelimit-unified-5h-reset",
    "anthropic-ratelimit-unified-5h-utilization",
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "retry-after",
    "retry-after-ms",
]


@given(st.dictionaries(st.sampled_from(NAMES), st.text() | st.floats().map(str) | st.integers().map(str)))
def test_hostile_headers_never_raise(headers: dict[str, str]) -> None:
    """Whatever a server sends, numbers are numbers or unknown."""
    for window in windows_of(headers, NOW):
        assert window.used is None or window.used >= 0
    retry_at(headers, NOW)
