"""`overnight log`"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
from msgspec import Struct

from overnight.cli import home
from overnight.cli.paper import Paper, Part, note, terminal
from overnight.cli.words import clock
from overnight.errors import BadInput, BadState
from overnight.guard.redact import Redactor
from overnight.landing.text import plain
from overnight.report.journal import reading
from overnight.report.rows import latest_run, make_row, raw_row
from overnight.report.rundir import AGENT, EVENTS, folder_of, lines_from, moment_of, read_event, routine, words_of
from overnight.report.story import story
from overnight.report.views import State, TaskRow, TaskStory
from overnight.report.watch import Watch


class _Stop(Struct, frozen=True):
    """Where one file has been read to."""

    path: Path
    offset: int = 0


class _Kind(NamedTuple):
    """What is wanted of a run."""

    #: The file it is in.
    name: str
    raw: bool
    everything: bool
    #: Takes secrets out.
    without: Redactor


@click.command
@click.argument("task")
@click.option("--run", "n", type=click.IntRange(1), metavar="N", help="This run. Default: the last one.")
@click.option("--follow", "-f", is_flag=True, help="Go on as it goes on, into its next runs, until the task ends.")
@click.option("--all", "everything", is_flag=True, help="Also model requests, hooks and calls that were let through.")
@click.option("--raw", is_flag=True, help="The agent's own output, without secrets.")
def log(task: str, n: int | None, follow: bool, everything: bool, raw: bool) -> None:
    """What a task's run did, line by line: launch, turns, tool calls, what was denied, how it ended."""
    state = home.state_folder()
    told = story(state, task)
    run = _run(told, n)
    kind = _Kind(AGENT if raw else EVENTS, raw, everything, home.redactor())
    if run is None:
        if not follow:
            raise BadState(task=told.row.id, state=told.row.phase, verb="log", next="No run of it has begun yet.")
    elif not follow:
        path = folder_of(state, run) / kind.name
        if not path.exists() and all(each.id != run or each.outcome is None for each in told.runs):
            problem = (
                f"Run {run} has only begun and wrote nothing yet: a box is tried before it is used. `--follow` waits."
            )
            raise BadInput(problem=problem)
        if not path.exists():
            raise BadInput(problem=f"{path} is not there: the run wrote nothing, or its folder was removed.")
        _print(_Stop(path), kind, half=True)
        return
    _follow(state, told.row.id, run, kind)


def _run(told: TaskStory, n: int | None) -> str | None:
    """The id of the run that is meant; None when there is none yet."""
    runs = [run for run in told.runs if run.life == told.row.life]
    if n is None:
        return runs[-1].id if runs else None
    if all(run.n != n for run in runs):
        raise BadInput(problem=f"{told.row.id} has no run {n}. `overnight show {told.row.id}` lists its runs.")
    return f"{told.row.id}.{told.row.life}.{n}"


def _print(stop: _Stop, kind: _Kind, *, half: bool = False) -> _Stop:
    """Everything after the stop; the new stop. half: also a line that has no end yet."""
    offset = stop.offset
    for line, behind in lines_from(stop.path, offset, half=half):
        offset = behind
        if kind.raw:
            _print_raw(line, kind.without)
        elif (event := read_event(line)) is not None and (kind.everything or not routine(event)):
            Paper().line(*_parts(event)).print()
    sys.stdout.flush()
    return _Stop(stop.path, offset)


def _print_raw(line: bytes, without: Redactor) -> None:
    """As it came, but for secrets; made harmless for a terminal."""
    text = without(line.decode(errors="surrogateescape"))
    if terminal():
        click.echo(plain(text.encode(errors="surrogateescape").decode(errors="backslashreplace")))
    else:
        sys.stdout.buffer.write(text.encode(errors="surrogateescape") + b"\n")


def _parts(event: dict[str, object]) -> Iterator[Part]:
    at = moment_of(event)
    yield (f"{clock(at, time.time()) if at is not None else 'unknown':<10}", "dim")
    yield (words_of(event), "red" if event.get("failed") or event.get("decision") == "deny" else "")


def _follow(state: Path, task: str, run: str | None, kind: _Kind) -> None:
    """Print what comes until the task ends. Between changes it sleeps."""
    stop = _Stop(folder_of(state, run) / kind.name) if run else None
    with reading(state) as db, Watch() as watch:
        watch.folder(state)
        while True:
            found = raw_row(db, task)
            row = make_row(db, state, found)
            newest = latest_run(db, task, row.life)
            if stop is not None:
                watch.folder(stop.path.parent)
                stop = _print(stop, kind)
            path = folder_of(state, f"{task}.{row.life}.{newest}") / kind.name if newest is not None else None
            if path is not None and (stop is None or stop.path != path):
                note(f"run {newest}")
                stop = _Stop(path)
                continue
            if row.state is State.ENDED:
                note(f"{task} has {_ended(row)}.")
                return
            watch.wait()


def _ended(row: TaskRow) -> str:
    why = f": {row.ending.why}" if row.ending else ""
    return f"{row.phase}{why}"
