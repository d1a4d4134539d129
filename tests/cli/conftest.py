"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_stage import Desktop


@pytest.fixture
def desktop(tmp_path: Path) -> Desktop:
    """A machine on which nothing has happened yet."""
    return Desktop(tmp_path)
