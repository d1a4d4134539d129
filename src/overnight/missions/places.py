"""Where things lie in the state folder, for rooms that must agree without knowing each other. Names only."""

from __future__ import annotations

#: In a run's folder: what a person would have been asked so far.
QUESTIONS = "questions.json"
#: In a run's folder: what it sees of its model's service while it goes on.
CONTACT = "contact.json"


def split_run(run_id: str) -> tuple[str, str, str]:
    """`TASK.LIFE.N` -> (TASK, LIFE, N). Raises ValueError for anything else."""
    task, life, n = ("", "", *run_id.rsplit(".", 2))[-3:]
    if not (task and life.isdecimal() and n.isdecimal()) or "/" in task or task in (".", ".."):
        raise ValueError(f"{run_id!r} is not a run id: TASK.LIFE.N")
    return task, life, n


def run_dir(state: str, run_id: str) -> str:
    """The folder of one run. Only the folders inside it that a box is given are writable for an agent."""
    task, life, n = split_run(run_id)
    return f"{state.rstrip('/')}/runs/{task}/{life}/{n}"


def pipe_of(log: str) -> str:
    """The FIFO that leads to a log, as long as there is somebody in a box who may print."""
    return f"{log}.pipe"


def evidence_file(state: str, task: str, digest: str) -> str:
    """A bundle of evidence, by its digest."""
    return f"{state.rstrip('/')}/evidence/{task}/{digest}.json"
