"""Real processes, really killed."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from overnight.durable.journal import connect, verify_journal

VICTIM = Path(__file__).parent / "victim.py"


def test_kill_9_at_every_moment_loses_and_repeats_nothing(home: Path) -> None:
    """A process that kills itself at any commit or around any effect leaves a journal that can be read at once,
    and from which the next process lands the task, with every effect made exactly once."""
    run = subprocess.run([sys.executable, VICTIM, home], capture_output=True, text=True, timeout=120, check=False)
    assert run.stderr == ""
    lives = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(lives) > 30
    assert [first for _, first, _ in lives] == [-signal.SIGKILL] * (len(lives) - 1) + [0]
    assert {second for _, _, second in lives} == {0}
    for moment, _, _ in lives:
        place = home / str(moment)
        effects = {path.name: path.read_text() for path in (place / "world").iterdir()}
        assert effects == {"one": "one\n", "two": "two\n", "land": "land\n"}, moment
        with closing(connect(place / "journal.db", read_only=True)) as db:
            assert db.execute("SELECT phase, output FROM task").fetchone()[:] == ("landed", '"yes"')
            assert db.execute("SELECT count(*) FROM slot WHERE released IS NULL").fetchone()[0] == 0
        assert verify_journal(place / "journal.db") > 0


def test_what_a_killed_process_left_can_be_read_without_writing(home: Path) -> None:
    """A reader sees what was committed by a process that died with its log unmerged, and merges nothing itself."""
    code = (
        "import os, signal, sys; from pathlib import Path; from overnight.durable.journal import Journal\n"
        "j = Journal(Path(sys.argv[1])); [j.tell('x', why=str(n)) for n in range(20)]; os.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run([sys.executable, "-c", code, home], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    before = (home / "journal.db").read_bytes()
    log = (home / "journal.db-wal").read_bytes()
    assert verify_journal(home / "journal.db") == 20
    assert ((home / "journal.db").read_bytes(), (home / "journal.db-wal").read_bytes()) == (before, log)
    with closing(connect(home / "journal.db", read_only=True)) as db:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM event")
