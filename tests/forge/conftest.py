"""Worlds for tests of the port `Forge`."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from forge_worlds import ForgeWorld, MemoryWorld
from github_contract import problems
from github_world import GitHubWorld

from overnight.landing.forge.local.server import Exchange, LocalGitHub


@pytest.fixture
def github(tmp_path: Path) -> Generator[GitHubWorld]:
    """The adapter for GitHub on a local one; every request and answer is as GitHub publishes them."""
    folder = tmp_path / "github"
    folder.mkdir()
    seen: list[Exchange] = []
    with LocalGitHub(folder) as local:
        local.observer = seen.append
        yield GitHubWorld(tmp_path, local)
    assert not [problem for exchange in seen for problem in problems(exchange)]


@pytest.fixture(params=["memory", "github"])
def world(request: pytest.FixtureRequest) -> ForgeWorld:
    """Every forge that there is."""
    return MemoryWorld() if request.param == "memory" else request.getfixturevalue("github")
