"""What the durable engine costs. Run as `python -m benchmarks.engine [--quick] [FOLDER]`.

FOLDER is where the journals lie (a temporary folder by default): every commit waits for that disk, so figures from
different disks do not compare. Each figure is the median of several rounds, with the least and the most.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from overnight.durable.client import Client
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.flow import Finish, Story
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool
from overnight.durable.wire import Server

POOLS = {"work": Pool(total=4, per_key=4)}


async def nothing() -> float:
    return time.time()


async def steps(t: Story) -> Finish:
    """A flow of many steps that do nothing."""
    for n in range(t.read(int)):
        await t.step(f"step {n}", nothing)
    return Finish("landed", "", None)


async def waits(t: Story) -> Finish:
    """A flow that waits for a person, like thousands of others."""
    await t.signal("go", str)
    return Finish("landed", "", await t.step("began", nothing))


async def slotted(t: Story) -> Finish:
    with t.slot("work", t.lane):
        return Finish("landed", "", await t.step("began", nothing))


FLOWS = {"steps": steps, "waits": waits, "slotted": slotted}


def task(name: str, flow: str, given: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": name, "flow": flow, "lane": "repo", "input": given, "phase": "queued", **more}


@contextmanager
def folder(where: str | None) -> Generator[Path]:
    """An empty state folder."""
    made = tempfile.mkdtemp(prefix="overnight-bench-", dir=where)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


def figure(values: Sequence[float], unit: str) -> str:
    return f"{statistics.median(values):,.4g} {unit} ({min(values):,.4g} to {max(values):,.4g})"


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


# -- in one process -----------------------------------------------------------------------------------------


async def with_engine(home: Path, work: Callable[[Engine, Desk], Any]) -> Any:
    journal = Journal(home)
    engine = Engine(journal, FLOWS, POOLS)
    driver = asyncio.create_task(engine.run())
    try:
        return await work(engine, Desk(journal, engine.poke))
    finally:
        engine.close()
        await driver
        journal.close()


def step_rate(where: str | None, count: int) -> float:
    """Steps per second of one task, each one committed."""

    async def work(engine: Engine, desk: Desk) -> float:
        begun = time.perf_counter()
        desk.call("submit", {"actor": "bench", **task("t", "steps", count)})
        await engine.idle()
        return count / (time.perf_counter() - begun)

    with folder(where) as home:
        return asyncio.run(with_engine(home, work))


# -- from another process -----------------------------------------------------------------------------------


async def be_daemon(home: Path) -> None:
    """Serve until standard input ends; says `ready` once it does."""
    journal = Journal(home)
    engine = Engine(journal, FLOWS, POOLS)
    server = Server(home, Desk(journal, engine.poke).call)
    await server.start()
    driver = asyncio.create_task(engine.run())
    await engine.idle()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    engine.close()
    await driver
    await server.stop()
    journal.close()


@contextmanager
def daemon(home: Path) -> Generator[psutil.Process]:
    argv = [sys.executable, "-m", "benchmarks.engine", "--daemon", str(home)]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        if child.stdout.readline() != "ready\n":
            raise RuntimeError("the measured process did not start")
        yield psutil.Process(child.pid)
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()


def outcome(home: Path, name: str) -> float:
    """When the task's first step began, once it has ended; epoch seconds."""
    from contextlib import closing

    from overnight.durable.journal import connect

    with closing(connect(home / "journal.db", read_only=True)) as db:
        while True:
            row = db.execute("SELECT output FROM task WHERE id = ? AND state = 'done'", (name,)).fetchone()
            if row is not None:
                return json.loads(row["output"])
            time.sleep(0.001)


def start_delays(home: Path, count: int, round: int) -> list[float]:  # noqa: A002 (the word)
    """Milliseconds from the call of another process to the first step of its task."""
    client, delays = Client(home), list[float]()
    for n in range(count):
        asked = time.time()
        client.call("submit", **task(f"{round}-{n}", "slotted", pool="work"))
        delays.append((outcome(home, f"{round}-{n}") - asked) * 1000)
    return delays


def fill(home: Path, count: int) -> None:
    """A journal with so many tasks that wait for a person."""

    async def work(engine: Engine, desk: Desk) -> None:
        with desk.journal.tx("fill"):
            for n in range(count):
                desk.call("submit", {"actor": "bench", **task(f"w{n}", "waits", lane=f"repo {n % 20}")})
        await engine.idle()

    asyncio.run(with_engine(home, work))


def waiting_costs(home: Path, seconds: float) -> tuple[float, float]:
    """(resident memory in MB, CPU in percent of one core) of a daemon that nobody asks for anything."""
    with daemon(home) as process:
        before, begun = sum(process.cpu_times()[:2]), time.perf_counter()
        time.sleep(seconds)
        cpu = (sum(process.cpu_times()[:2]) - before) / (time.perf_counter() - begun)
        return process.memory_info().rss / 1e6, cpu * 100


def answer_delay(home: Path, name: str) -> float:
    """Milliseconds from a person's answer to the next step of a task that waited for it."""
    with daemon(home):
        asked = time.time()
        Client(home).call("signal", task=name, name="go", payload="yes")
        return (outcome(home, name) - asked) * 1000


def main(where: str | None, quick: bool) -> None:
    rounds, count, seconds = (3, 200, 1.0) if quick else (7, 1000, 5.0)
    rows = [("steps per second, one task", figure([step_rate(where, count) for _ in range(rounds)], "/s"))]
    with folder(where) as home, daemon(home):
        delays = [start_delays(home, 50 if quick else 200, n) for n in range(rounds)]
    rows += [
        (f"enqueue to start, other process, p{percent}", figure([percentile(d, percent) for d in delays], "ms"))
        for percent in (50, 99)
    ]
    for waiting in (0, 1_000, 10_000):
        with folder(where) as home:
            fill(home, waiting)
            costs = [waiting_costs(home, seconds) for _ in range(3)]
            rows.append((f"{waiting:,} waiting: memory", figure([rss for rss, _ in costs], "MB")))
            rows.append((f"{waiting:,} waiting: CPU", figure([cpu for _, cpu in costs], "%")))
            if waiting:
                answers = [answer_delay(home, f"w{n}") for n in range(rounds)]
                rows.append((f"{waiting:,} waiting: answer to next step", figure(answers, "ms")))
    width = max(len(name) for name, _ in rows)
    print(f"durable engine, Python {sys.version.split()[0]}, {os.cpu_count()} cores, {where or tempfile.gettempdir()}")
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--daemon" in sys.argv:
        asyncio.run(be_daemon(Path(given[0])))
    else:
        main(given[0] if given else None, "--quick" in sys.argv)
