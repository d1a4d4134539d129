"""`overnight usage`"""

from __future__ import annotations

import os
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from overnight.cli import home
from overnight.cli.paper import note, say_json
from overnight.errors import BadInput, BadUnit
from overnight.missions.units import Duration
from overnight.report.forecast import told
from overnight.report.usage import BY, UsageView, Wanted, local
from overnight.report.usage import usage as view_of
from overnight.usage.places import AGENTS, UsageSettings, roots, run_roots

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


@click.command
@click.argument("by", type=click.Choice(BY), default="daily")
@click.option("--since", metavar="DAY", help="First day, such as 2026-11-01, or a span up to now, such as 7d.")
@click.option("--until", metavar="DAY", help="Last day, such as 2026-11-30.")
@click.option("--project", metavar="NAME", help="Only sessions in this folder, by path or name, or in this repo.")
@click.option("--timezone", metavar="ZONE", help="Whose days, such as Europe/Berlin. Default: this machine's.")
@click.option("--from", "named", multiple=True, metavar="AGENT=FOLDER",
              help="Where an agent's logs are, such as claude=~/.claude; several times for several. Leaves out all others.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def usage(
    by: str, since: str | None, until: str | None, project: str | None, timezone: str | None, named: tuple[str, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """What models were used for, by day, week, month, session, five-hour block, task or model, and what that is worth.

    Counted from the logs that agents keep on this machine: yours, and those of Overnight's own runs, which are marked.
    Costs are list prices, whoever pays. No agent is started and nothing is sent.
    """
    settings = home.settings()
    zone = _zone(timezone or settings.usage.timezone)
    now = time.time()
    wanted = Wanted(
        by=by,
        since=_first_day(since, now, zone),
        until=_day(until, "--until") if until is not None else None,
        project=_project(project),
        zone=zone,
    )
    if wanted.since is not None and wanted.until is not None and wanted.since > wanted.until:
        raise BadInput(problem=f"`--since` {wanted.since} is after `--until` {wanted.until}. Swap them.")
    found = _look(_named(named) if named else settings.usage, wanted, now, whole=not named)
    if as_json:
        say_json(found)
        return
    from overnight.cli.usage_tables import draw

    draw(found, zone).print()
    for problem in found.problems:
        note(problem)


def _look(settings: UsageSettings, wanted: Wanted, now: float, *, whole: bool) -> UsageView:
    """Bring the index up to date, and add it up. whole: with what Overnight itself ran."""
    from msgspec.structs import replace

    from overnight.report.logs import note_runs
    from overnight.usage.index import Index

    state = home.state_folder()
    with Index(state, home.settings().prices) as index:
        every = (*roots(os.environ, settings), *run_roots(state))
        done = index.refresh(every)
        if whole:
            note_runs(state, index)
        found = view_of(index.db, wanted, now, told(state, now))
    yours = tuple(root.path for root in done.roots if not root.run)
    return replace(found, roots=yours, logs=done.files, problems=done.problems)


# -- what was asked -----------------------------------------------------------------------------------------


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        problem = f"No time zone is called {name!r}. Write one such as Europe/Berlin or UTC."
        raise BadInput(problem=problem) from error


def _first_day(text: str | None, now: float, zone: ZoneInfo | None) -> date | None:
    if text is None:
        return None
    try:
        span = Duration.parse(text)
    except BadUnit:
        return _day(text, "--since")
    try:
        return (local(now, zone) - timedelta(seconds=float(span))).date()
    except OverflowError:
        return None


def _day(text: str, option: str) -> date:
    for form in ("%Y-%m-%d", "%Y%m%d"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 (a day, of whatever zone)
        except ValueError:
            continue
    raise BadInput(problem=f"`{option}`: {text!r} is not a day. Write one such as 2026-11-01.")


def _project(text: str | None) -> str | None:
    """A path as one; a name as it is."""
    if text is None or not (text.startswith((".", "~")) or "/" in text):
        return text
    return str(Path(text).expanduser().absolute().resolve())


def _named(named: tuple[str, ...]) -> UsageSettings:
    found: dict[str, tuple[str, ...]] = dict.fromkeys(AGENTS, ())
    for each in named:
        agent, _, folder = each.partition("=")
        if agent not in AGENTS or not folder:
            raise BadInput(problem=f"`--from`: {each!r} is not AGENT=FOLDER. Agents are {', '.join(AGENTS)}.")
        found[agent] += (folder,)
    return UsageSettings(claude=found["claude"], codex=found["codex"], gemini=found["gemini"])
