"""One machine with a daemon for all that is done at the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from watch_lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Its daemon runs; what tasks do waits for a person's word."""
    found = Lab(tmp_path_factory.mktemp("machine"))
    try:
        found.up()
        yield found
    finally:
        found.end()
