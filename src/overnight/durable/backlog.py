"""Results that wait for a person's decision: while too many do, nothing new starts in their repo."""

from __future__ import annotations

from overnight.durable.journal import Journal
from overnight.missions.approval import DECISION
from overnight.missions.hold import Hold, HoldReason

_WAITS = "backlog "


def waiting(journal: Journal, lane: str) -> int:
    """How many results of a lane wait for a decision."""
    sql = "SELECT count(*) FROM task WHERE wait_for = ? AND lane = ?"
    return journal.db.execute(sql, (f"signal {DECISION}", lane)).fetchone()[0]


def wait_for(most: int) -> str:
    """What a task waits for that finds no room."""
    return f"{_WAITS}{most}"


def backlog(lane: str, open_: int, most: int) -> Hold:
    """The hold of such a task."""
    return Hold(
        reason=HoldReason.PR_BACKLOG,
        why=f"{open_} results of {lane} wait for a decision, and nothing new starts there from {most} on",
        releases_on="a decision about one of them: `overnight holds`",
        then="it starts",
    )


def eased(journal: Journal) -> list[str]:
    """Tasks that may look again, the first in line before the others, as many of each lane as there is room for."""
    sql = "SELECT id, lane, wait_for FROM task WHERE wait_for >= ? AND wait_for < ? ORDER BY priority DESC, created, id"
    rows = journal.db.execute(sql, (_WAITS, "backlog!")).fetchall()
    open_ = {lane: waiting(journal, lane) for lane in {row["lane"] for row in rows}}
    found: list[str] = []
    for row in rows:
        if open_[row["lane"]] < int(row["wait_for"].removeprefix(_WAITS)):
            open_[row["lane"]] += 1
            found.append(row["id"])
    return found
