"""`overnight status`"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import Counter
from pathlib import Path

import click
from msgspec import Struct

from overnight import __version__
from overnight.cli import home
from overnight.cli.limits import state_words
from overnight.cli.paper import Paper, Part, say_json
from overnight.cli.words import clock, listed, since, until
from overnight.errors import BadInput, BadUnit
from overnight.judge.anomalies import Severity
from overnight.missions.task import Phase
from overnight.missions.units import Duration
from overnight.report.find import repo_named
from overnight.report.status import NAMED
from overnight.report.status import status as look
from overnight.report.views import DaemonView, HoldView, PauseView, RepoView, State, StatusView, TaskRow

DAY_S = 86400.0
#: Lines of one kind for one repo; the rest is counted. `--json` has all.
MOST = 12
MOST_UNUSUAL = 5
#: Width of the word that a line begins with.
WORD = 9
GOOD, BAD, ASKS, BUSY = "green", "red", "bold yellow", "cyan"
_ENDS = {"landed": GOOD, "failed": BAD, "rejected": BAD, "cancelled": "dim"}
_WANTS = {"pause": "pausing", "stop": "stopping", "cancel": "cancelling"}


class Seen(Struct, frozen=True, kw_only=True):
    """What `status --json` prints."""

    #: The daemon that runs; null when none answers.
    daemon: DaemonView | None
    status: StatusView


@click.command
@click.option("--repo", metavar="NAME", help="Only this repo.")
@click.option("--since", "span", default="1d", metavar="SPAN", help="How far back ended tasks go. Default: 1d.")
@click.option("--plain", is_flag=True, help="Short: counts, and a line per task that does not just wait or land.")
@click.option("--markdown", "file", metavar="FILE", help="Write it to this file instead, as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status(repo: str | None, span: str, plain: bool, file: str | None, as_json: bool) -> None:
    """What needs you, what goes on, what ended."""
    state, now = home.state_folder(), time.time()
    name = repo_named(state, repo).name if repo is not None else None
    most = None if as_json or (plain and file is None) else MOST
    seen = Seen(daemon=home.daemon(), status=look(state, now, now - _span(span), name, most))
    if file is not None:
        _write(Path(file), seen)
    elif as_json:
        say_json(seen)
    elif plain:
        short(seen).print()
    else:
        draw(seen).print()


def _write(path: Path, seen: Seen) -> None:
    """All or nothing, for whoever shows the file meanwhile. What tasks and agents say stays between the fences."""
    text = draw(seen).text()
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    when = time.strftime("%Y-%m-%d %H:%M %z", time.localtime(seen.status.at))
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(f"# Overnight, {when}\n\n{fence}text\n{text}{fence}\n", errors="replace")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise BadInput(
            problem=f"`--markdown`: {path} can't be written: {error.strerror}. Name another file."
        ) from error


def _span(text: str) -> float:
    try:
        return Duration.parse(text)
    except BadUnit as error:
        raise BadInput(problem=f"`--since`: {error}") from error


# -- in full ------------------------------------------------------------------------------------------------


def draw(seen: Seen) -> Paper:
    """The whole picture: what needs a person comes first in each repo."""
    view, paper = seen.status, Paper()
    _daemon(paper, seen)
    for pause in view.pauses:
        _pause(paper, pause, view.at)
    for account in view.shut:
        paper.line((account.name, "bold"), *state_words(account, view.at))
    for each in view.anomalies[-MOST_UNUSUAL:]:
        style = BAD if each.severity is Severity.ALARM else ASKS
        paper.line(("unusual", style), f" {clock(each.at, view.at)}  {each.why}")
    for repo in view.repos:
        _repo(paper, repo, view)
    if not view.repos:
        paper.gap().line("Nothing is registered yet. `overnight init` in a repository begins; `overnight demo` shows.")
    return paper


def _daemon(paper: Paper, seen: Seen) -> None:
    daemon = seen.daemon
    if daemon is None:
        paper.line(("No daemon runs", BAD), ": nothing begins or goes on until `overnight up`.")
        return
    paper.line(("The daemon runs", GOOD), f" (process {daemon.pid}, since {clock(daemon.since, seen.status.at)}).")
    if daemon.version != __version__:
        paper.line(
            (
                f"It is Overnight {daemon.version}, this is {__version__}: `overnight down && overnight up` changes it.",
                ASKS,
            )
        )


def _pause(paper: Paper, pause: PauseView, now: float) -> None:
    what, how = (pause.repo, f" --repo {pause.repo}") if pause.repo else ("Everything", "")
    paper.line(
        (f"{what} is paused", ASKS), f" by {pause.by} since {clock(pause.since, now)}: `overnight resume{how}` takes it back."
    )  # fmt: skip


def _repo(paper: Paper, repo: RepoView, view: StatusView) -> None:
    where = f"  {repo.path} → {repo.target}" if repo.path else "  (registered no more)"
    paper.gap().line((repo.name, "bold"), (where, "dim"))
    for row in repo.needs_person:
        assert row.hold is not None
        paper.grid([[("needs you", ASKS), (row.id, "bold"), row.title]], indent=2, first=WORD)
        paper.line(f"{row.hold.reason}: {row.hold.why}", indent=13)
        paper.line(("→ ", ASKS), row.hold.releases_on, indent=13)
    _more(paper, repo.needs_person_count)
    for row in (*repo.needs_person, *repo.active, *repo.waiting, *repo.ended):
        for asked in row.questions[:1]:
            more = f" and {len(row.questions) - 1} more" if len(row.questions) > 1 else ""
            paper.grid([[("asks", ASKS), (row.id, "bold"), asked.text + more]], indent=2, first=WORD)
            paper.line(("→ ", ASKS), f"`overnight show {row.id}`; it is denied meanwhile", indent=13)
    paper.grid([_active(row, view.at) for row in repo.active], indent=2, first=WORD)
    _more(paper, repo.active_count)
    paper.grid([_waiting(row, view.at) for row in repo.waiting], indent=2, first=WORD)
    _more(paper, repo.waiting_count)
    if repo.queued:
        names = [row.id for row in repo.next]
        rest = f" and {repo.queued - len(names)} more" if repo.queued > NAMED else ""
        paper.grid([["queued", f"{repo.queued}: {', '.join(names)}{rest}"]], indent=2, first=WORD)
    paper.grid([_ended(row, view.at) for row in repo.ended], indent=2, first=WORD)
    _more(paper, repo.ended_count)
    if not (repo.needs_person or repo.active or repo.waiting or repo.queued or repo.ended):
        paper.line(("nothing queued; nothing ended " + f"since {clock(view.ended_since, view.at)}", "dim"), indent=2)


def _more(paper: Paper, count: int) -> None:
    if count > MOST:
        paper.line((f"and {count - MOST} more; `--json` has them all", "dim"), indent=2)


def doing(row: TaskRow) -> str:
    """What it is doing, with the number of its run: `running 2`, `checking 2, stopping`."""
    words = f"{row.phase} {row.run}" if row.run is not None and row.phase in ("running", "checking") else row.phase
    return f"{words}, {_WANTS[row.want]}" if row.want else words


def _active(row: TaskRow, now: float) -> list[Part]:
    last = row.last.text if row.last else ""
    return [(doing(row), BUSY), (row.id, "bold"), since(row.since, now), row.title, (last, "dim")]


def _waiting(row: TaskRow, now: float) -> list[Part]:
    return [
        ("waiting", "yellow"),
        (row.id, "bold"),
        waits(row.hold, now) if row.hold else f"{doing(row)}: for its turn",
    ]


def waits(hold: HoldView, now: float) -> str:
    """Why a task waits and what ends that."""
    if hold.until is not None:
        return f"{hold.reason}: {hold.why}; {hold.then or 'tried again'} {until(hold.until, now)}"
    return f"{hold.reason}: {hold.why} → {hold.releases_on}"


def _ended(row: TaskRow, now: float) -> list[Part]:
    why = row.ending.why if row.ending else ""
    return [(row.phase, _ENDS.get(row.phase, "")), (row.id, "bold"), clock(row.since, now), f"{row.title} — {why}"]


# -- in short -----------------------------------------------------------------------------------------------


def short(seen: Seen) -> Paper:
    """Counts in one line, and a line per task that is worth a word: word, id, repo, detail. A quiet night fits an SMS."""
    view, paper = seen.status, Paper()
    rows = list[list[Part]]()
    for repo in view.repos:
        rows += [["needs-you", row.id, repo.name, row.hold.reason if row.hold else ""] for row in repo.needs_person]
        rows += [["active", row.id, repo.name, doing(row)] for row in repo.active]
        rows += [["waiting", row.id, repo.name, row.hold.reason if row.hold else doing(row)] for row in repo.waiting]
        rows += [[row.phase, row.id, repo.name, row.title] for row in repo.ended if row.phase != Phase.LANDED]
    return paper.line(_counts(seen)).grid(rows)


def _counts(seen: Seen) -> str:
    view = seen.status
    ends = Counter[str](row.phase for repo in view.repos for row in repo.ended)
    counts = {
        "need you": sum(len(repo.needs_person) for repo in view.repos),
        "active": sum(len(repo.active) for repo in view.repos),
        "waiting": sum(len(repo.waiting) for repo in view.repos),
        "queued": sum(repo.queued for repo in view.repos),
        "landed": ends.pop(Phase.LANDED, 0),
        "failed": ends.pop(Phase.FAILED, 0),
        **dict(sorted(ends.items())),
    }
    paused = [pause.repo or "everything" for pause in view.pauses]
    head = f"daemon {'runs' if seen.daemon else 'down'}" + (f", {listed(paused, 2)} paused" if paused else "")
    return f"{head}: {', '.join(f'{n} {word}' for word, n in counts.items())} since {clock(view.ended_since, view.at)}"


def state_style(row: TaskRow) -> str:
    """The colour of a task's state."""
    if row.state is State.ENDED:
        return _ENDS.get(row.phase, "")
    return ASKS if row.hold is not None and row.hold.needs_person else BUSY if row.state is State.ACTIVE else "yellow"
