"""A real daemon killed at every instant of a task's life."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SHARDS = 4
#: Of nights on a forge there are a thousand. `OVERNIGHT_FORGE_NIGHTS=64` plays all of them, in so many parts.
_ALL = int(os.environ.get("OVERNIGHT_FORGE_NIGHTS", "0"))
FORGE_NIGHTS = [f"{n} {_ALL}" for n in range(_ALL)] or ["seed 1 2"]
#: A night syncs its journal a hundred times, and what the kernel has is not lost with a process: where that can be had,
#: nights lie in memory, seen by their own processes only.
IN_MEMORY = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=16g overnight "$0" && exec "$@"']


def output_of(command: list[str], folder: Path) -> tuple[int, str, str]:
    """Exit code, output and errors. Into files: whoever is left over by a fault would keep a pipe open for ever."""
    out, err = folder / "out", folder / "err"
    with out.open("wb") as to, err.open("wb") as errors:
        process = subprocess.Popen(command, stdout=to, stderr=errors, start_new_session=True)
        try:
            code = process.wait(550)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
    return code, out.read_text(), err.read_text()


def played(script: str, tmp_path: Path, *words: str) -> dict[str, Any]:
    """What the nights of a script have to say."""
    folder = tmp_path / "nights"
    folder.mkdir()
    memory = [*IN_MEMORY, str(folder)] if os.geteuid() == 0 and shutil.which("unshare") else []
    nights = Path(__file__).with_name(script)
    code, out, err = output_of([*memory, sys.executable, str(nights), str(folder), *words], tmp_path)
    assert code == 0, err
    return json.loads(out)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_task_lands_exactly_once_whenever_the_daemon_is_killed(tmp_path: Path, shard: int) -> None:
    """SIGKILL before and after every commit, git call and start of a warden: landed once, nothing left behind."""
    told = played("nights.py", tmp_path, str(shard), str(SHARDS))
    assert told["failures"] == {}
    assert told["total"] > 100
    assert told["killed"] >= told["total"] // SHARDS - 1


@pytest.mark.slow
@pytest.mark.parametrize("which", FORGE_NIGHTS)
def test_what_goes_over_a_forge_happens_once_whenever_the_daemon_is_killed(tmp_path: Path, which: str) -> None:
    """SIGKILL at chosen commits, git calls and requests to the forge: one task of one issue, one pull request, one merge
    and none before its checks are green, one that takes it back."""
    told = played("forge_nights.py", tmp_path, *which.split())
    assert told["failures"] == {}
    assert len(told["killed"]) >= told["nights"] - 1, "a night has some instants more or less than another"
