"""State folders for the tests of `durable`."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from lab import FAST


@pytest.fixture
def home() -> Generator[Path]:
    """An empty state folder."""
    with tempfile.TemporaryDirectory(prefix="overnight-", dir=FAST if FAST.is_dir() else None) as folder:
        yield Path(folder) / "state"
