"""Whoever tests pages and API has a machine with an empty state folder, served in a thread, or a whole night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from web_lab import Lab
from web_served import Pages

#: Changes a file; every change waits for a person.
WORKER = 'echo "work of $OVERNIGHT_TASK" > "$OVERNIGHT_TASK.txt" && echo done'


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    """A server in this process, over an empty state folder."""
    with Pages(tmp_path / "state") as found:
        yield found


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A daemon with its pages; what tasks do waits for a person's word."""
    lab = Lab(tmp_path_factory.mktemp("night"), agent=WORKER, asks=0)
    try:
        lab.up()
        yield lab
    finally:
        lab.end()
