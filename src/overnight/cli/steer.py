"""`overnight pause`, `resume`, `stop`, `cancel`, `retry` and `answer`"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable

import click

from overnight.cli import home
from overnight.cli.paper import note, say
from overnight.errors import BadInput, BadState, DaemonUnreachable, NotDecided, StateNotWritable
from overnight.missions.approval import Refusal
from overnight.missions.hold import HoldReason
from overnight.missions.task import Phase
from overnight.missions.units import show_duration
from overnight.report.find import repo_named, task_id
from overnight.report.status import read_pauses, unended
from overnight.report.story import story
from overnight.report.views import State, TaskRow

#: Who pauses, in the file and on record.
_ACTOR = "cli"
_tasks = click.argument("tasks", nargs=-1, metavar="[TASK]...")
_some_tasks = click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
_repo = click.option("--repo", metavar="NAME", help="All tasks of this repo, also later ones.")
_everything = click.option("--all", "everything", is_flag=True, help="All tasks, also later ones. The default.")


@click.command
@_tasks
@_repo
@_everything
def pause(tasks: tuple[str, ...], repo: str | None, everything: bool) -> None:
    """Let nothing new start, for some tasks, a repo or everything. Steps under way go on to their end.

    For a repo or for everything it is the file `PAUSED` in the state folder, or in `repos/NAME` there, that pauses.
    One made by hand (`touch`) also ends the runs under way, as `overnight stop --all` does.
    """
    match _scope(tasks, repo, everything):
        case None:
            for task in _ids(tasks):
                home.ask("want", task=task, want="pause")
                say(f"{task} pauses before its next step. `overnight resume {task}` takes it back.")
        case lane:
            _write_pause(lane, drain=True)
            _tell()
            how = f" --repo {lane}" if lane else ""
            say(f"Nothing new starts{f' in {lane}' if lane else ''}. `overnight resume{how}` takes it back.")
    _say_if_nobody_heeds()


@click.command
@_tasks
@_repo
@_everything
def resume(tasks: tuple[str, ...], repo: str | None, everything: bool) -> None:
    """Take back a pause, or try a held task again now.

    For a repo or for everything, it takes back all pauses that people made there; tasks that are held for another
    reason are resumed by name.
    """
    match _scope(tasks, repo, everything):
        case None:
            for task in _ids(tasks):
                home.ask("resume", task=task)
                say(f"{task} goes on.")
        case lane:
            _resume_scope(lane)
    _say_if_nobody_heeds()


def _resume_scope(lane: str) -> None:
    pauses = read_pauses(home.state_folder())
    lifted = [each.repo or "" for each in pauses if not lane or each.repo == lane]
    for each in lifted:
        _remove_pause(each)
    rows = [row for row in unended(home.state_folder()) if _paused(row) and (not lane or row.repo == lane)]
    for row in rows:
        home.ask("resume", task=row.id)
    if lifted or rows:
        say(f"{lane or 'Everything'} goes on.")
    else:
        say(f"Nothing was paused{f' in {lane}' if lane else ''}.")
    if lane and any(each.repo is None for each in pauses):
        note("Everything is paused all the same: `overnight resume` takes that back.")


def _paused(row: TaskRow) -> bool:
    return row.want in ("pause", "stop") or (row.hold is not None and row.hold.reason == HoldReason.PAUSED)


@click.command
@_tasks
@click.option("--all", "everything", is_flag=True, help="Everything that runs; nothing new starts either.")
def stop(tasks: tuple[str, ...], everything: bool) -> None:
    """End what runs, keep its work, and pause. `overnight resume` goes on from there.

    It needs no daemon: runs are ended by their own folders, and a warden that does not end within 3 s is killed.
    """
    if everything == bool(tasks):
        raise click.UsageError("Name tasks, or say `--all`: `overnight stop TASK` or `overnight stop --all`.")
    if everything:
        _write_pause("", drain=False)
        _end_runs(None, "a person stopped it")
        _tell()
        say("Nothing new starts. `overnight resume` takes it back.")
        chosen = [row for row in unended(home.state_folder()) if row.state is State.ACTIVE and row.run is not None]
    else:
        ids = _ids(tasks)
        chosen = [row for row in unended(home.state_folder()) if row.id in ids]
        for task in set(ids) - {row.id for row in chosen}:
            home.ask("want", task=task, want="stop")  # it has ended: this says so
    for row in chosen:
        home.ask("want", task=row.id, want="stop")
        say(f"{row.id} ends what runs and pauses. `overnight resume {row.id}` goes on.")
    if not everything:
        _end_runs([row.id for row in chosen], "a person stopped it")
    _say_if_nobody_heeds()


@click.command
@_some_tasks
def cancel(tasks: tuple[str, ...]) -> None:
    """End tasks for good. What a run was doing is ended; its work is kept on a ref."""
    ids = _ids(tasks)
    rows = [row for row in unended(home.state_folder()) if row.id in ids]
    for task in ids:
        home.ask("want", task=task, want="cancel")
        say(f"{task} is being cancelled.")
    _end_runs([row.id for row in rows], "a person cancelled it")
    _say_if_nobody_heeds()


@click.command
@_some_tasks
def retry(tasks: tuple[str, ...]) -> None:
    """Begin tasks anew that ended without landing: from the target as it is now, with all their attempts."""
    for task in _ids(tasks):
        life = home.ask("retry", task=task, phase=Phase.QUEUED, good=Phase.LANDED)
        say(f"{task} is queued again (life {life}).")
    _say_if_nobody_heeds()


@click.command
@click.argument("task")
@click.argument("text", nargs=-1, required=True)
def answer(task: str, text: tuple[str, ...]) -> None:
    """Answer a task that asks, or a question that `overnight inbox` lists, by its id. The next run is given TEXT (`-`:
    standard input) word for word.

    Questions with choices are answered by letter (`b`, or `1=b 2=in own words`) or all at once (`defaults`). To a call
    that was denied, `keep` says that it stays so; no words allow it.
    """
    words = sys.stdin.read() if text == ("-",) else " ".join(text)
    if not words.strip():
        raise BadInput(problem="The answer is empty. Say what the task needs to know.")
    if "." in task:
        _answer(task, words)
        say(f"{task} has its answer. The next run is told; no settings were changed.")
        return
    row = story(home.state_folder(), task).row
    if row.hold is None or row.hold.reason != HoldReason.NEEDS_ANSWER:
        doing = row.phase if row.hold is None else f"held ({row.hold.reason})"
        raise BadState(task=row.id, state=doing, verb="answer", next="It asks nothing now.")
    _answer(row.id, words)
    say(f"{row.id} has its answer and goes on.")
    _say_if_nobody_heeds()


def _answer(ask: str, words: str) -> None:
    from overnight.people.operators import CLI
    from overnight.people.verbs import read_redeemed

    given = read_redeemed(home.ask("answer", ask=ask, words=words, sender=home.user(), channel=CLI))
    if isinstance(given, Refusal):
        raise NotDecided(words=given.words, next="`overnight inbox` lists what is asked.")


# -- helpers ------------------------------------------------------------------------------------------------


def _scope(tasks: tuple[str, ...], repo: str | None, everything: bool) -> str | None:
    """None for named tasks, a repo's name, or `` for everything."""
    if bool(tasks) + (repo is not None) + everything > 1:
        raise click.UsageError("Name tasks, or a repo with `--repo`, or say `--all`: only one of them.")
    if tasks:
        return None
    return repo_named(home.state_folder(), repo).name if repo is not None else ""


