"""Fixtures of the telemetry's tests."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from telemetry_lab import Collector, Night


@pytest.fixture
def collector() -> Generator[Collector]:
    """A collector that takes everything."""
    found = Collector()
    yield found
    found.close()


@pytest.fixture
def night(tmp_path: Path) -> Generator[Night]:
    """A task that is yet to be carried out."""
    found = Night(tmp_path / "state")
    yield found
    found.close()
