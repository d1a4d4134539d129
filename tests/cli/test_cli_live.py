"""What `overnight up` shows while the daemon runs."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from threading import Event

import pytest

from overnight.cli.live import View
from overnight.durable.journal import Journal


class Shaky(View):
    """Fails at one look, as with a disk that is full for a while."""

    def __init__(self, home: Path, error: Exception) -> None:
        super().__init__(home)
        self.begun, self.ended, self.error = 0, 0, error
        self.looked = Event()
        self._looks = 0

    def begin(self, db: sqlite3.Connection) -> None:
        self.begun += 1
        self._watch.wake()

    def look(self, db: sqlite3.Connection) -> None:
        self._looks += 1
        if self._looks == 1:
            self._watch.wake()
            raise self.error
        self.looked.set()

    def end(self, db: sqlite3.Connection) -> None:
        self.ended += 1


@pytest.mark.parametrize(
    "error", [sqlite3.DatabaseError("file is not a database"), OSError(28, "No space left on device")]
)
def test_a_view_goes_on_after_a_full_disk(tmp_path: Path, error: Exception) -> None:
    """A look that fails is tried again, on another connection; the view begins and ends once."""
    Journal(tmp_path).close()
    with Shaky(tmp_path, error) as view:
        view.start()
        assert view.looked.wait(60)
    assert (view.begun, view.ended) == (1, 1)