def _ids(tasks: Iterable[str]) -> list[str]:
    """Every one is looked up before any is touched."""
    return list(dict.fromkeys(task_id(home.state_folder(), task) for task in tasks))


def _end_runs(tasks: Collection[str] | None, why: str) -> None:
    """The wardens of runs under way are asked themselves: whether a daemon lives, hangs or is dead makes no difference."""
    from overnight.fleet.kill import end_runs

    came = end_runs(home.state_folder(), why, tasks)
    count = len(came.ended) + len(came.killed)
    if count:
        say(f"{count} run{'' if count == 1 else 's'} ended within {show_duration(came.seconds)}.")
    if came.killed:
        note(f"Killed, since they did not end by themselves: {', '.join(came.killed)}.")


def _write_pause(lane: str, *, drain: bool) -> None:
    """The file is the truth, whether a daemon lives or not."""
    from overnight.durable import pauses

    state = home.state_folder()
    try:
        pauses.pause(state, lane, by=_ACTOR, drain=drain)
    except OSError as error:
        raise StateNotWritable(path=state, reason=error) from error


def _remove_pause(lane: str) -> None:
    from overnight.durable import pauses

    state = home.state_folder()
    try:
        pauses.resume(state, lane)
    except OSError as error:
        raise StateNotWritable(path=state, reason=error) from error
    _tell()


def _tell() -> None:
    """Have it put on record now; the daemon would see it by itself."""
    try:
        home.ask("heed")
    except (DaemonUnreachable, StateNotWritable) as error:
        note(f"It holds, though it could not be put on record yet: {error}")


def _say_if_nobody_heeds() -> None:
    if home.daemon() is None:
        note("No daemon runs: this takes effect when `overnight up` starts one.")
