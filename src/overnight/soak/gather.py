"""Facts, each from the source that is independent of the others: git, the journal, the model server's log."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

from overnight.audit.verify import verify as verify_audit
from overnight.durable.journal import verify_journal
from overnight.errors import GitFailed, OvernightError
from overnight.report.journal import reading
from overnight.soak.facts import RepoFact, TaskFact
from overnight.soak.model import Served
from overnight.soak.plan import REPOS, Chore, Kind
from overnight.soak.stage import GIT, Stage

_TRAILER = re.compile(r"^Overnight-Task: (\S+)$", re.MULTILINE)
_WORD = re.compile(r"\bs\d+-\d{4}-[a-z]+\b")
_COMMIT = re.compile(r"COMMIT ([0-9a-f]{40})")
TARGET = "main"
_TAIL = 1 << 18


class Rows(Struct, frozen=True):
    """What the journal says, by task."""

    phases: dict[str, str]
    #: Those that have ended.
    over: set[str]
    ends: Counter[str]
    spent: Counter[str]
    unsettled: Counter[str]
    events: int


def read_rows(home: Path) -> Rows:
    """From the journal. Raises OvernightError, sqlite3.Error."""
    with reading(home) as db:
        found = db.execute("SELECT id, state, phase FROM task").fetchall()
        ends = Counter(row[0] for row in db.execute("SELECT task FROM event WHERE what = 'task.ended'"))
        spent, unsettled = Counter[str](), Counter[str]()
        for task, tokens, settled in db.execute("SELECT task, tokens, settled FROM spend"):
            spent[task] += tokens
            unsettled[task] += settled is None
        events = db.execute("SELECT count(*) FROM event").fetchone()[0]
    phases = {row["id"]: row["phase"] for row in found}
    return Rows(phases, {row["id"] for row in found if row["state"] == "done"}, ends, spent, unsettled, events)


class Target(Struct, frozen=True):
    """What one repository's target holds."""

    marks: Counter[str]
    landings: Counter[str]
    history: frozenset[str]
    fact: RepoFact


def read_target(stage: Stage, name: str, said: Iterable[str], *, deep: bool) -> Target:
    """From git. said: commits that agents say they made. deep: what takes longer, too."""
    path = stage.repo(name)
    marks = Counter(word for line in _git(path, "grep", "-hI", "-e", r"s[0-9]", TARGET) for word in _WORD.findall(line))
    own = _own_line(path)
    landings = Counter(task for _, task in own if task)
    history = frozenset(_git(path, "rev-list", TARGET))
    strangers = [each for each, task in own[:-1] if not task]
    red = [each for each, _ in own if _is_red(path, each)]
    commits = sorted(set(said))
    lost: list[str] = []
    broken: list[str] = []
    if deep:
        kept = set(_git(path, "rev-list", "--all"))
        lost = [each for each in commits if each not in kept]
        broken = [each for each in _git(path, "fsck", "--no-progress", "--connectivity-only", "--no-dangling") if each]
    trees = [each.split()[0] for each in _git(path, "worktree", "list")][1:]
    fact = RepoFact(
        name=name, strangers=tuple(strangers), red=tuple(red), lost=tuple(lost), commits=len(commits),
        broken=tuple(broken), worktrees=tuple(trees) if deep else (),
        dirty=tuple(_git(path, "status", "--porcelain")) if deep else (),
    )  # fmt: skip
    return Target(marks, landings, history, fact)


@cache
def _is_red(path: Path, commit: str) -> bool:
    """Whether the files of a commit fail the check."""
    return bool(_git(path, "grep", "-l", "BROKEN", commit, "--", "work", "db", "shared.txt"))


def _own_line(path: Path) -> list[tuple[str, str]]:
    """(commit, task that it says it landed) of the target's own line, newest first."""
    found = list[tuple[str, str]]()
    for each in "\n".join(_git(path, "log", "--first-parent", "--format=%x1e%H%n%B", TARGET)).split("\x1e")[1:]:
        task = _TRAILER.search(each)
        found.append((each[:40], task[1] if task else ""))
    return found


