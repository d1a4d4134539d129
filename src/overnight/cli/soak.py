"""`overnight soak`"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from overnight.cli.paper import Paper, note, say, terminal
from overnight.errors import BadInput, BadUnit, OvernightError
from overnight.missions.units import Duration

if TYPE_CHECKING:
    from rich.status import Status

    from overnight.soak.conduct import Progress, Result, Soak
    from overnight.soak.plan import Fault, Order
    from overnight.soak.report import Report

LEAST_S = 10.0
#: Where nobody looks at a terminal, a line so often.
LINE_EVERY_S = 15.0
_ENDS = (signal.SIGINT, signal.SIGTERM)
_WORDS = {True: ("kept", "green"), False: ("BROKEN", "bold red"), None: ("unknown", "yellow")}


class SoakFailed(OvernightError):
    """The soak could not begin: {problem}. What it made is in {folder}."""


@click.command
@click.option("--for", "length", default="30m", metavar="TIME", help="How long work and faults go on. Default: 30m.")
@click.option(
    "--tasks-per-minute",
    type=click.FloatRange(0.1, 600),
    default=10.0,
    help="Tasks asked for in a minute. Default: 10.",
)
@click.option("--seed", type=click.IntRange(0, 999_999), help="The same seed makes the same tasks and faults.")
@click.option(
    "--faults", default="all", metavar="LIST", help="Faults by name, with commas; `all` or `none`. Default: all."
)
@click.option(
    "--report", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.md",
    help="Write the report there, and as JSON beside it.",
)  # fmt: skip
@click.option("--keep", is_flag=True, help="Leave everything it made for a look, also where all was kept.")
@click.option("--no-cli", is_flag=True, help="Without Claude Code, even where it is installed: nobody asks a model.")
@click.pass_context
def soak(
    ctx: click.Context,
    length: str,
    tasks_per_minute: float,
    seed: int | None,
    faults: str,
    file: Path | None,
    keep: bool,
    no_cli: bool,
) -> None:
    """Let the whole system work while faults are done to it, and judge what it promises.

    Daemon, wardens, box, git, watchdog and agents are real; only the model is scripted, on this machine: no account, no
    network, no cost. It has a home, repositories and settings of its own in a temporary folder; the dashboard's System
    page shows what came of it. Ctrl-C ends it early, with a report. Exit code 1 when a promise was broken; everything is left for a look then.
    """
    from overnight.missions.codec import encode
    from overnight.soak.conduct import Soak
    from overnight.soak.report import markdown
    from overnight.soak.system import NotNow

    order = _order(length, tasks_per_minute, seed, faults, cli=not no_cli)
    agent, load = _agent(order), round(os.getloadavg()[2], 1)
    folder = Path(tempfile.mkdtemp(prefix="overnight-soak-"))
    say(f"A soak of {length}, seed {order.seed}, in {folder}. Only the model is scripted: no account, no network.")
    with _Screen() as screen:
        running = Soak(order, folder, _box(), screen.show)
        before = [(number, signal.signal(number, lambda _number, _frame: running.stop())) for number in _ENDS]
        try:
            result = running.run()
        except NotNow as error:
            raise SoakFailed(problem=error, folder=folder) from error
        finally:
            for number, handler in before:
                signal.signal(number, handler)
    report = _report(order, result, running, agent, load)
    _tell(result)
    _remember(report)
    if file is not None:
        file.write_text(markdown(report))
        file.with_suffix(".json").write_bytes(encode(report))
        say(f"The report is in {file}, and as JSON in {file.with_suffix('.json')}.")
    broken = any(verdict.kept is False for verdict in result.verdicts)
    if broken or keep:
        running.keep()
        say(f"Everything is in {folder}. Look around with {running.look()}")
    else:
        running.discard()
    ctx.exit(130 if result.interrupted and not broken else int(broken))


def _order(length: str, tasks_per_minute: float, seed: int | None, faults: str, *, cli: bool) -> Order:
    from overnight.soak.plan import Fault, Order

    try:
        seconds = float(Duration.parse(length))
    except BadUnit as error:
        raise BadInput(problem=f"`--for`: {error}") from error
    if seconds < LEAST_S:
        raise BadInput(problem=f"`--for` must be at least {LEAST_S:g}s.")
    named = {"all": tuple(Fault), "none": ()}
    chosen = named[faults] if faults in named else tuple(_fault(word.strip()) for word in faults.split(","))
    return Order(
        seconds=seconds, tasks_per_minute=tasks_per_minute, faults=chosen, cli=cli and _claude() != "",
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
    )  # fmt: skip


def _fault(word: str) -> Fault:
    from overnight.soak.plan import Fault

    try:
        return Fault(word)
    except ValueError:
        raise BadInput(problem=f"{word!r} is no fault. Known: {', '.join(Fault)}.") from None


def _claude() -> str:
    from overnight.agents.claude_binary import find

    try:
        return find(None, os.environ).version
    except OvernightError:
        return ""


def _agent(order: Order) -> str:
    if order.cli:
        return f"Claude Code {_claude()}"
    return "no Claude Code: it is not installed, or was not wanted"


def _box() -> str:
    """The box that this machine has; empty where it has none."""
    from overnight.boxes.choose import choose
    from overnight.missions.policy import BoxLevel

    for name in ("bubblewrap", "landlock"):
        try:
            asyncio.run(choose(BoxLevel.OS, name, confirmed=False).probe())
        except (OvernightError, OSError):
            continue
        return name
    note("This machine has no box, so agents and checks run without one.")
    return ""


def _report(order: Order, result: Result, running: Soak, agent: str, load: float) -> Report:
    from overnight.soak.report import Report, machine

    stage = running.stage
    disk = "a file system of its own, in memory" if not stage.shared_disk else f"the machine's: {stage.shared_disk}"
    here = machine(box=stage.box or "none: this machine has no box", agent=agent, disk=disk, load_before=load)
    return Report(order=order, machine=here, result=result)


def _remember(report: Report) -> None:
    from overnight.cli.home import state_folder
    from overnight.report.soaked import keep
    from overnight.soak.report import in_short

    home = state_folder()
    try:
        keep(home, in_short(report))
    except OSError as error:
        note(f"What came of it could not be kept in {home}: {error.strerror}. The dashboard shows the soak before.")


def _tell(result: Result) -> None:
    paper = Paper().gap()
    paper.grid([_WORDS[verdict.kept], verdict.promise, verdict.seen] for verdict in result.verdicts)
    for verdict in result.verdicts:
        for line in verdict.broken if verdict.kept is False else ():
            paper.line(("broken: ", "red"), line)
    paper.print()


class _Screen:
    """Where it stands: in place on a terminal, elsewhere a line now and then."""

    def __init__(self) -> None:
        self._said, self._stage = -LINE_EVERY_S, ""
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if terminal():
            from rich.console import Console

            self._status = Console().status("starting")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, progress: Progress) -> None:
        """One state."""
        text = _line(progress)
        if self._status is not None:
            self._status.update(text)
        elif progress.stage != self._stage or progress.at - self._said >= LINE_EVERY_S:
            self._said, self._stage = progress.at, progress.stage
            say(text)


def _line(progress: Progress) -> str:
    ended = ", ".join(f"{count} {phase}" for phase, count in sorted(progress.ended.items())) or "none"
    parts = (
        f"{progress.at:6.0f} s  {progress.stage}", f"{progress.submitted} of {progress.planned} tasks asked for",
        f"ended: {ended}", f"{progress.going} go on", f"{progress.hits} of {progress.blows} faults", progress.last,
        *(f"BROKEN {words}" for words in progress.broken),
    )  # fmt: skip
    return "; ".join(part for part in parts if part)
