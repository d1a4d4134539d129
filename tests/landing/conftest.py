"""Worlds for tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest
from landing_world import BOXES, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A repository with one commit; nothing confines."""
    return World(tmp_path)


@pytest.fixture(params=sorted(BOXES))
def boxed(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """The same in every kind of box."""
    return World(tmp_path, BOXES[request.param]())
