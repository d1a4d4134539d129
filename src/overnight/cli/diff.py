"""`overnight diff`"""

from __future__ import annotations

import os
import sys

import click

from overnight.cli import home
from overnight.cli.gitlook import open_repo
from overnight.cli.paper import Paper, note, terminal
from overnight.errors import BadInput, BadState
from overnight.landing.text import plain
from overnight.report.story import story
from overnight.report.views import RunView, TaskStory

#: Programs that a repository's or a person's configuration names are never started, whatever a task wrote.
_SAFE = ("--no-ext-diff", "--no-textconv", "--no-color", "--end-of-options")
_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_HEADS = (
    "diff ",
    "index ",
    "--- ",
    "+++ ",
    "new file",
    "deleted file",
    "similarity",
    "rename ",
    "old mode",
    "new mode",
)


@click.command
@click.argument("task")
@click.option("--run", "n", type=click.IntRange(1), metavar="N", help="The work of this run. Default: the last one's.")
@click.option("--stat", is_flag=True, help="Only which files changed and how much.")
def diff(task: str, n: int | None, stat: bool) -> None:
    """What a task changed, from the commit it started from to the result of its last run.

    Piped, it is a patch that `git apply` takes.
    """
    told = story(home.state_folder(), task)
    run = _run(told, n)
    if run.result is None or told.base is None:
        raise BadState(task=run.id, state="not over", verb="diff", next="Look again when it has ended.")
    if run.result.commit == told.base:
        note(f"Run {run.n} changed nothing.")
        return
    found = open_repo(told.task.repo)
    if found.commit(run.result.commit) is None:
        problem = f"{run.result.ref} is not in {found.path} any more, so its work can't be shown."
        raise BadInput(problem=problem)
    patch = found.read("diff", *(("--stat=100",) if stat else ()), *_SAFE, told.base, run.result.commit)
    text = patch.decode(errors="backslashreplace")
    clean = home.redactor()(text)
    if terminal():
        _show(clean)
        return
    if stat:
        click.echo(plain(clean), nl=False)
        return
    if clean != text:
        note("It holds what looks like a secret. A patch is left exact; in a terminal it would be taken out.")
    sys.stdout.buffer.write(patch)


def _run(told: TaskStory, n: int | None) -> RunView:
    runs = [run for run in told.runs if run.life == told.row.life]
    if n is not None:
        runs = [run for run in runs if run.n == n]
        if not runs:
            raise BadInput(problem=f"{told.row.id} has no run {n}. `overnight show {told.row.id}` lists its runs.")
        return runs[0]
    ended = [run for run in runs if run.result is not None]
    if not ended:
        raise BadState(task=told.row.id, state=told.row.phase, verb="diff", next="No run of it has left its work yet.")
    return ended[-1]


def _show(patch: str) -> None:
    from rich.console import Console

    paper, in_head = Paper(), True
    for line in patch.split("\n"):
        in_head = line.startswith("diff ") or (in_head and line.startswith(_HEADS))
        paper.line((line, "bold" if in_head else _STYLES.get(line[:1], "")))
    console = Console(highlight=False)
    if patch.count("\n") < console.height:
        console.print(paper.renderable())
        return
    os.environ.setdefault("LESS", "-FRX")
    with console.pager(styles=True):
        console.print(paper.renderable())
