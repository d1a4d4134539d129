"""What is looked at: logs, patches, the guard's mind, what was used. Values; secrets are taken out here."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from overnight.api.shapes import (
    AuditQuery,
    Diff,
    DiffFile,
    DiffLine,
    Event,
    Explain,
    Explained,
    Log,
    LogLine,
    LogQuery,
    UsageQuery,
    Versions,
)
from overnight.api.site import Site
from overnight.audit.shown import CallView, calls, denied, files_of
from overnight.errors import BadInput, BadState, RepositoryGone
from overnight.guard.redact import sanitised
from overnight.judge.evidence import Evidence, digest
from overnight.landing.git import Git
from overnight.landing.repository import common_dir, find_git_dir
from overnight.missions.codec import decode
from overnight.missions.places import evidence_file
from overnight.missions.task import Repo
from overnight.ports import Examined
from overnight.report.brief import Brief
from overnight.report.budget import budget
from overnight.report.find import repo_named
from overnight.report.limits import limits
from overnight.report.rundir import EVENTS, folder_of, lines_from, moment_of, read_event, routine, words_of
from overnight.report.schedule import Schedule, schedule
from overnight.report.status import repos
from overnight.report.story import story
from overnight.report.usage import UsageView, Wanted
from overnight.report.views import RunView, TaskStory

#: Lines and bytes of a patch that are shown.
MOST_LINES, MOST_BYTES = 4000, 4 << 20
#: Programs that a repository's or a person's configuration names are never started, whatever a task wrote.
_SAFE = ("--no-ext-diff", "--no-textconv", "--no-color", "--find-renames", "--end-of-options")


def run_of(told: TaskStory, n: int | None) -> RunView | None:
    """The run of a task's present life that is meant; None when none has begun. Raises BadInput."""
    runs = [run for run in told.runs if run.life == told.row.life]
    if n is None:
        return runs[-1] if runs else None
    found = next((run for run in runs if run.n == n), None)
    if found is None:
        raise BadInput(problem=f"{told.row.id} has no run {n}.")
    return found


# -- log ----------------------------------------------------------------------------------------------------


def log(site: Site, task: str, query: LogQuery) -> Log:
    """A piece of a run's log, without secrets. Raises BadState when no run has begun."""
    told = story(site.home, task)
    run = run_of(told, query.run)
    if run is None:
        raise BadState(task=told.row.id, state=told.row.phase, verb="log", next="No run of it has begun yet.")
    lines, offset = list[LogLine](), query.offset
    for line, behind in lines_from(folder_of(site.home, run.id) / EVENTS, query.offset):
        offset = behind
        event = read_event(line)
        if event is not None and (query.all or not routine(event)):
            lines.append(log_line(site, event))
            if len(lines) >= query.limit:
                break
    return Log(run=run.id, lines=tuple(lines), next=offset, live=run.outcome is None)


def log_line(site: Site, event: dict[str, Any]) -> LogLine:
    """A record for a person's eyes."""
    denied = event.get("decision") in ("deny", "ask") or event.get("allowed") is False
    tone = "denied" if denied else "failed" if event.get("failed") else "ok"
    text = sanitised(site.machine.redact(words_of(event)))
    return LogLine(at=moment_of(event), kind=str(event.get("kind", "")), text=text, tone=tone)


# -- evidence and patch -------------------------------------------------------------------------------------


def examined_of(told: TaskStory) -> Examined | None:
    """The latest result that was examined."""
    return next((run.examined for run in reversed(told.runs) if run.examined is not None), None)


def evidence(site: Site, told: TaskStory, examined: Examined) -> Evidence:
    """The bundle, if it is the one that was recorded. Raises BadInput."""
    path = Path(evidence_file(str(site.home), told.row.id, examined.evidence))
    try:
        found = decode(path.read_bytes(), Evidence)
    except OSError as error:
        raise BadInput(problem=f"The evidence can't be read: {error.strerror}. Restore it from a backup.") from error
    except msgspec.MsgspecError as error:
        raise BadInput(problem="The evidence is not what was recorded: it was changed afterwards.") from error
    if digest(found) != examined.evidence:
        raise BadInput(problem="The evidence is not what was recorded: it was changed afterwards.")
    return found


def diff(site: Site, told: TaskStory, n: int | None) -> Diff:
    """What a run changed, without secrets. Raises BadState, BadInput, RepositoryGone, GitFailed."""
    run = run_of(told, n)
    if n is None and run is not None and run.result is None:
        ended = [each for each in told.runs if each.life == told.row.life and each.result is not None]
        run = ended[-1] if ended else run
    if run is None or run.result is None or told.base is None:
        raise BadState(task=told.row.id, state=told.row.phase, verb="diff", next="No run of it has left its work yet.")
    commit = run.result.commit
    patch = b"" if commit == told.base else asyncio.run(_patch(told.task.repo, told.base, commit))
    text = sanitised(site.machine.redact(patch[:MOST_BYTES].decode(errors="replace")))
    marks = _marks(site, told, run)
    files, cut = list[DiffFile](), len(patch) > MOST_BYTES
    left = MOST_LINES
    for each in parse(text):
        sort, found, at = marks.get(each.path, ("", (), {}))
        if len(each.lines) > left:
            cut = True
        files.append(
            msgspec.structs.replace(each, lines=tuple(_marked(each.lines[: max(0, left)], at)), sort=sort, marks=found)
        )
        left -= len(each.lines)
    return Diff(run=run.id, base=told.base, commit=commit, files=tuple(files), cut=cut)


