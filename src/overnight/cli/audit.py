"""`overnight audit ...`"""

from __future__ import annotations

import time

import click

from overnight.audit.checkpoints import make_checkpoint
from overnight.audit.decisions import DecisionView, refused
from overnight.audit.decisions import decisions as read_decisions
from overnight.audit.key import read_key
from overnight.audit.places import Places
from overnight.audit.shown import CallView, calls, denied, files_of
from overnight.audit.verify import Verified
from overnight.audit.verify import verify as look
from overnight.cli import home
from overnight.cli.paper import Paper, Part, say, say_json
from overnight.cli.words import clock, count, listed
from overnight.errors import AuditKeyUnusable, BadInput, BadUnit, StateNotWritable
from overnight.guard.verdict import Decision
from overnight.missions.units import Duration

#: Exit code of `verify` when something is not as it was written.
BROKEN = 5
_WORDS = {Decision.ALLOW: ("allowed", "green"), Decision.DENY: ("denied", "red"), Decision.ASK: ("denied", "yellow")}


@click.group(no_args_is_help=True)
def audit() -> None:
    """The tamper-evident record of every tool call, written before the call happens, and of every person's decision."""


@audit.command
@click.argument("which", metavar="[TASK|RUN]", required=False)
@click.option("--denied", "only_denied", is_flag=True, help="Only calls that were refused, or that nobody decided.")
@click.option("--since", "span", metavar="SPAN", help="Only calls of the last SPAN, such as 8h.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, with digests and effects.")
def show(which: str | None, only_denied: bool, span: str | None, as_json: bool) -> None:
    """The calls on record: when, what, how it was decided and why."""
    state = home.state_folder()
    files = files_of(state, which)
    if which is not None and not files and which not in {each.task for each in read_decisions(state)}:
        raise BadInput(problem=f"Nothing is on record for {which!r}. `overnight audit show` shows everything there is.")
    since = time.time() - _span(span) if span is not None else 0.0
    found = [view for name in files for view in calls(state, name) if view.at >= since]
    found = list(denied(found)) if only_denied else found
    if as_json:
        say_json(tuple(found))
        return
    now, paper, run = time.time(), Paper(), ""
    for view in found:
        if view.run != run:
            run = view.run
            paper.gap().line((run, "bold"))
        _draw(paper, view, now)
    if not found:
        paper.line("no such call is on record")
    told = [each for each in read_decisions(state) if each.at >= since and (refused(each) or not only_denied)]
    if which is None or which in {each.task for each in told}:
        told = [each for each in told if which in (None, each.task)]
        if told:
            paper.gap().line(("people", "bold"))
        for each in told:
            _decision(paper, each, now)
    paper.print()


def _draw(paper: Paper, view: CallView, now: float) -> None:
    word: Part = ("UNDECIDED", "bold red") if view.decision is None else _WORDS[view.decision]
    paper.line(word, f" {view.tool}: {view.input}", indent=11, lead=(clock(view.at, now), "dim"))
    if view.decision is not Decision.ALLOW:
        paper.line(f"{view.reason} ({view.rule})", indent=13)
    elif view.failed:
        paper.line("it failed", indent=13)


@audit.command
@click.argument("task", required=False)
@click.option("--refused", "only_refused", is_flag=True, help="Only what did not count.")
@click.option("--since", "span", metavar="SPAN", help="Only of the last SPAN, such as 8h.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, with tickets and commits.")
def decisions(task: str | None, only_refused: bool, span: str | None, as_json: bool) -> None:
    """What people decided and what was refused, by whichever way it came."""
    since = time.time() - _span(span) if span is not None else 0.0
    found = tuple(
        view for view in read_decisions(home.state_folder())
        if task in (None, view.task) and view.at >= since and (refused(view) or not only_refused)
    )  # fmt: skip
    if as_json:
        say_json(found)
        return
    paper, now = Paper(), time.time()
    for view in found:
        _decision(paper, view, now)
    if not found:
        paper.line("no such decision is on record")
    paper.print()


def _decision(paper: Paper, view: DecisionView, now: float) -> None:
    word: Part = (
        ("refused", "red") if refused(view) else ("answered", "") if "answer" in view.what else ("decided", "green")
    )
    about = f" {view.task}" if view.task else ""
    way = f" by {view.channel}" if view.channel and not refused(view) else ""
    paper.line(word, f"{about}: {view.why} ({view.who}{way})", indent=11, lead=(clock(view.at, now), "dim"))


def _span(text: str) -> float:
    try:
        return Duration.parse(text)
    except BadUnit as error:
        raise BadInput(problem=f"`--since`: {error}") from error


@audit.command
@click.option(
    "--key", metavar="HEX", help="The public key that must have signed. Default: the one in the state folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def verify(ctx: click.Context, key: str | None, as_json: bool) -> None:
    """Is the record whole? Every line against its chain, every file against what was signed.

    Exit code 5 when something was changed, is missing, or comes from elsewhere; each is named with file and line.
    """
    found = look(home.state_folder(), key)
    if as_json:
        say_json(found)
    else:
        _verdict(found).print()
    if not found.whole:
        ctx.exit(BROKEN)


def _verdict(found: Verified) -> Paper:
    paper = Paper()
    for flaw in found.flaws:
        where = flaw.file if flaw.line is None else f"{flaw.file} line {flaw.line}"
        paper.line(("broken: ", "red"), f"{where}: {flaw.problem}")
    for torn in found.torn:
        where = torn.file if torn.line is None else f"{torn.file} line {torn.line}"
        paper.line(("cut off: ", "yellow"), f"{where}: {torn.problem}")
    if found.unended:
        paper.line(f"{count(len(found.unended), 'run')} without an end (under way, or lost): {listed(found.unended)}")
    if not found.files:
        return paper.line("nothing is on record yet")
    swept = f", {count(found.swept, 'file')} removed by retention" if found.swept else ""
    word = ("The audit is whole", "green") if found.whole else ("The audit is broken", "bold red")
    paper.line(word, f": {count(found.lines, 'line')} in {count(found.files, 'file')}{swept}.")
    if found.signed_until is None:
        return paper.line("No checkpoint was signed yet: `overnight audit checkpoint` signs one.")
    return paper.line(f"{count(found.checkpoints, 'checkpoint')}; signed until {clock(found.signed_until)}.")


@audit.command
def checkpoint() -> None:
    """Sign how far every file goes. The daemon does so each day, and when it ends."""
    state = home.state_folder()
    try:
        made = make_checkpoint(state, "person")
    except OSError as error:
        raise StateNotWritable(path=state, reason=error) from error
    for flaw in made.flaws:
        say(("broken: ", "red"), f"{flaw.file}: {flaw.problem}. Its new state was not signed.")
    if made.head is None:
        say("Nothing is new since the last checkpoint.")
    else:
        say(f"Checkpoint {made.head.lines} signs {count(made.files, 'file')}: {made.head.digest}")


@audit.command
def key() -> None:
    """Print the public key. Keep it on another machine, for `verify --key`."""
    place = Places(home.state_folder()).key
    found = read_key(place)
    if found is None:
        raise AuditKeyUnusable(path=place, reason="it is not there; the first checkpoint makes one")
    say(found.public)
