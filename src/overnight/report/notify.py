"""Who is told, and how that goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from overnight.people.settings import Target, words
from overnight.report.journal import reading, snapshot


class TargetView(Struct, frozen=True, kw_only=True):
    """One target, and what became of what was for it. Facts are counted, not messages."""

    name: str
    #: For a person; without its address.
    words: str
    sent: int
    #: Epoch seconds when it was told something last; null: never.
    last: float | None
    #: What waits to be told: until a time, or for another try.
    waiting: int
    #: What was given up.
    dead: int
    #: What went wrong last, of what waits or was given up; empty when nothing did.
    why: str


def targets(home: Path, named: Mapping[str, Target]) -> tuple[TargetView, ...]:
    """Every target that the settings name, in their order."""
    sql = (
        "SELECT target, count(*) FILTER (WHERE state = 'sent') AS sent, max(at) FILTER (WHERE state = 'sent') AS last, "
        "count(*) FILTER (WHERE state IN ('waiting', 'sending')) AS waiting, count(*) FILTER (WHERE state = 'dead') AS dead "
        "FROM delivery GROUP BY target"
    )
    trouble = (
        "SELECT why FROM delivery WHERE target = ? AND state IN ('waiting', 'sending', 'dead') AND why != '' "
        "ORDER BY id DESC LIMIT 1"
    )
    with reading(home) as db, snapshot(db):
        rows = {row["target"]: dict(row) for row in db.execute(sql)}
        for name, row in rows.items():
            found = db.execute(trouble, (name,)).fetchone()
            row["why"] = found["why"] if found else ""
    return tuple(_view(name, target, rows.get(name, {})) for name, target in named.items())


def _view(name: str, target: Target, row: Mapping[str, int | float | str | None]) -> TargetView:
    last = row.get("last")
    return TargetView(
        name=name, words=words(name, target), sent=int(row.get("sent") or 0),
        last=None if last is None else float(last), waiting=int(row.get("waiting") or 0),
        dead=int(row.get("dead") or 0), why=str(row.get("why") or ""),
    )  # fmt: skip
