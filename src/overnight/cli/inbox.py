"""`overnight inbox`"""

from __future__ import annotations

import time

import click

from overnight.cli import home
from overnight.cli.paper import Paper, say, say_json
from overnight.cli.status import ASKS
from overnight.cli.words import since
from overnight.missions.approval import Action
from overnight.people.inbox import Item, Proof, Sort
from overnight.report.find import repo_named
from overnight.report.inbox import find_item
from overnight.report.inbox import inbox as look


@click.group(invoke_without_command=True)
@click.option("--repo", metavar="NAME", help="Only this repo.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def inbox(context: click.Context, repo: str | None, as_json: bool) -> None:
    """Everything that you are asked: approvals, questions, holds, and calls that were denied for want of you."""
    if context.invoked_subcommand is not None:
        return
    state, now = home.state_folder(), time.time()
    items = look(state, repo_named(state, repo).name if repo is not None else None)
    if as_json:
        say_json(items)
    elif not items:
        say("Nothing waits for you.")
    else:
        paper = Paper()
        for item in items:
            _line(paper, item, now)
        paper.print()


@inbox.command
@click.argument("item")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(item: str, as_json: bool) -> None:
    """One thing that you are asked, whole. ITEM: its id or its task."""
    found = find_item(home.state_folder(), item)
    if as_json:
        say_json(found)
    else:
        _whole(found, time.time()).print()


def _line(paper: Paper, item: Item, now: float) -> None:
    paper.line((item.sort, ASKS), f" {item.id}  {item.title} ({item.repo}, {since(item.since, now)})")
    paper.line(item.why, indent=2)
    paper.line(("→ ", ASKS), _next(item), indent=2)


def _next(item: Item) -> str:
    match item.sort:
        case Sort.APPROVAL:
            how = " --anyway" if Action.LAND_ANYWAY in item.actions else ""
            shown = f"`overnight diff {item.task}`, then " if item.proof else ""
            return f'{shown}`overnight approve {item.task}{how}` or `overnight reject {item.task} "why"`'
        case Sort.QUESTION:
            return f'`overnight answer {item.task} "..."`'
        case Sort.HOLD:
            return item.releases_on
        case Sort.DENIED:
            return f"`overnight inbox show {item.id}`; `overnight answer {item.id} keep` or in your words"


def _whole(item: Item, now: float) -> Paper:
    paper = Paper()
    paper.line((item.sort, ASKS), f" {item.id}")
    paper.line(f"{item.title} ({item.repo}), asked {since(item.since, now)}", indent=2)
    paper.line(item.why, indent=2)
    if item.commit:
        paper.line(f"commit {item.commit}", indent=2)
    if item.proof is not None:
        _proof(paper, item.proof)
    if item.wanted:
        paper.line("the agent wanted, in its own words:", indent=2)
        paper.block(item.wanted, indent=4)
    if item.allow:
        paper.line(f"no answer allows it; these lines in {item.where} do, for every run:", indent=2)
        paper.block(item.allow, indent=4)
    elif item.sort is Sort.DENIED:
        paper.line("no answer and no settings allow it", indent=2)
    if item.sort is Sort.QUESTION:
        for choice in item.choices:
            paper.line(f"`overnight answer {item.task} {choice.answer}`: {choice.label}", indent=2)
    paper.line(("→ ", ASKS), _next(item), indent=2)
    return paper


def _proof(paper: Paper, proof: Proof) -> None:
    paper.line(f"risk {proof.risk} of 100", indent=2)
    for why in proof.why:
        paper.line(f"- {why}", indent=4)
    for judge in proof.judges:
        sure = f", {judge.confidence:.0%} sure" if judge.confidence is not None else ""
        paper.line(f"judge {judge.judge}: {judge.verdict or f'no answer ({judge.why})'}{sure}", indent=2)
    if proof.unproven:
        paper.line("not proven:", indent=2)
    for gap in proof.unproven:
        paper.line(f"- {gap}", indent=4)
