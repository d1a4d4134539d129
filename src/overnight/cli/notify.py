"""`overnight notify`"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import click

from overnight.cli import home
from overnight.cli.paper import Paper, Part, say, say_json
from overnight.cli.words import since
from overnight.errors import BadInput
from overnight.missions.notice import Message, Priority
from overnight.people.errand import ERRAND, Errand, write
from overnight.people.notify import perform
from overnight.people.outbox import Result
from overnight.people.settings import NotifySettings, Target, words
from overnight.report.notify import TargetView, targets

#: A test that got no answer, and anything else that did not work.
NOT_TOLD = 4


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def notify(ctx: click.Context, as_json: bool) -> None:
    """Who is told what needs a person: each target, what waits for it, and what went wrong last.

    Targets are named in `[notify.targets]` of config.toml.
    """
    if ctx.invoked_subcommand is not None:
        return
    named = home.settings().notify.targets
    found = targets(home.state_folder(), named)
    if as_json:
        say_json(found)
    elif not found:
        say("Nobody is told anything: name a target in [notify.targets] of config.toml.")
    else:
        _drawn(found, time.time()).print()


@notify.command()
@click.argument("name", required=False)
@click.pass_context
def test(ctx: click.Context, name: str | None) -> None:
    """Send a test notice to every target, or to the one called NAME, now, and say what happened.

    It takes the same way as any other: a process of its own, with this terminal's environment. The daemon has its own.
    """
    settings = home.settings().notify
    chosen = _chosen(settings, name)
    worked = [_tried(each, target, settings) for each, target in chosen.items()]
    ctx.exit(0 if all(worked) else NOT_TOLD)


def _chosen(settings: NotifySettings, name: str | None) -> dict[str, Target]:
    """Raises BadInput."""
    if not settings.targets:
        raise BadInput(problem="No target is named. Put one into [notify.targets] of config.toml.")
    if name is None:
        return dict(settings.targets)
    if name not in settings.targets:
        raise BadInput(problem=f"No target is called {name!r}. There are: {', '.join(settings.targets)}.")
    return {name: settings.targets[name]}


def _tried(name: str, target: Target, settings: NotifySettings) -> bool:
    message = Message(
        title="A test from Overnight",
        text="If you can read this, you are told what needs you.",
        priority=Priority.NORMAL,
    )
    errand = Errand(name=name, target=target, message=message, limit=float(settings.limit))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="overnight-notify-") as folder:
        write(Path(folder) / ERRAND, errand)
        said: Result = asyncio.run(perform(Path(folder), errand, os.environ))
    took = f"{time.monotonic() - started:.1f} s"
    say(f"{words(name, target)}: {f'taken by the far end, {took}' if said.ok else f'not told: {said.why}'}")
    return said.ok


def _drawn(found: tuple[TargetView, ...], now: float) -> Paper:
    heads: list[Part] = [
        (head, "dim") for head in ("target", "told", "last", "waiting", "given up", "what went wrong last")
    ]
    return Paper().grid([heads, *(_row(view, now) for view in found)])


def _row(view: TargetView, now: float) -> list[Part]:
    style = "red" if view.dead else "yellow" if view.why else ""
    return [
        view.words, str(view.sent), since(view.last, now) if view.last is not None else "never",
        str(view.waiting), (str(view.dead), style), (view.why or "-", style),
    ]  # fmt: skip