async def _patch(repo: Repo, base: str, commit: str) -> bytes:
    git_dir = find_git_dir(Path(repo.path))
    if git_dir is None:
        raise RepositoryGone(path=repo.path, name=repo.name)
    git = Git(common_dir(git_dir))
    if await git.ask("cat-file", "-e", f"{commit}^{{commit}}") is None:
        raise BadInput(problem=f"The commit {commit[:12]} is not in the repository any more, so it can't be shown.")
    return await git.run("diff", *_SAFE, base, commit)


def _marked(lines: tuple[DiffLine, ...], at: dict[int, str]) -> Iterator[DiffLine]:
    """With what was found wrong in them. at: line of the result -> what; of the base for what is gone."""
    left = dict(at)
    for line in lines:
        number = line.old if line.kind == "del" else line.new
        yield msgspec.structs.replace(line, mark=left.pop(number)) if number in left else line


def _marks(site: Site, told: TaskStory, run: RunView) -> dict[str, tuple[str, tuple[str, ...], dict[int, str]]]:
    """Path -> what kind of file it is, what was found wrong in it, and in which lines."""
    if run.examined is None:
        return {}
    try:
        found = evidence(site, told, run.examined)
    except BadInput:
        return {}
    wrong, at = dict[str, list[str]](), dict[str, dict[int, str]]()
    for each in found.tampering:
        wrong.setdefault(each.path, []).append(each.why)
        at.setdefault(each.path, {}).setdefault(each.line, f"{each.trick}: {each.why}")
    return {each.path: (str(each.sort), tuple(wrong.get(each.path, ())), at.get(each.path, {})) for each in found.files}


def parse(patch: str) -> Iterator[DiffFile]:
    """The files of a patch as git prints it."""
    for part in ("\n" + patch).split("\ndiff --git ")[1:]:
        yield _file(part.removesuffix("\n").split("\n"))


def _file(rows: list[str]) -> DiffFile:
    path, was, how, lines = "", "", "changed", list[DiffLine]()
    old = new = 0
    for row in rows[1:]:
        if lines or row.startswith("@@"):
            if row.startswith("@@"):
                old, new = _starts(row)
                lines.append(DiffLine("hunk", row))
            elif row.startswith("+"):
                lines.append(DiffLine("add", row[1:], None, new))
                new += 1
            elif row.startswith("-"):
                lines.append(DiffLine("del", row[1:], old, None))
                old += 1
            elif not row.startswith("\\"):
                lines.append(DiffLine("ctx", row[1:], old, new))
                old, new = old + 1, new + 1
        elif row.startswith("new file"):
            how = "added"
        elif row.startswith("deleted file"):
            how = "removed"
        elif row.startswith("rename from "):
            how, was = "renamed", row.removeprefix("rename from ")
        elif row.startswith("rename to "):
            path = row.removeprefix("rename to ")
        elif row.startswith("Binary files"):
            how = "binary"
        elif row.startswith("--- a/"):
            path = path or row.removeprefix("--- a/")
        elif row.startswith("+++ b/"):
            path = row.removeprefix("+++ b/")
    return DiffFile(
        path=(path or rows[0].partition(" b/")[2] or rows[0]).rstrip("\t"),
        was=was,
        how=cast("Any", how),
        added=sum(line.kind == "add" for line in lines),
        removed=sum(line.kind == "del" for line in lines),
        lines=tuple(lines),
    )


def _starts(row: str) -> tuple[int, int]:
    """`@@ -1,2 +3,4 @@` -> (1, 3)"""
    words = row.split(" ")
    numbers = [word[1:].partition(",")[0] for word in words[1:3]]
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 and all(map(str.isdigit, numbers)) else (0, 0)


# -- guard --------------------------------------------------------------------------------------------------


