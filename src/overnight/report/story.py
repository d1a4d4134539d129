"""One task's whole story, put together from its finished steps, its events and its runs' folders."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

from overnight.durable.journal import read_events
from overnight.judge.routing import Route
from overnight.judge.verdict import Opinion
from overnight.missions.clarify import Clarity
from overnight.missions.codec import decode
from overnight.missions.run import CheckResult, Result, RunOutcome
from overnight.missions.task import Task
from overnight.ports import Conflict, Examined, Ground, Landed, Moved, PullRequest, Staged
from overnight.report.find import find_task
from overnight.report.journal import reading, snapshot
from overnight.report.rows import make_row, raw_row
from overnight.report.rundir import folder_of, last_action, launch_of
from overnight.report.views import CheckView, LandingView, Moment, PullView, RunView, TaskStory

#: `run 2` -> run 2; `land 2.1` -> run 2, first try.
NUMBERED = re.compile(r"(?P<what>\w+) (?P<n>\d+)(\.(?P<k>\d+))?")
_PROOF = 160


class Step(NamedTuple):
    """A finished step."""

    life: int
    name: str
    output: str
    started: float
    finished: float


def story(home: Path, task: str) -> TaskStory:
    """Raises UnknownTask. task: an id or a prefix of just one."""
    with reading(home) as db, snapshot(db):
        return read_story(db, home, find_task(db, task))


def read_story(db: sqlite3.Connection, home: Path, task: str) -> TaskStory:
    """See `story`; task is a whole id."""
    found = raw_row(db, task)
    row = make_row(db, home, found)
    steps = steps_of(db, task)
    ground = next((decode(s.output, Ground) for s in reversed(steps) if s.name == "prepare"), None)
    baseline = [check for s in steps if s.name == "baseline" and s.life == row.life for check in _checks(s)]
    return TaskStory(
        row=row,
        task=decode(found["input"], Task),
        clarity=next((decode(s.output, Clarity) for s in steps if s.name == "clarify" and s.life == row.life), None),
        base=ground.base if ground else None,
        baseline=tuple(baseline),
        runs=tuple(_runs(home, task, steps)),
        landings=tuple(_landings(steps)),
        pull=_pull(steps),
        answers=_answers(db, task),
        moments=tuple(_moments(db, task, row.life, steps)),
    )


def steps_of(db: sqlite3.Connection, task: str) -> list[Step]:
    """Every finished step of every life, in the order in which they finished."""
    sql = "SELECT life, name, output, started, finished FROM step WHERE task = ? ORDER BY life, finished"
    return [Step(*row) for row in db.execute(sql, (task,))]


# -- runs ---------------------------------------------------------------------------------------------------


def _runs(home: Path, task: str, steps: list[Step]) -> Iterator[RunView]:
    named = {(s.life, s.name): s for s in steps}
    for step in steps:
        match = NUMBERED.fullmatch(step.name)
        if match is None or match["what"] != "open":
            continue
        life, n = step.life, int(match["n"])
        run = f"{task}.{life}.{n}"
        folder = folder_of(home, run)
        routed, ran, collected, checked, examined = (
            named.get((life, f"{what} {n}")) for what in ("route", "run", "collect", "check", "examine")
        )
        asked = [s for s in steps if s.life == life and re.fullmatch(rf"judge {n}(\.\d+)?", s.name)]
        rechecks = [s for s in steps if s.life == life and re.fullmatch(rf"recheck {n}\.\d+", s.name)]
        yield RunView(
            id=run,
            life=life,
            n=n,
            folder=str(folder),
            begun=step.finished,
            route=decode(routed.output, Route) if routed else None,
            launch=launch_of(folder),
            outcome=decode(ran.output, RunOutcome) if ran else None,
            result=decode(collected.output, Result) if collected else None,
            checks=tuple(_checks(checked)) if checked else (),
            examined=decode(examined.output, Examined) if examined else None,
            opinions=decode(asked[-1].output, tuple[Opinion, ...]) if asked else (),
            rechecks=tuple(_checks(rechecks[-1])) if rechecks else (),
            last=None if ran else last_action(folder),
        )


def _checks(step: Step) -> Iterator[CheckView]:
    for check in decode(step.output, tuple[CheckResult, ...]):
        yield CheckView(
            name=check.name,
            command=check.command,
            commit=check.commit,
            passed=check.passed,
            code=check.code,
            seconds=check.seconds,
            proof=proof(check.output),
            log=check.log,
        )


def proof(output: str) -> str:
    """The telling line of a check's output: the last one with a word in it, which is where tools sum up."""
    lines = [line.strip(" =-*#\t") for line in output.splitlines()]
    last = next((line for line in reversed(lines) if any(c.isalnum() for c in line)), "")
    return last if len(last) <= _PROOF else last[: _PROOF - 1] + "…"


