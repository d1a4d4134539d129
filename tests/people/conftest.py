"""What the tests about people share."""

from __future__ import annotations

from pathlib import Path

import pytest
from people_lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A journal with nothing in it yet."""
    return Lab(tmp_path / "state")
