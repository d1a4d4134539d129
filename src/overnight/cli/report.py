"""`overnight report`"""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import click

from overnight.cli import home
from overnight.cli.paper import Paper, Part, say, say_json
from overnight.errors import BadInput, BadUnit
from overnight.missions.units import Duration
from overnight.report.brief import Brief
from overnight.report.brief_read import brief as read_brief
from overnight.report.brief_words import Line, Span, document
from overnight.report.nights import Night, clock_time, kept, latest, night, nights

_STYLES = {"strong": "bold", "code": "cyan", "quote": "italic", "dim": "dim", "good": "green", "bad": "red", "asks": "bold yellow"}  # fmt: skip
_FORMS = ("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d")


@click.command
@click.option("--since", metavar="WHEN", help="From then to now: a span such as 8h, a time such as 22:00, or a day.")
@click.option("--night", "named", metavar="DAY", help="One night, by the day on whose morning it ended: 2026-11-20.")
@click.option("--nights", "listed", is_flag=True, help="Every night whose brief is kept, one line each.")
@click.option("--markdown", "form", flag_value="markdown", help="Print it as Markdown.")
@click.option("--html", "form", flag_value="html", help="Print it as a page that needs nothing else.")
@click.option("--json", "form", flag_value="json", help="Print it as JSON.")
def report(since: str | None, named: str | None, listed: bool, form: str | None) -> None:
    """What the night brought: what needs you, what landed and how it is known, what it cost, what was unusual.

    Without options it begins with the latest night that is over and goes on to now. A night ends at `[report] at`,
    07:00 unless you say otherwise, and begins when the one before it ended.
    """
    if sum((since is not None, named is not None, listed)) > 1:
        raise BadInput(problem="`--since`, `--night` and `--nights` exclude one another.")
    if listed:
        return _list(form)
    found = _wanted(since, named)
    if form == "json":
        say_json(found)
    elif form is not None:
        from overnight.report import brief_render

        make = brief_render.page if form == "html" else brief_render.markdown
        click.echo(make(found), nl=False)
    else:
        draw(found).print()
    return None


def _wanted(since: str | None, named: str | None) -> Brief:
    state, now = home.state_folder(), time.time()
    at = clock_time(home.settings().report.at)
    if named is not None:
        wanted = night(_day(named), at)
        if wanted.until > now:
            raise BadInput(problem=f"The night of {wanted.name} is not over. `overnight report` says how it goes.")
        return kept(state, wanted.name) or _made(state, wanted, now)
    start = latest(now, at).since if since is None else _when(since, now)
    return _made(state, Night("", start, now), now)


def _made(state: Path, span: Night, now: float) -> Brief:
    return read_brief(
        state, span, now, without=home.redactor(), ceilings=home.settings().limits.window, alive=home.daemon() is not None
    )  # fmt: skip


# -- times --------------------------------------------------------------------------------------------------


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(problem=f"`--night`: {text!r} is not a day. Write one such as 2026-11-20.") from None


def _when(text: str, now: float) -> float:
    found = _moment(text, now)
    if found is None:
        problem = f"`--since`: {text!r} is neither a span (8h), a time (22:00), a day (2026-11-20) nor both of them."
        raise BadInput(problem=problem)
    if found > now:
        raise BadInput(problem=f"`--since`: {text!r} has not come yet.")
    return found


def _moment(text: str, now: float) -> float | None:
    try:
        return now - Duration.parse(text)
    except BadUnit:
        pass
    if re.fullmatch(r"\d{1,2}:\d{2}", text):
        text = text.rjust(5, "0")
        try:
            today = datetime.combine(datetime.fromtimestamp(now).astimezone().date(), clock_time(text))
        except ValueError:
            return None
        at = today.astimezone().timestamp()
        return at if at <= now else (today - timedelta(days=1)).astimezone().timestamp()
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).astimezone().timestamp()
        except ValueError:
            continue
    return None


# -- drawn --------------------------------------------------------------------------------------------------


def draw(found: Brief) -> Paper:
    """On paper."""
    said, paper = document(found), Paper()
    paper.line((said.title, "bold"), (f"  {said.about}", "dim"))
    paper.line(*_parts(said.lead))
    for section in said.sections:
        paper.gap().line((section.title, "bold"))
        for item in section.items:
            paper.line(*_parts(item.head), indent=2)
            for line in item.more:
                paper.line(*_parts(line), indent=4)
    return paper


def _parts(line: Line) -> list[Part]:
    return [(_shown(span), _STYLES.get(span.kind, "")) for span in line]


def _shown(span: Span) -> str:
    text = {"quote": f"“{span.text}”", "code": f"`{span.text}`"}.get(span.kind, span.text)
    return f"{text} {span.link}" if span.link else text


def _list(form: str | None) -> None:
    found = nights(home.state_folder())
    if form == "json":
        say_json(found)
        return
    if form is not None:
        raise BadInput(problem=f"`--nights` is a list: it goes with `--json`, not with `--{form}`.")
    if not found:
        say("No night's brief is kept yet: the daemon makes one every morning. `overnight report` shows the latest.")
        return
    paper = Paper()
    paper.grid([[(each.night, "bold"), f"{each.usd:.2f} USD", each.sentence] for each in found])
    paper.print()
