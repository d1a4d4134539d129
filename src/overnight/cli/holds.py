"""`overnight holds`"""

from __future__ import annotations

import time

import click

from overnight.cli import home
from overnight.cli.paper import Paper, say, say_json
from overnight.cli.status import ASKS
from overnight.cli.words import since, until
from overnight.report.find import repo_named
from overnight.report.status import status as look
from overnight.report.views import HoldView, TaskRow


@click.command
@click.option("--repo", metavar="NAME", help="Only this repo.")
@click.option("--json", "as_json", is_flag=True, help="Print the tasks as JSON.")
def holds(repo: str | None, as_json: bool) -> None:
    """Every task that is held: why, since when, what releases it, and what happens by itself.

    What waits for you comes first, the urgent before the others and then the longest wait.
    """
    state, now = home.state_folder(), time.time()
    name = repo_named(state, repo).name if repo is not None else None
    seen = look(state, now, now, name)
    rows = [row for each in seen.repos for row in (*each.needs_person, *each.waiting) if row.hold is not None]
    rows.sort(key=_line)
    if as_json:
        say_json(rows)
    elif not rows:
        say("Nothing is held.")
    else:
        _drawn(rows, now).print()


def _line(row: TaskRow) -> tuple[bool, bool, float, str]:
    assert row.hold is not None
    return (not row.hold.needs_person, not row.hold.urgent, row.since, row.id)


def _drawn(rows: list[TaskRow], now: float) -> Paper:
    paper = Paper()
    for row in rows:
        assert row.hold is not None
        style = ASKS if row.hold.needs_person else "yellow"
        reason = f"urgent: {row.hold.reason}" if row.hold.urgent else row.hold.reason
        paper.line((reason, style), f" {row.id}  {row.title} ({row.repo}, {since(row.since, now)})")
        paper.line(row.hold.why, indent=2)
        paper.line(("→ ", style), _release(row.hold, now), indent=2)
    return paper


def _release(hold: HoldView, now: float) -> str:
    if hold.until is None:
        return hold.releases_on
    then = f"{hold.then or 'tried again'} {until(hold.until, now)}"
    return f"{hold.releases_on}; else {then}" if hold.needs_person else f"{then}; {hold.releases_on}"