# -- landing ------------------------------------------------------------------------------------------------


def _landings(steps: list[Step]) -> Iterator[LandingView]:
    for step in steps:
        match = NUMBERED.fullmatch(step.name)
        make = _LANDINGS.get(match["what"]) if match else None
        if match and make and (view := make(step, int(match["n"]))) is not None:
            yield view


def _staged(step: Step, n: int) -> LandingView | None:
    staged = decode(step.output, cast("type[Staged | Conflict]", Staged | Conflict))
    if not isinstance(staged, Conflict):
        return None
    note = f"conflicts in {', '.join(staged.paths)}"
    return LandingView(life=step.life, n=n, at=step.finished, what="conflict", commit=staged.against, note=note)


def _landed(step: Step, n: int) -> LandingView:
    landed = decode(step.output, cast("type[Landed | Moved]", Landed | Moved))
    if isinstance(landed, Moved):
        return LandingView(life=step.life, n=n, at=step.finished, what="moved", commit=landed.now)
    return LandingView(
        life=step.life,
        n=n,
        at=step.finished,
        what="landed",
        commit=landed.commit,
        branch=landed.branch,
        note=landed.note,
    )


_LANDINGS: dict[str, Callable[[Step, int], LandingView | None]] = {
    "stage": _staged,
    "land": _landed,
    "branch": _landed,
}


def _pull(steps: list[Step]) -> PullView | None:
    """Its pull request, from the last life that had one."""
    opened = [decode(s.output, PullRequest) for s in steps if s.name.startswith("pull ")]
    if not opened:
        return None
    names, pull = {s.name for s in steps}, opened[-1]
    state = next((name for name in ("reverted", "mended", "merged") if name in names), "open")
    merges = (json.loads(s.output) for s in steps if s.name.startswith(("merge ", "watch ")))
    merged = next((each["commit"] for each in merges if each.get("type") in ("in-time", "done")), None)
    state = "merged" if state == "open" and merged else state
    return PullView(number=pull.number, url=pull.url, head=pull.head, base=pull.base, state=state, merged=merged)


# -- moments ------------------------------------------------------------------------------------------------


def _answers(db: sqlite3.Connection, task: str) -> tuple[str, ...]:
    sql = "SELECT payload FROM signal WHERE task = ? AND name = 'answer' ORDER BY id"
    return tuple(str(json.loads(row["payload"])) for row in db.execute(sql, (task,)))


def _moments(db: sqlite3.Connection, task: str, life: int, steps: list[Step]) -> Iterator[Moment]:
    """The task's events; before them the steps whose events were archived meanwhile. life: the present one."""
    events = list(read_events(db, task=task))
    at = life - sum(1 for event in events if event.what == "task.retried")
    moments, told = list[Moment](), set[tuple[int, str]]()
    for event in events:
        if event.what == "task.retried":
            at += 1
        if event.what == "step.done":
            told.add((at, event.why))
        moments.append(Moment(at=event.at, life=at, who=event.actor, what=event.what, why=event.why))
    for step in steps:
        if (step.life, step.name) not in told and not step.name.startswith(
            ("signal ", "after ", "deadline ", "recall ")
        ):
            yield Moment(at=step.finished, life=step.life, who="daemon", what="step.done", why=step.name)
    yield from moments
