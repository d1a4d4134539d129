"""`overnight approve` and `overnight reject`"""

from __future__ import annotations

import click

from overnight.cli import home
from overnight.cli.paper import note, say
from overnight.errors import BadInput, BadState, NotDecided
from overnight.missions.approval import Action, Redeemed, Refusal
from overnight.missions.hold import HoldReason
from overnight.missions.judging import BLOCKED
from overnight.ports import Examined
from overnight.report.story import story

_ASKS = (HoldReason.NEEDS_APPROVAL, HoldReason.JUDGES_DISAGREE)
#: Seconds that a ticket is good for which is used by the command that asked for it.
AT_ONCE_S = 60.0
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
    blocked = why_held.startswith(BLOCKED)
    if approved and not anyway and blocked:
        raise BadInput(problem=f"{waiting} is {why_held}. If that is meant: `overnight approve {waiting} --anyway`.")
    if commit is not None and (len(commit) < 7 or not examined.commit.startswith(commit.lower())):
        problem = f"{waiting} waits with commit {examined.commit[:12]}, not with {commit}. Look again: `overnight diff {waiting}`."
        raise BadInput(problem=problem)
    action = Action.REJECT if not approved else Action.LAND_ANYWAY if blocked else Action.LAND
    _redeem(waiting, examined.commit, action, why)
    say(f"{waiting}: commit {examined.commit[:12]} is {'approved and goes on to land' if approved else 'rejected'}.")
    if home.daemon() is None:
        note("No daemon runs, so nothing happens yet: `overnight up` starts one.")


def _redeem(task: str, commit: str, action: Action, why: str) -> None:
    """By the same way as from anywhere else: a ticket for the user of this machine, used at once."""
    from overnight.people.operators import CLI, cli_operator
    from overnight.people.verbs import read_redeemed

    user = home.user()
    token = home.ask("issue", ask=task, operator=cli_operator(user), action=action, commit=commit, lifetime=AT_ONCE_S)
    match read_redeemed(home.ask("redeem", token=token, sender=user, channel=CLI, why=why)):
        case Refusal(words=words):
            raise NotDecided(words=words, next=f"Look again: `overnight show {task}`.")
        case Redeemed():
            pass


def _waiting(task: str, verb: str) -> tuple[str, Examined, str]:
    told = story(home.state_folder(), task)
    row = told.row
    if row.hold is None or row.hold.reason not in _ASKS:
        doing = row.phase if row.hold is None else f"held ({row.hold.reason})"
        raise BadState(task=row.id, state=doing, verb=verb, next="It waits for no decision now.")
    return row.id, next(run.examined for run in reversed(told.runs) if run.examined is not None), row.hold.why