def _git(path: Path, *words: str) -> list[str]:
    done = subprocess.run([*GIT, *words], cwd=path, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode > 1 and words[0] != "fsck":  # 1 is a search that found nothing
        raise GitFailed(command=words[0], code=done.returncode, stderr=done.stderr.strip())
    text = done.stdout + (done.stderr if words[0] == "fsck" else "")
    return text.removesuffix("\n").split("\n") if text else []


class Runs(Struct, frozen=True):
    """What the folders of runs say, by task."""

    begun: Counter[str]
    lost: Counter[str]
    #: Commits that agents printed.
    commits: dict[str, set[str]]


def read_runs(home: Path) -> Runs:
    """From the runs' own folders: what agents printed, and what wardens wrote."""
    begun, lost, commits = Counter[str](), Counter[str](), defaultdict[str, set[str]](set)
    for folder in (home / "runs").glob("*/*/*"):
        task = folder.parent.parent.name
        begun[task] += 1
        with contextlib.suppress(OSError, ValueError):
            lost[task] += json.loads((folder / "outcome.json").read_bytes())["end"] == "lost"
        with contextlib.suppress(OSError):
            commits[task] |= set(_COMMIT.findall(_tail(folder / "agent.jsonl")))
    return Runs(begun, lost, commits)


def _tail(path: Path) -> str:
    """The end of what an agent printed: there it names its commit."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read().decode(errors="replace")


def wanted(chore: Chore, decided: tuple[bool, str] | None) -> str:
    """How a task has to end."""
    if chore.kind is Kind.NOTHING:
        return "failed"
    yes = chore.approves if decided is None else decided[0]
    return "rejected" if chore.kind is Kind.ASK and not yes else "landed"


def task_facts(
    chores: Iterable[Chore],
    rows: Rows,
    targets: Mapping[str, Target],
    runs: Runs,
    served: Iterable[Served],
    decided: Mapping[str, tuple[bool, str]],
) -> tuple[TaskFact, ...]:
    """Everything about each task, put together."""
    whole, cut = Counter[str](), Counter[str]()
    for each in served:
        whole[each.task] += each.tokens
        cut[each.task] += each.status == 200 and not each.whole
    return tuple(
        TaskFact(
            id=chore.id, kind=chore.kind, repo=chore.repo,
            phase=rows.phases.get(chore.id, "") if chore.id in rows.over else "",
            ends=rows.ends[chore.id], wanted=wanted(chore, decided.get(chore.id)),
            marks=sum(target.marks[chore.id] for target in targets.values()),
            landings=sum(target.landings[chore.id] for target in targets.values()),
            runs=runs.begun[chore.id], lost_runs=runs.lost[chore.id], decided=decided.get(chore.id),
            approved_is_in=chore.id in decided and decided[chore.id][1] in targets[chore.repo].history,
            served=whole[chore.id], cut=cut[chore.id], spent=rows.spent[chore.id], unsettled=rows.unsettled[chore.id],
        )
        for chore in chores
    )  # fmt: skip


def read_targets(
    stage: Stage, chores: Iterable[Chore], runs: Runs, served: Iterable[Served], *, deep: bool
) -> dict[str, Target]:
    """Every repository."""
    where = {chore.id: chore.repo for chore in chores}
    said = defaultdict[str, set[str]](set)
    for task, commits in runs.commits.items():
        said[where.get(task, "")] |= commits
    for each in served:
        said[where.get(each.task, "")] |= set(each.commits)
    return {name: read_target(stage, name, said[name], deep=deep) for name in REPOS}


def chain_problem(home: Path) -> str:
    """What is wrong with the journal's chain; empty when it is whole."""
    try:
        verify_journal(home / "journal.db")
    except (OvernightError, sqlite3.Error) as error:
        return str(error)
    return ""


def audit_problem(home: Path) -> str:
    """What is wrong with the audit; empty when it is whole."""
    try:
        found = verify_audit(home)
    except (OvernightError, OSError) as error:
        return str(error)
    return "; ".join(f"{flaw.file} line {flaw.line}: {flaw.problem}" for flaw in found.flaws)


def leftovers(stage: Stage, known: Iterable[str]) -> tuple[str, ...]:
    """Folders that should be gone, or that belong to nobody."""
    tasks, home = set(known), stage.home
    found = [f"temporary: {path.name}" for path in sorted(stage.tmp.iterdir())]
    found += [f"work tree: {path.relative_to(home)}" for path in sorted((home / "worktrees").glob("*"))]
    found += [f"run of no task: {path.name}" for path in sorted((home / "runs").glob("*")) if path.name not in tasks]
    found += [f"scratch: {path.name}" for path in sorted((home / "scratch").glob("*"))]
    return tuple(found)
