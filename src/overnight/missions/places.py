"""Where things lie in the state folder, as strings."""

from __future__ import annotations


def run_dir(state: str, run: str) -> str:
    """The directory of run `TASK.LIFE.N`."""
    task, life, n = run.rsplit(".", 2)
    return f"{state}/runs/{task}/{life}/{n}"
