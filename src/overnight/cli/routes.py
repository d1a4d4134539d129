"""`overnight routes`"""

from __future__ import annotations

import click

from overnight.cli import home
from overnight.cli.paper import Paper, Part, say, say_json
from overnight.judge.routing import Line
from overnight.report.routes import routes as lines_of


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def routes(as_json: bool) -> None:
    """Which model did what kind of work, how often it landed, and what that cost.

    Over all runs that the journal still holds. A cost is what is known; runs without a known one are counted beside it.
    """
    found = lines_of(home.state_folder())
    if as_json:
        say_json(found)
    elif not found:
        say("No run has ended yet.")
    else:
        heads: list[Part] = [
            (head, "dim") for head in ("work", "tier", "model", "runs", "landed", "cost", "each landed")
        ]
        Paper().grid([heads, *(_row(line) for line in found)]).print()


def _row(line: Line) -> list[Part]:
    cost = "unknown" if line.cost is None else f"{line.cost:.2f} USD"
    if line.cost is not None and line.unpriced:
        cost += f" + {line.unpriced} unknown"
    known = line.cost is not None and not line.unpriced and line.landed
    return [
        line.kind,
        line.tier or "-",
        line.model or "the agent's own",
        str(line.runs),
        f"{line.landed} ({100 * line.landed // line.runs} %)",
        cost,
        f"{line.cost / line.landed:.2f} USD" if known and line.cost is not None else "-",
    ]
