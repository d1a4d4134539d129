"""Worlds for tests of the port `Forge`."""

from __future__ import annotations

import pytest
from forge_worlds import ForgeWorld, MemoryWorld


@pytest.fixture(params=["memory"])
def world(request: pytest.FixtureRequest) -> ForgeWorld:
    """Every forge that there is."""
    return MemoryWorld()
