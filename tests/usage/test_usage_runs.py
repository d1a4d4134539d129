"""What Overnight itself spent is marked, counted once, and not lost with a log; the five hours under way, by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from overnight.missions.money import Bill, ModelUse
from overnight.missions.tokens import Tokens
from overnight.report.forecast import WindowSeen
from overnight.report.usage import YOURS, UsageView, Wanted, usage
from overnight.usage.index import Index
from overnight.usage.places import UsageSettings, roots, run_roots
from overnight.usage.runs import RunLog

NOW = datetime(2026, 11, 1, 4, 0, tzinfo=UTC).timestamp()
ONE = Tokens(input=1000, output=50)
COST = Decimal("0.005")


def answer(
    home: Path, name: str, session: str, at: str = "2026-11-01T02:30:00Z", model: str = "claude-opus-5-5"
) -> None:
    """A row in a session's log: 0.005 dollars on Opus."""
    message = {"id": name, "model": model, "usage": {"input_tokens": 1000, "output_tokens": 50}}
    row = {"type": "assistant", "timestamp": at, "sessionId": session, "message": message}
    path = home / ".claude" / "projects" / "-w" / f"{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row, separators=(",", ":")) + "\n")


def look(folder: Path, by: str = "task", told: tuple[WindowSeen, ...] = (), *logs: RunLog) -> UsageView:
    """As the command does."""
    state = folder / "state"
    with Index(state) as index:
        index.refresh((*roots({"HOME": str(folder)}, UsageSettings()), *run_roots(state)))
        index.note_runs(logs, "runs", "1")
        return usage(index.db, Wanted(by=by), NOW, told)


def ended(run: str, session: str, route: str = "gateway", model: str = "claude-opus-5-5") -> RunLog:
    """A run that used one answer's worth."""
    use = ModelUse(model=model, calls=1, tokens=ONE, cost=Decimal(0) if route == "local" else COST)
    bill = Bill(route=route, source="wire", paid=True, models=(use,))
    return RunLog(run=run, repo="shop", agent="claude", session=session, ended=NOW - 3600, bill=bill)


def test_own_runs_are_marked(tmp_path: Path) -> None:
    """A run's log below the state folder is its task's; the bill of the same run adds nothing to it."""
    answer(tmp_path, "m1", "mine")
    answer(tmp_path / "state" / "runs" / "fix-1" / "1" / "2" / "home", "m2", "theirs")
    found = look(tmp_path, "task", (), ended("fix-1.1.2", "theirs"))
    assert [(row.name, row.tokens, row.own_cost) for row in found.rows] == [
        ("fix-1", ONE, COST),
        (YOURS, ONE, Decimal(0)),
    ]
    assert found.rows[0].repo == "shop"
    assert (found.total.own_tokens, found.total.own_cost, found.total.cost) == (1050, COST, 2 * COST)


def test_a_bill_stands_in_for_a_log(tmp_path: Path) -> None:
    """Where a run's log is gone its bill counts, once; where the log turns up after all, that counts instead."""
    log = ended("fix-1.1.1", "gone")
    for _ in range(2):
        found = look(tmp_path, "task", (), log)
        assert [(row.name, row.tokens, row.cost) for row in found.rows] == [("fix-1", ONE, COST)]
    answer(tmp_path / "state" / "runs" / "fix-1" / "1" / "1" / "home", "m1", "gone")
    found = look(tmp_path, "task", (), log)
    assert [(row.name, row.answers, row.tokens, row.cost) for row in found.rows] == [("fix-1", 1, ONE, COST)]
    assert look(tmp_path, "daily").total.tokens == ONE


def test_a_server_of_ones_own_is_free(tmp_path: Path) -> None:
    """A run on the route `local` costs nothing, whatever its model is called."""
    answer(tmp_path / "state" / "runs" / "fix-1" / "1" / "1" / "home", "m1", "home", model="llama")
    found = look(tmp_path, "task", (), ended("fix-1.1.1", "home", "local", "llama"))
    assert (found.total.tokens, found.total.cost, found.total.unpriced) == (ONE, Decimal(0), 0)


def test_five_hours_under_way(tmp_path: Path) -> None:
    """Sum, pace, end and range, worked out by hand: 02:30, 03:30 and 03:50, seen at 04:00 of a block from 02:00 to 07:00."""
    for n, at in enumerate(("02:30", "03:30", "03:50")):
        answer(tmp_path, f"m{n}", "s", f"2026-11-01T{at}:00Z")
    (found,) = look(tmp_path).forecasts
    assert (found.source, found.left, found.tokens, found.cost) == ("guess", 3 * 3600, 3150, 3 * COST)
    assert found.tokens_minute == 2100 / 60  # two answers in the last hour
    assert found.likely_tokens == 3150 + 3 * 2100
    # since the first answer: three in 90 minutes; in the last quarter: one
    assert found.range_tokens == (3150 + 3 * 2100, 3150 + 3 * 4200)
    assert found.cost_hour == 0.01
    window = WindowSeen(
        account="claude direct", name="five-hour", used=0.4, resets=NOW + 1000, status="", source="stream", seen=NOW
    )
    (told,) = look(tmp_path, "task", (window,)).forecasts
    assert (told.source, told.left, told.end) == ("vendor", 1000, NOW + 1000)
