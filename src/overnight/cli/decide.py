"""`overnight approve` and `overnight reject`"""

from __future__ import annotations

import click

from overnight.cli import home
from overnight.cli.paper import note, say
from overnight.errors import BadInput, BadState
from overnight.missions.codec import builtins
from overnight.missions.hold import HoldReason
from overnight.missions.judging import BLOCKED, Decision
from overnight.ports import Examined
from overnight.report.story import story

_ASKS = (HoldReason.NEEDS_APPROVAL, HoldReason.JUDGES_DISAGREE)
_commit = click.option(
    "--commit", metavar="COMMIT", help="The commit that you looked at; another one is not decided about."
)


@click.command
@click.argument("task")
@_commit
@click.option("--anyway", is_flag=True, help="Also where it is blocked: what blocks it was looked at, and is meant.")
def approve(task: str, commit: str | None, anyway: bool) -> None:
    """Let the result of a task land that waits for your word.

    The word is about exactly the commit that waits now: when another run makes another one, it is asked for again. What
    is blocked (a bent proof, a risk above `risk.blocks_from`) lands only with `--anyway`.
    """
    _decide(task, commit, approved=True, why="", anyway=anyway)


@click.command
@click.argument("task")
@click.argument("why", nargs=-1)
@_commit
def reject(task: str, why: tuple[str, ...], commit: str | None) -> None:
    """Say no to the result of a task: it ends, and its work stays on a ref. WHY is kept with it."""
    _decide(task, commit, approved=False, why=" ".join(why))


def _decide(task: str, commit: str | None, *, approved: bool, why: str, anyway: bool = False) -> None:
    waiting, examined, why_held = _waiting(task, "approve" if approved else "reject")
    if approved and not anyway and why_held.startswith(BLOCKED):
        raise BadInput(problem=f"{waiting} is {why_held}. If that is meant: `overnight approve {waiting} --anyway`.")
    if commit is not None and (len(commit) < 7 or not examined.commit.startswith(commit.lower())):
        problem = f"{waiting} waits with commit {examined.commit[:12]}, not with {commit}. Look again: `overnight diff {waiting}`."
        raise BadInput(problem=problem)
    decision = Decision(commit=examined.commit, approved=approved, by="cli", why=why, anyway=anyway)
    home.ask("signal", task=waiting, name="decision", payload=builtins(decision))
    say(f"{waiting}: commit {examined.commit[:12]} is {'approved and goes on to land' if approved else 'rejected'}.")
    if home.daemon() is None:
        note("No daemon runs, so nothing happens yet: `overnight up` starts one.")


def _waiting(task: str, verb: str) -> tuple[str, Examined, str]:
    told = story(home.state_folder(), task)
    row = told.row
    if row.hold is None or row.hold.reason not in _ASKS:
        doing = row.phase if row.hold is None else f"held ({row.hold.reason})"
        raise BadState(task=row.id, state=doing, verb=verb, next="It waits for no decision now.")
    return row.id, next(run.examined for run in reversed(told.runs) if run.examined is not None), row.hold.why
