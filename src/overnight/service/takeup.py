"""What becomes of tasks that were under way when the backup was made from which this state folder was restored.

Their runs' folders, worktrees and wardens are not in a backup, and the repositories may be further than the journal: what
was done there after the backup is looked for first. So nothing lands twice, and no work is written over.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from overnight.durable import pools
from overnight.durable.engine import make_ready
from overnight.durable.journal import Journal, connect
from overnight.landing.places import Places
from overnight.landing.repository import Repository, open_repository
from overnight.missions.codec import decode, encode
from overnight.missions.hold import Held
from overnight.missions.run import End, FailureClass, Result, RunOutcome
from overnight.missions.task import Ending, Phase, Task
from overnight.ports import Ground

#: Lies in a restored state folder until its first daemon has taken up what was under way.
MARK = "restored.json"
#: Below `refs/overnight/TASK/`: what was there when the task was taken up.
KEPT = "before-restore"


class Restored(Struct, frozen=True, kw_only=True):
    """Where a state folder comes from."""

    #: When the backup was made, epoch seconds, and by which Overnight.
    made: float
    version: str


class _Way(Struct, frozen=True, kw_only=True):
    """How far a task is by its journal."""

    task: Task
    life: int
    ground: Ground
    #: The run whose work was not collected yet, the commit that it began from, and whether its end is known; 0: none.
    n: int = 0
    start: str = ""
    ended: bool = False


def mark(folder: Path, made: float, version: str) -> None:
    """Leave the mark in a folder that is about to become a state folder. Raises OSError."""
    fd = os.open(folder / MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(Restored(made=made, version=version)))
        file.flush()
        os.fsync(fd)


def begun(home: Path) -> tuple[str, ...]:
    """Ids of the tasks of a journal whose run was under way. Only read."""
    with contextlib.closing(connect(home / "journal.db", read_only=True)) as db:
        rows = db.execute("SELECT id, life, input FROM task WHERE state != 'done' AND flow = 'task'").fetchall()
        ways = [_way(db, row["id"], row["life"], row["input"]) for row in rows]
    return tuple(way.task.id for way in ways if way is not None and way.n)


async def take_up(journal: Journal, give_up: Callable[[str], Awaitable[Any]]) -> None:
    """Bring every task that had begun to where it can go on; nothing where no backup was restored.

    give_up: takes a run's whole allowance as spent, for nobody knows what it used. Done again after a crash, it changes
    nothing more. Raises sqlite3.Error, OSError.
    """
    path = journal.home / MARK
    if not path.exists():
        return
    restored = msgspec.json.decode(path.read_bytes(), type=Restored)
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(restored.made))
    for row in journal.db.execute(
        "SELECT id, life, input FROM task WHERE state != 'done' AND flow = 'task'"
    ).fetchall():
        way = _way(journal.db, row["id"], row["life"], row["input"])
        if way is not None:
            await _take_up(journal, way, since, give_up)
    journal.tell("journal.restored", why=f"from a backup of {since}, made by Overnight {restored.version}")
    path.unlink()


def _way(db: sqlite3.Connection, ident: str, life: int, given: str) -> _Way | None:
    """None where nothing was begun that a restored folder lacks."""
    sql = "SELECT name, output FROM step WHERE task = ? AND life = ?"
    done = {row["name"]: row["output"] for row in db.execute(sql, (ident, life))}
    if "prepare" not in done:
        return None
    task, ground = decode(given, Task), decode(done["prepare"], Ground)
    n = max((int(name.removeprefix("open ")) for name in done if name.startswith("open ")), default=0)
    if not n or f"collect {n}" in done:
        return _Way(task=task, life=life, ground=ground)
    before = decode(done[f"collect {n - 1}"], Result).commit if n > 1 else ground.base
    return _Way(task=task, life=life, ground=ground, n=n, start=before, ended=f"run {n}" in done)


async def _take_up(journal: Journal, way: _Way, since: str, give_up: Callable[[str], Awaitable[Any]]) -> None:
    places = Places(journal.home)
    try:
        repository = await open_repository(way.task.repo, places)
        landed = await _landed_since(repository, way)
        kept = () if landed else await _keep(repository, way)
    except Held:  # the repository is not there: the task holds with that as soon as it is driven
        landed, kept = None, ()
    if landed or way.n:
        for run in journal.db.execute(
            "SELECT run FROM spend WHERE task = ? AND settled IS NULL", (way.task.id,)
        ).fetchall():
            await give_up(run["run"])
    with journal.tx("restored"):
        if landed:
            _end(journal, way.task, landed, since)
            return
        _move(journal, way, places)
        if way.n:
            _lose(journal, way, since, kept)


async def _landed_since(repository: Repository, way: _Way) -> str | None:
    """The commit by which Overnight landed this task already. Only what it made itself counts: on the target's own line."""
    target = await repository.commit(f"refs/heads/{way.task.repo.target}")
    if target is None or await repository.commit(way.ground.base) is None:
        return None
    form = "--format=%H %(trailers:key=Overnight-Task,valueonly,separator=%x2C)"
    said = await repository.plain.text("log", "--first-parent", "--min-parents=2", form, f"{way.ground.base}..{target}")
    for line in said.splitlines():
        commit, _, task = line.partition(" ")
        if task == way.task.id:
            return commit
    return None


