"""`overnight replay`"""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from overnight.cassette.comparing import Replay
from overnight.cassette.differences import Difference
from overnight.cassette.reading import Exchange
from overnight.cli import home
from overnight.cli.paper import Paper, Part, say, say_json
from overnight.cli.words import clock, count, listed
from overnight.errors import BadInput
from overnight.guard.verdict import Decision
from overnight.missions.guarding import GuardTable
from overnight.missions.places import split_run
from overnight.missions.task import Fork
from overnight.report.story import story
from overnight.report.views import TaskStory

if TYPE_CHECKING:
    from overnight.replay import Recording

#: Exit code when the second run was not as the first.
DIFFERS = 6


@click.command
@click.argument("run")
@click.option("--list", "as_list", is_flag=True, help="Print the exchanges that were recorded, and run nothing.")
@click.option("--until", type=int, metavar="N", help="Stop before exchange N and leave the files for a look.")
@click.option(
    "--live-from", "live", type=int, metavar="N",
    help="Queue a new task that begins as this run did and goes on with the real model from exchange N.",
)  # fmt: skip
@click.option(
    "--guard", "policy", type=click.Path(path_type=Path), metavar="FILE",
    help="What would this overnight.toml or config.toml have denied? Runs nothing.",
)  # fmt: skip
@click.option(
    "--go-on", is_flag=True, help="After a request that does not fit, go on with the answer to the most like one."
)
@click.option("--keep", is_flag=True, help="Leave the files of the second run, and say where.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def replay(
    ctx: click.Context, run: str, as_list: bool, until: int | None, live: int | None, policy: Path | None, go_on: bool,
    keep: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run a recorded run again, at no cost: the real agent, a fresh box, its model played from the recording.

    RUN is a run such as fix-login-7k3f.1.2, or a task, whose last run is meant then. Tool calls, verdicts and files are
    compared with those of the first time. Exit code 6 when anything differs, 5 when the recording is not as it was
    written.
    """
    if sum((as_list, until is not None, live is not None, policy is not None)) > 1:
        raise BadInput(problem="`--list`, `--until`, `--live-from` and `--guard` are four questions: ask one of them.")
    from overnight import replay as room

    state = home.state_folder()
    name, told = _named(state, run)
    what = room.recorded(state, name)
    if as_list:
        _list(what.cassette.exchanges, as_json)
        return
    if live is not None:
        _fork(told, what, live, as_json)
        return
    folder = _place(state, name)
    target, left = told.task.repo.target, keep or until is not None
    try:
        if policy is not None:
            _reconsider(what, folder, target, policy, as_json)
            return
        found = asyncio.run(room.again(what, folder, target, until=until, go_on=go_on))
    finally:
        if not left:
            _remove(folder)
    if not left:
        from msgspec.structs import replace

        found = replace(found, left=None)
    if as_json:
        say_json(found)
    else:
        _show(found, until).print()
    if not found.same:
        ctx.exit(DIFFERS)


def _named(state: Path, text: str) -> tuple[str, TaskStory]:
    """The id of the run that is meant, and the story of its task. Raises UnknownTask, BadInput."""
    try:
        told = story(state, split_run(text)[0])
    except ValueError:
        told = story(state, text)
        if not told.runs:
            raise BadInput(problem=f"{told.row.id} has no run yet, so there is nothing to replay.") from None
        return told.runs[-1].id, told
    if text not in (known := [each.id for each in told.runs]):
        raise BadInput(problem=f"There is no run {text}. {told.row.id} has {listed(known) or 'none'}.")
    return text, told


def _place(state: Path, run: str) -> Path:
    """A folder for the second run. It goes when the first one's does."""
    import tempfile

    above = state / "replays" / split_run(run)[0]
    above.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(prefix="", dir=above))


def _remove(folder: Path) -> None:
    from overnight.landing.places import remove_tree

    remove_tree(folder)


# -- words --------------------------------------------------------------------------------------------------


def _show(found: Replay, until: int | None) -> Paper:
    paper = Paper()
    word: Part = ("as recorded", "green") if found.same else ("not as recorded", "bold red")
    paper.line(f"{found.run}: ", word)
    paper.line(
        f"{len(found.played)} of {count(found.recorded, 'recorded exchange')} played; the agent ended: {found.why}"
    )
    for mismatch in found.mismatches:
        where = "" if mismatch.n is None else f"exchange {mismatch.n}: "
        paper.gap().line(("does not fit: ", "red"), f"{where}{mismatch.why}")
        _differences(paper, mismatch.differences)
    if found.unasked:
        paper.line(("never asked for: ", "red"), f"exchange {', '.join(map(str, found.unasked))}")
    paper.line(f"{count(found.calls, 'tool call')}, {len(found.differing)} of them not as recorded")
    for call in found.differing:
        paper.line(("differs: ", "red"), f"{call.tool} ({call.call}): {call.why}", indent=2)
        _differences(paper, call.differences)
    paper.line(*_files(found))
    for line in found.files.changed:
        paper.line(line, indent=2)
    for note in found.notes:
        paper.line(("note: ", "yellow"), note)
    if found.rules:
        paper.gap().line("overlooked on purpose, `<` to `>` in the lines above:")
        paper.grid([(rule.rule, rule.what, f"{rule.times} times") for rule in found.rules], indent=2)
    if found.left:
        paper.gap().line(
            f"the files are in {found.left}" + (f", as they were before exchange {until}" if until else "")
        )
    return paper


