"""What came of every route: kind of work, tier and model, with outcome and cost, from the journal alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from overnight.judge.routing import Line, Route, Tried, ledger
from overnight.missions.codec import decode
from overnight.missions.run import RunOutcome
from overnight.missions.task import Phase
from overnight.report.journal import reading, snapshot

#: Every run that is over, with how its task ended. A task's last run is the one that landed.
_RUNS = """
SELECT routed.output AS route, ran.output AS outcome,
       task.state = 'done' AND task.phase = ? AND task.life = ran.life AND ran.finished = (
           SELECT max(last.finished) FROM step AS last
           WHERE last.task = ran.task AND last.life = ran.life AND last.name LIKE 'run %'
       ) AS landed
FROM step AS ran
JOIN step AS routed ON routed.task = ran.task AND routed.life = ran.life
    AND routed.name = 'route ' || substr(ran.name, 5)
JOIN task ON task.id = ran.task
WHERE ran.name LIKE 'run %'
"""


def routes(home: Path) -> tuple[Line, ...]:
    """One line for each kind of work and model, over all that the journal still holds."""
    with reading(home) as db, snapshot(db):
        return ledger(tuple(_tried(db)))


def _tried(db: sqlite3.Connection) -> Iterator[Tried]:
    for row in db.execute(_RUNS, (Phase.LANDED,)):
        chosen, outcome = decode(row["route"], Route), decode(row["outcome"], RunOutcome)
        yield Tried(
            kind=chosen.kind,
            tier=chosen.tier,
            model=chosen.model,
            landed=bool(row["landed"]),
            cost=_cost(outcome),
        )


def _cost(outcome: RunOutcome) -> float | None:
    """As Overnight counted it; the agent's own account where it did not."""
    if outcome.bill is None:
        return outcome.usage.cost_usd
    return None if outcome.bill.cost is None else float(outcome.bill.cost)
