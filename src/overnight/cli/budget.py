"""`overnight budget`"""

from __future__ import annotations

import time

import click

from overnight.cli import home
from overnight.cli.paper import Paper, Part, say, say_json
from overnight.cli.words import clock
from overnight.errors import BadInput
from overnight.judge.budget import show_amount, show_usd
from overnight.missions.codec import builtins
from overnight.missions.hold import HoldReason
from overnight.missions.money import Amount
from overnight.missions.units import Money
from overnight.report.budget import BudgetView, EachView, SpentView
from overnight.report.budget import budget as view_of
from overnight.report.find import repo_named, task_id

_SPANS = ("run", "task", "day", "month", "all")
_span = click.argument("span", type=click.Choice(_SPANS))
_repo = click.option("--repo", metavar="NAME", help="For this repo only.")
_task = click.option("--task", metavar="TASK", help="For this task only; the span is `task`.")


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def budget(ctx: click.Context, as_json: bool) -> None:
    """What may be spent, what was, and what is set aside for runs that go on.

    Dollars are those of routes that are billed by use; tokens are those of every route.
    """
    if ctx.invoked_subcommand is not None:
        return
    found = view_of(home.state_folder(), home.settings().budget, time.time())
    if as_json:
        say_json(found)
    else:
        draw(found).print()


@budget.command("set")
@_span
@click.argument("amount", required=False)
@click.option(
    "--tokens", type=click.IntRange(min=1), help="A limit in tokens, beside or instead of the one in dollars."
)
@_repo
@_task
def set_(span: str, amount: str | None, tokens: int | None, repo: str | None, task: str | None) -> None:
    """Set a limit: `overnight budget set day "40 USD"`. It goes before the settings; tasks that wait for it go on."""
    if amount is None and tokens is None:
        raise BadInput(problem='Name an amount, such as "40 USD", or --tokens, or both.')
    limit = Amount(usd=None if amount is None else Money.parse(amount), tokens=tokens)
    home.ask("put", kind="budget", key=_key(span, repo, task), value=builtins(limit))
    woken = home.ask("release", reason=HoldReason.ALLOWANCE_SPENT.value)
    say(f"{_whose(span, repo, task)} may spend {show_amount(limit)}.")
    if woken:
        say(f"{woken} that waited for money {'goes' if woken == 1 else 'go'} on.")


@budget.command()
@_span
@_repo
@_task
def unset(span: str, repo: str | None, task: str | None) -> None:
    """Take back a limit that was set; what the settings say holds again."""
    was = home.ask("drop", kind="budget", key=_key(span, repo, task))
    say("The settings hold again." if was else "Nothing was set there.")


def _key(span: str, repo: str | None, task: str | None) -> str:
    """The record that holds it. Raises UnknownRepo, UnknownTask, BadInput."""
    if task is not None:
        if span != "task" or repo is not None:
            raise BadInput(problem='A limit for one task is written `overnight budget set task "9 USD" --task TASK`.')
        return f"task {task_id(home.state_folder(), task)}"
    if repo is not None:
        return f"repo {repo_named(home.state_folder(), repo).name} {span}"
    return span


def _whose(span: str, repo: str | None, task: str | None) -> str:
    if task is not None:
        return "This task"
    of = f" of {repo}" if repo else ""
    return {"run": f"Each run{of}", "task": f"Each task{of}"}.get(
        span, f"All runs{of} in one {span}" if span != "all" else f"All runs{of} ever"
    )


# -- on paper -----------------------------------------------------------------------------------------------


def draw(found: BudgetView) -> Paper:
    """Limits of each run and task, then what was spent in each span of time."""
    paper = Paper()
    paper.grid([_each(view) for view in found.each])
    paper.gap()
    heads: list[Part] = [(head, "dim") for head in ("", "spent", "set aside", "limit", "used", "begins anew")]
    rows = [_row(view, found.at) for view in found.spent]
    if rows:
        paper.grid([heads, *rows])
        if any(view.unpriced for view in found.spent):
            paper.line(("* with runs whose cost is not known: each counts at its whole allowance", "dim"))
    else:
        paper.line("No run was given anything yet.")
    return paper


def _each(view: EachView) -> list[Part]:
    if view.task is not None:
        return [f"task {view.task}", show_amount(view.limit)]
    return [f"each {view.span}{f' of {view.repo}' if view.repo else ''}", show_amount(view.limit)]


def _row(view: SpentView, now: float) -> list[Part]:
    span = {"day": "today", "month": "this month", "all": "ever"}[view.span]
    star = "*" if view.unpriced else ""
    held = show_usd(view.reserved_usd) if view.reserved_usd else ""
    if view.reserved_tokens:
        held = ", ".join(part for part in (held, f"{view.reserved_tokens:,} tokens") if part)
    style = "red" if (view.percent or 0) >= 90 else "yellow" if (view.percent or 0) >= 75 else ""
    return [
        f"{view.repo or 'all repos'}, {span}",
        f"{show_usd(view.usd)}{star}, {view.tokens:,} tokens",
        held or "-",
        "; ".join(show_amount(limit) for limit in view.limits) or "none",
        (f"{view.percent} %" if view.percent is not None else "-", style),
        clock(view.until, now) if view.until is not None else "never",
    ]
