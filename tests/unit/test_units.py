"""Durations, sizes and money: read with their unit or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.errors import BadUnit
from overnight.missions.units import Duration, Money, Size, show_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("2d", 172800),
        ("1w", 604800),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    """A duration is the sum of its parts."""
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 minutes", "1 0m", "-5m", "1h30", "10M", "5mss", "1,5h", "inf", "9" * 400 + "s", "1h x"]
)
def test_a_duration_without_a_clear_unit_is_refused(text: str) -> None:
    """Nothing is guessed: the message names the value and shows how to write one."""
    with pytest.raises(BadUnit, match=r"is not a duration.*10m"):
        Duration.parse(text)


@given(st.integers(0, 20 * 86400))
@settings(deadline=None)
def test_what_is_printed_can_be_read_again(seconds: int) -> None:
    """A printed duration parses, and loses at most what its second unit leaves out."""
    shown = Duration.parse(show_duration(seconds))
    assert 0 <= seconds - shown < (3600 if seconds >= 86400 else 60 if seconds >= 3600 else 1)


@pytest.mark.parametrize(
    ("text", "size"),
    [("7B", 7), ("64MiB", 64 * 1024**2), ("2GB", 2 * 10**9), ("1.5 KiB", 1536), ("1.1GB", 1_100_000_000)],
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    """Binary and decimal units are told apart."""
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "64", "64M", "1KB", "1 TB", "-1B", "9" * 400 + "B"])
def test_a_size_without_a_clear_unit_is_refused(text: str) -> None:
    """A unit that could be read in two ways is refused."""
    with pytest.raises(BadUnit, match="is not a size"):
        Size.parse(text)


def test_money_is_exact() -> None:
    """Money is decimal, never a binary fraction."""
    assert Money.parse("0.10 USD") + Money.parse("0.20 USD") == Decimal("0.30")


@pytest.mark.parametrize("text", ["5", "$5", "5 EUR", "-5 USD", "5 usd"])
def test_money_without_its_currency_is_refused(text: str) -> None:
    """Only amounts in USD are money."""
    with pytest.raises(BadUnit, match="5 USD"):
        Money.parse(text)