def _files(found: Replay) -> tuple[Part, ...]:
    files = found.files
    if files.same:
        but = f" ({files.why})" if files.why else ""
        return ("the files are the same: ", ("tree " + files.now[:12], "green"), but)
    if files.same is None:
        return (f"the files were not compared: {files.why}",)
    return (("the files differ: ", "red"), f"tree {files.recorded[:12]} then, {files.now[:12]} now")


def _differences(paper: Paper, differences: tuple[Difference, ...]) -> None:
    for difference in differences:
        paper.line((difference.where, "bold"), indent=2)
        for line in difference.lines:
            paper.line((line, "red" if line.startswith("-") else "green" if line.startswith("+") else "dim"), indent=4)


def _list(exchanges: tuple[Exchange, ...], as_json: bool) -> None:
    rows = [
        {"n": e.n, "at": e.began, "request": f"{e.method} {e.target}", "status": e.status, "bytes": len(e.answer), "whole": e.whole}
        for e in exchanges
    ]  # fmt: skip
    if as_json:
        say_json(rows)
        return
    heads: list[Part] = [(head, "dim") for head in ("n", "at", "request", "status", "answer")]
    table = [
        (str(e.n), clock(e.began), f"{e.method} {e.target}", str(e.status or "none"), f"{len(e.answer)} bytes{'' if e.whole else ', cut'}")
        for e in exchanges
    ]  # fmt: skip
    Paper().grid([heads, *table]).print()


# -- a fork -------------------------------------------------------------------------------------------------


def _fork(told: TaskStory, what: Recording, exchange: int, as_json: bool) -> None:
    from msgspec.structs import replace

    from overnight.cli.add import new_id, submit
    from overnight.replay import check_exchange, check_run

    check_run(what)
    check_exchange(what.cassette, exchange)
    spec = what.spec
    fork = Fork(run=spec.id, exchange=exchange, start=spec.start, prompt=spec.prompt)
    title = f"Fork of {spec.id} from exchange {exchange}"
    task = replace(
        told.task, id=new_id(title), title=title, after=(), as_is=True, agent=spec.agent,
        model=spec.model or told.task.model, fork=fork,
    )  # fmt: skip
    task = submit(task)
    if as_json:
        say_json(task)
    else:
        say("Queued ", (task.id, "bold"), f": as {spec.id} up to exchange {exchange}, then with the real model.")


# -- another policy -----------------------------------------------------------------------------------------


def _reconsider(what: Recording, folder: Path, target: str, file: Path, as_json: bool) -> None:
    from overnight.replay import reconsider

    user, repo = _policy(file)
    rows = asyncio.run(reconsider(what, folder, target, user=user, repo=repo))
    if as_json:
        say_json(rows)
        return
    whose = "the machine's policy" if user is not None else "the repo's policy"
    paper = Paper().line(f"{what.spec.id} under {file} as {whose}, the other as it was:")
    words = {
        Decision.ALLOW: ("allowed", "green"),
        Decision.ASK: ("denied (asks)", "yellow"),
        Decision.DENY: ("denied", "red"),
    }
    table: list[tuple[Part, ...]] = [tuple((head, "dim") for head in ("then", "now", "call", "why"))]
    for row in rows:
        why = f"{row.reason} ({row.rule_now})" if row.changed else ""
        table.append(
            (
                words[row.then],
                words[row.now],
                f"{row.tool}: {row.what}"[:120],
                why + (" (unsure)" if row.unsure else ""),
            )
        )
    paper.grid(table)
    denied = sum(row.changed and row.now is not Decision.ALLOW for row in rows)
    freed = sum(row.changed and row.now is Decision.ALLOW for row in rows)
    paper.line(
        f"{count(len(rows), 'call')}: {denied} would be denied that were allowed, {freed} allowed that were denied."
    )
    if any(row.unsure for row in rows):
        paper.line(
            "unsure: the guard, asked again with the policy of then, does not say what it said then; files that programs wrote are not here."
        )
    paper.print()


def _policy(file: Path) -> tuple[GuardTable | None, tuple[GuardTable, tuple[str, ...]] | None]:
    """The policy in a file: the machine's, or the repo's with its sensitive paths. Raises BadInput and its kind."""
    from overnight.config import read_policy
    from overnight.config.places import POLICY_KEYS
    from overnight.config.settings import parse_settings

    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadInput(problem=f"{file} can't be read: {error.strerror}. Name another file.") from error
    try:
        keys = tomllib.loads(data.decode()).keys()
    except (ValueError, RecursionError):
        keys = frozenset[str]()  # the reader says where
    if file.name == "config.toml" or not keys <= POLICY_KEYS:
        return parse_settings(data, str(file)).guard.tables(attended=False)[0], None
    policy = read_policy(data, str(file))
    return None, (policy.guard, policy.paths.sensitive)
