"""Places and boxes for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from boxing import Held, named

from overnight.ports import Box


def _box(name: str) -> Box:
    box = named(name)
    if box is None:
        pytest.skip(f"this machine, or its user, has no box by {name}")
    return box


_ENGINES = [pytest.param(name, marks=pytest.mark.engine) for name in ("podman", "docker")]


@pytest.fixture(params=["system", "wheel", "landlock", "none", *_ENGINES])
def box(request: pytest.FixtureRequest) -> Box:
    """Every adapter of the port."""
    return _box(request.param)


@pytest.fixture(params=["system", "wheel"])
def tight(request: pytest.FixtureRequest) -> Box:
    """Every bubblewrap."""
    return _box(request.param)


@pytest.fixture(params=["system", "wheel", *_ENGINES])
def walled(request: pytest.FixtureRequest) -> Box:
    """Every adapter whose boxes have walls of their own: bubblewrap and containers."""
    return _box(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that boxes may write."""
    path = tmp_path / "inside"
    path.mkdir()
    return path


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder that boxes don't see."""
    path = tmp_path / "logs"
    path.mkdir()
    return path


@pytest.fixture
def held(logs: Path) -> Iterator[Held]:
    """Tells when a box is empty."""
    fifo = Held(logs)
    yield fifo
    fifo.close()