async def _keep(repository: Repository, way: _Way) -> tuple[str, ...]:
    """Names for all work of this task that refs hold, which its next runs do not write over."""
    above = f"refs/overnight/{way.task.id}/"
    listed = await repository.git.text("for-each-ref", "--format=%(objectname) %(refname)", above)
    kept: list[str] = []
    for line in listed.splitlines():
        commit, _, name = line.partition(" ")
        name = name.removeprefix(above)
        if name != "base" and not name.startswith(f"{KEPT}/"):
            kept.append(f"{above}{KEPT}/{name}")
            await repository.set_ref(kept[-1], commit, why=f"overnight: {way.task.id} was restored from a backup")
    return tuple(kept)


def _move(journal: Journal, way: _Way, places: Places) -> None:
    """Its worktree belongs into this state folder; the next run makes it."""
    ground = msgspec.structs.replace(way.ground, worktree=str(places.worktree(way.task.id)))
    if ground != way.ground:
        sql = "UPDATE step SET output = ? WHERE task = ? AND life = ? AND name = 'prepare'"
        journal.db.execute(sql, (encode(ground).decode(), way.task.id, way.life))


def _lose(journal: Journal, way: _Way, since: str, kept: tuple[str, ...]) -> None:
    """The run counts as lost: its warden, folder and worktree are not here."""
    run, now = f"{way.task.id}.{way.life}.{way.n}", journal.clock.now()
    ref = f"refs/overnight/{way.task.id}/{way.life}.{way.n}"
    rescue = f"refs/overnight/{way.task.id}/{KEPT}/{way.life}.{way.n}"
    why = f"it was under way at the backup of {since} from which this was restored, and its folder is not in that"
    lost = RunOutcome(run=run, end=End.LOST, failure=FailureClass.MACHINE, why=why, ended=now)
    result = Result(commit=way.start, ref=ref, rescue=rescue if rescue in kept else None)
    steps = {f"collect {way.n}": encode(result)} | ({} if way.ended else {f"run {way.n}": encode(lost)})
    for name, output in steps.items():
        journal.db.execute(
            "INSERT INTO step VALUES (?, ?, ?, ?, ?, ?)", (way.task.id, way.life, name, output.decode(), now, now)
        )
    there = f"work that was kept: {', '.join(kept)}" if kept else "no ref holds work of it"
    journal.tell("task.restored", task=way.task.id, why=f"{run} is lost: {why}; {there}", run=run, kept=list(kept))


def _end(journal: Journal, task: Task, commit: str, since: str) -> None:
    """It landed after the backup: that is its end here too."""
    why = f"it landed as {commit[:12]} after the backup of {since} from which this was restored"
    ending = Ending(phase=Phase.LANDED, why=why, commit=commit, branch=task.repo.target)
    pools.release(journal, task.id)
    journal.db.execute(
        "UPDATE task SET state = 'done', phase = ?, output = ?, want = NULL, hold = NULL, wait_for = NULL, wake_at = NULL, "
        "need_pool = NULL, need_key = NULL, unwinding = 0, updated = ? WHERE id = ?",
        (ending.phase, encode(ending).decode(), journal.clock.now(), task.id),
    )
    journal.tell("task.ended", task=task.id, why=why, phase=ending.phase)
    for row in journal.db.execute("SELECT id FROM task WHERE wait_for = ?", (f"task {task.id}",)).fetchall():
        make_ready(journal, row["id"], f"{task.id} ended")