def explain(site: Site, asked: Explain) -> Explained:
    """What the guard makes of a command in an unattended run. Nothing of it is run."""
    from overnight.guard.asking import decided_by, way
    from overnight.guard.explain import effect_line
    from overnight.guard.explain import explain as explained
    from overnight.guard.ledger import Ledger
    from overnight.guard.text import shown
    from overnight.guard.verdict import Call
    from overnight.guard.world import Bounds
    from overnight.warden.world import RunDisk

    known = repos(site.home)
    repo = repo_named(site.home, asked.repo) if asked.repo is not None else next(iter(known), None)
    worktree = os.path.realpath(repo.path) if repo is not None else "/home/user/project"
    home = str(site.home / "runs" / "asked" / "home")
    layers = site.machine.layers(worktree)
    call = Call(id="asked", tool="Bash", input={"command": asked.command}, cwd=worktree)
    found = explained(call, layers.policy(), Bounds(worktree=worktree, home=home), RunDisk(worktree, home), Ledger())
    told = found.assessment
    how = way(told.deciding, layers, False) if told.deciding else None

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return shown(value)
        if isinstance(value, dict):
            return {key: plain(each) for key, each in cast("dict[str, Any]", value).items()}
        return [plain(each) for each in cast("list[Any]", value)] if isinstance(value, list | tuple) else value

    out = {
        "command": asked.command, "worktree": worktree, "parse": found.tree,
        "effects": [effect_line(effect) for effect in told.effects],
        "findings": msgspec.to_builtins(told.findings, enc_hook=str),
        "verdict": msgspec.to_builtins(told.verdict, enc_hook=str),
        "decided_by": decided_by(told.deciding, layers) if told.deciding else "",
        "where": how.where if how else "", "toml": how.toml if how else "", "note": how.note if how else "",
    }  # fmt: skip
    return msgspec.convert(plain(out), Explained)


# -- usage --------------------------------------------------------------------------------------------------

#: The index of logs is added up at most this often.
USED_EVERY_S = 1.0


def usage(site: Site, query: UsageQuery) -> UsageView:
    """What models were used for; the index is brought up to date now and then."""
    from zoneinfo import ZoneInfo

    from overnight.report.forecast import told
    from overnight.report.usage import usage as view_of
    from overnight.usage.index import Index

    settings = site.machine.usage
    zone = ZoneInfo(settings.timezone) if settings.timezone else None
    wanted = Wanted(by=query.by, since=_day(query.since), until=_day(query.until), project=query.project, zone=zone)

    def added_up() -> UsageView:
        now = time.time()
        with Index(site.home, site.machine.prices) as index:
            return view_of(index.db, wanted, now, told(site.home, now))

    since = site.logs.fresh()
    return site.lately.get(("usage", query), (since, time.time() // USED_EVERY_S), added_up)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise BadInput(problem=f"{text!r} is not a day. Write one such as 2026-11-01.") from None


# -- nights -------------------------------------------------------------------------------------------------


def brief(site: Site, name: str | None) -> Brief:
    """The brief of a night that is over, or from the latest one on to now. Raises BadInput."""
    from overnight.report.brief_read import brief as read_brief
    from overnight.report.nights import Night, clock_time, kept, latest, night

    now, ends = time.time(), clock_time(site.machine.night_ends)
    span = Night("", latest(now, ends).since, now)
    if name is not None:
        day = _day(name)
        assert day is not None
        span = night(day, ends)
        if span.until > now:
            raise BadInput(problem=f"The night of {name} is not over.")
        if (found := kept(site.home, span.name)) is not None:
            return found
    alive, machine = site.health().state == "up", site.machine

    def made() -> Brief:
        return read_brief(site.home, span, now, without=machine.redact, ceilings=machine.ceilings, alive=alive)

    return site.lately.get(("brief", span.name, span.since, alive), site.mark(), made)


def versions() -> Versions:
    """What is at work."""
    import platform
    import sqlite3

    from overnight import __version__

    return Versions(
        overnight=__version__, python=platform.python_version(), sqlite=sqlite3.sqlite_version,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
    )  # fmt: skip


def coming(site: Site) -> Schedule:
    """What comes by itself."""
    now, machine = time.time(), site.machine
    seen, spent = limits(site.home, machine.ceilings, now), budget(site.home, machine.budget, now)
    return schedule(site.home, now, seen, spent, machine.report, machine.notify)


def audited(site: Site, task: str, query: AuditQuery) -> tuple[CallView, ...]:
    """The latest calls of a task that are on record in the audit."""
    name = story(site.home, task).row.id
    found = [view for file in files_of(site.home, name) for view in calls(site.home, file)]
    return tuple(denied(found) if query.denied else found)[-query.limit :]


def written(site: Site, night: str | None, form: Literal["markdown", "html"]) -> str:
    """A night's brief to be read."""
    from overnight.report import brief_render

    found = brief(site, night)
    return brief_render.page(found) if form == "html" else brief_render.markdown(found)


# -- events -------------------------------------------------------------------------------------------------


def events(site: Site, after: int, most: int, task: str | None = None) -> tuple[Event, ...]:
    """The next events of the journal."""
    return tuple(event_of(row) for row in site.events_after(after, most, task))


def event_of(row: sqlite3.Row) -> Event:
    """A row of the journal."""
    return Event(
        seq=row["seq"], at=row["at"], task=row["task"], actor=row["actor"], what=row["what"], why=row["why"],
        data=msgspec.json.decode(row["data"]),
    )  # fmt: skip
