"""What Overnight knows of its own runs, for the index of logs: whose session each was, and its bill where its log is gone."""

from __future__ import annotations

from pathlib import Path

import msgspec

from overnight.missions.codec import decode
from overnight.missions.run import RunOutcome
from overnight.report.journal import reading
from overnight.report.rundir import folder_of, launch_of
from overnight.usage.index import Index
from overnight.usage.runs import RunLog

_ENDED = """
SELECT step.output, step.finished, task.lane FROM step JOIN task ON task.id = step.task
WHERE step.name LIKE 'run %' AND step.finished > ? ORDER BY step.finished
"""
#: Where the index keeps how far the journal was read.
_UNTIL = "runs"


def note_runs(home: Path, index: Index) -> None:
    """Tell the index of the runs that ended since the last time. Raises JournalNewer, Refused."""
    since = float(index.noted(_UNTIL) or 0)
    with reading(home) as db:
        rows = db.execute(_ENDED, (since,)).fetchall()
    found = [log for row in rows if (log := _log(home, row["output"], row["finished"], row["lane"])) is not None]
    if rows:
        index.note_runs(found, _UNTIL, repr(rows[-1]["finished"]))


def _log(home: Path, output: str, at: float, repo: str) -> RunLog | None:
    try:
        outcome = decode(output, RunOutcome)
    except msgspec.DecodeError:
        return None  # of a version that knew other outcomes
    facts = launch_of(folder_of(home, outcome.run))
    return RunLog(
        run=outcome.run,
        repo=repo,
        agent=(facts.agent if facts is not None else None) or "",
        session=outcome.session or f"run {outcome.run}",
        ended=outcome.ended or at,
        bill=outcome.bill,
    )
