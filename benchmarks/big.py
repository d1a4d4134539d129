"""A large state folder to measure on: what a small real night left, many times over, in a journal whose chain is whole.

A daemon carries out four tasks with a program as the agent: one lands, one fails its checks, one asks a person, one waits
for a decision. What it wrote of them (steps, events, spending, folders of runs) is written again under other names by the
journal's own writer, as often as is asked for. Events of a task beyond those that it really has are its middle ones
again, as those of a task that was tried more often.

Made once a day and kept in the temporary folder: it takes minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.night import GIT, Bench
from overnight.durable.clock import SystemClock
from overnight.durable.journal import Journal, connect, migrations
from overnight.missions.codec import builtins
from overnight.missions.task import Repo

DAY_S = 86400.0
#: Days over which it happened.
DAYS = 30
REPOS = 10
#: Of the tasks: so many run, wait for a decision or an answer, and are queued; all others have ended.
RUNNING, DECIDE, ASKING, QUEUED = 8, 40, 20, 0.1
_AGENT = """
case "$OVERNIGHT_TASK" in
  bad*) echo "$OVERNIGHT_TASK" > broken.txt && git add -A && git commit -q -m "Bad work" && echo done ;;
  asks*) echo "BLOCKED: which colour is it to be?" ;;
  *) echo "$OVERNIGHT_TASK" > "$OVERNIGHT_TASK.txt" && git add -A && git commit -q -m "Work" && echo done ;;
esac
"""
_POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = "test ! -e broken.txt"
[limits]
attempts = 2
[judges]
families = 0
[clarify]
threshold = 101
[risk]
asks_from = {asks}
"""


class Told(NamedTuple):
    """What the journal has of one task."""

    row: dict[str, Any]
    steps: list[dict[str, Any]]
    events: list[dict[str, Any]]
    spend: list[dict[str, Any]]


def large(tasks: int, events: int) -> Path:
    """A state folder of its own that may be written to; the kept one stays as it is."""
    kept = _kept(tasks, events)
    home = Path(tempfile.mkdtemp(prefix="overnight-bench-")) / "state"
    shutil.copytree(kept / "state", home, copy_function=_copy)
    return home


def _copy(source: str, target: str) -> None:
    """The databases are written to; all else is only read."""
    if ".db" in Path(source).name or source.endswith(("journal.lock", "events.ndjson")):
        shutil.copy2(source, target)
    else:
        os.link(source, target)


def _kept(tasks: int, events: int) -> Path:
    parts = [
        Path(__file__).read_text(),
        *(sql for _, sql in migrations()),
        str(tasks),
        str(events),
        time.strftime("%F"),
    ]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    place = Path(tempfile.gettempdir()) / f"overnight-bench-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid() or place.is_symlink():
        raise RuntimeError(f"{place} belongs to somebody else")
    found = place / key
    if not (found / "whole").exists():
        for old in place.iterdir():
            shutil.rmtree(old)
        began = time.perf_counter()
        _make(found, tasks, events)
        (found / "whole").touch()
        sys.stdout.write(f"made a state folder in {time.perf_counter() - began:.0f} s: {found}\n")
    return found


# -- what is written again ----------------------------------------------------------------------------------


def _night(folder: Path) -> Iterator[tuple[str, Told]]:
    """Four tasks, carried out."""
    night = Bench(folder, "command", _AGENT)
    try:
        _policy(night, 100)
        night.start()
        for name in ("good-1", "bad-1"):
            night.add(name)
        for name in ("good-1", "bad-1"):
            night.until(lambda name=name: night.happened(name, "task.ended"))
        _policy(night, 0)
        for name in ("asks-1", "hold-1"):
            night.add(name)
        for name in ("asks-1", "hold-1"):
            night.until(lambda name=name: night.happened(name, "task.held"))
    finally:
        night.end()
    with contextlib.closing(connect(night.home / "journal.db", read_only=True)) as db:
        for name in ("good-1", "bad-1", "asks-1", "hold-1"):
            rows = [
                [dict(row) for row in db.execute(f"SELECT * FROM {table} WHERE {column} = ? ORDER BY {order}", (name,))]
                for table, column, order in (
                    ("task", "id", "id"), ("step", "task", "finished"), ("event", "task", "seq"), ("spend", "task", "at"),
                )
            ]  # fmt: skip
            yield name, Told(rows[0][0], rows[1], rows[2], rows[3])


