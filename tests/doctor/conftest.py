"""One lab for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A machine without settings of its own."""
    return Lab(tmp_path)
