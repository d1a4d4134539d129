"""One cage for each animal."""

from __future__ import annotations

from pathlib import Path

import pytest
from cage import Cage


@pytest.fixture
def cage(tmp_path: Path) -> Cage:
    """A repository and a state folder."""
    return Cage(tmp_path)