def _policy(night: Bench, asks: int) -> None:
    import subprocess

    (night.repo / "overnight.toml").write_text(_POLICY.format(asks=asks))
    for words in (["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "Policy"]):
        subprocess.run([*GIT, *words], cwd=night.repo, check=True)


class _Time:
    """A clock that is set."""

    def __init__(self, at: float) -> None:
        self.at = at


def _make(folder: Path, tasks: int, events: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    told = dict(_night(folder / "night"))
    home = folder / "state"
    end = time.time()
    clock = _Time(end - DAYS * DAY_S)
    journal = Journal(home, clock=SystemClock(lambda: clock.at))
    with contextlib.closing(journal):
        for n in range(REPOS):
            repo = Repo(name=f"repo-{n}", path=str(folder / "night" / "repo"), target="main")
            journal.put("repo", repo.name, json.dumps(builtins(repo)))
        kinds = list(_kinds(tasks))
        # What has not ended has few events; the others have the rest.
        each = max(1, (events - sum(kind == "queued" for kind in kinds)) // sum(kind != "queued" for kind in kinds))
        apart = DAYS * DAY_S / tasks
        for first in range(0, tasks, 100):
            with journal.tx("fill"):
                for n in range(first, min(first + 100, tasks)):
                    clock.at = end - DAYS * DAY_S + n * apart
                    _write(journal, clock, told, kinds[n], n, each, apart)
        journal.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _folders(folder / "night" / "state", home, kinds)


def _kinds(tasks: int) -> Iterator[str]:
    """What becomes of each task, the oldest first."""
    queued = int(tasks * QUEUED)
    last = ["running"] * RUNNING + ["queued"] * queued
    for n in range(tasks - len(last)):
        late = tasks - len(last) - n
        if n % 40 == 7 and late < 40 * (DECIDE + ASKING):
            yield "hold" if n % 120 != 7 else "asks"
        else:
            yield "bad" if n % 10 == 3 else "good"
    yield from last


def _write(
    journal: Journal, clock: _Time, told: dict[str, Told], kind: str, n: int, most: int, lasts: float
) -> None:  # fmt: skip
    """One more task."""
    name, repo, begun = f"task-{n:06d}", f"repo-{n % REPOS}", clock.at
    source = _source(kind)
    found = told[source]
    base = found.row["created"]
    text = json.dumps(found._asdict()).replace(source, name)
    for between in (":", ": "):  # where it is a value, not a key
        text = text.replace(f'{between}\\"repo\\"', f'{between}\\"{repo}\\"')
    again: dict[str, Any] = json.loads(text)
    row, events = again["row"], again["events"]
    steps: list[dict[str, Any]] = again["steps"]
    spend: list[dict[str, Any]] = again["spend"]
    if kind in ("queued", "running"):
        ran = next(k for k, step in enumerate(steps) if step["name"] == "run 1")
        steps = steps[:ran] if kind == "running" else []
        spend = []
        row |= {"output": None, "hold": None}
        row |= {"state": "waiting", "phase": "queued", "wait_for": "slot", "need_pool": "work", "need_key": repo} if (
            kind == "queued") else {"state": "ready", "phase": "running"}  # fmt: skip
        events = events[:1] if kind == "queued" else events[: len(events) // 2]
    whole = [*events]
    if kind != "queued" and len(events) > 2:
        middle = events[1:-1] if kind != "running" else events[1:]
        more = [middle[k % len(middle)] for k in range(most - len(events))]
        whole = [events[0], *more, *events[1:]]
    title = json.loads(row["input"])
    row["input"] = json.dumps({**title, "title": f"Task {n}: make the page of settings faster"})
    row.pop("title", None)  # it is kept by the journal itself
    row |= {"id": name, "lane": repo, "created": begun, "updated": begun if kind == "queued" else begun + lasts * 0.9}
    _put(journal, "task", row)
    for step in steps:
        _put(
            journal, "step", {**step, **{key: begun + min(lasts, step[key] - base) for key in ("started", "finished")}}
        )
    for each in spend:
        day = time.strftime("%Y-%m-%d", time.localtime(begun))
        _put(journal, "spend", {**each, "at": begun, "day": day, "month": day[:7], "repo": repo,
                                "settled": None if each["settled"] is None else begun + lasts / 2})  # fmt: skip
    for k, event in enumerate(whole):
        clock.at = begun + lasts * k / len(whole)
        data = json.loads(event["data"])
        with_own = {key: value for key, value in data.items() if key not in ("what", "task", "actor", "why")}
        journal.tell(event["what"], task=name, actor=event["actor"], why=event["why"], **with_own)


def _source(kind: str) -> str:
    return "good-1" if kind in ("queued", "running") else f"{kind}-1"


def _put(journal: Journal, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" for _ in row)
    journal.db.execute(f"INSERT INTO {table}({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def _folders(night: Path, home: Path, kinds: list[str]) -> None:
    """The folders of runs: the real ones' files, under their names."""
    for n, kind in enumerate(kinds):
        if kind == "queued":
            continue
        source = night / "runs" / _source(kind)
        for run in source.glob("*/*"):
            target = home / "runs" / f"task-{n:06d}" / run.parent.name / run.name
            target.mkdir(parents=True)
            for name in ("spec.json", "launch.json", "events.ndjson", "outcome.json"):
                if (run / name).exists() and not (kind == "running" and name == "outcome.json"):
                    os.link(run / name, target / name)
