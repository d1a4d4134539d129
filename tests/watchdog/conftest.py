"""Fixtures of the watchdog's tests."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from watchdog_lab import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Generator[Machine]:
    """A machine on which nothing runs yet."""
    machine = Machine(tmp_path)
    yield machine
    machine.close()
