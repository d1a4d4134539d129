"""What the tests of `durable` share: a world that counts effects, kills at any commit, an engine driven to a standstill."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any

from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine, Flow
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool, Rate

#: Memory, where there is some: these tests commit thousands of times, and prove nothing about disks.
FAST = Path("/dev/shm")
#: A drive that needs more turns of the loop than this to come to a standstill never will.
TURNS = 20_000
STILL = 4


class Killed(BaseException):
    """The process ended here, as by kill -9. Nothing of it may write any more."""


class Killer:
    """Observer of commits and of the world. Kills at a chosen moment; a dead process does nothing more."""

    def __init__(self, after: int | None = None, check: Callable[[], None] | None = None) -> None:
        self.left, self.dead, self.check = after, False, check
        self.moments: list[tuple[str, str]] = []
        #: Kills at this moment.
        self.at: tuple[str, str] | None = None

    def __call__(self, moment: str, label: str) -> None:
        if self.dead:
            raise Killed
        if self.check is not None and moment == "before":
            self.check()
        self.moments.append((moment, label))
        if (moment, label) == self.at:
            self.left = 0
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.dead = True
                raise Killed


class World:
    """Counts what was done to it. It survives kills; what runs in it does not.

    Every act looks before it acts, by key. Gated acts wait until they are let go, stopped or dropped.
    """

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        #: Raised before, or after, the next effect.
        self.fail: list[Exception] = []
        self.fail_late: list[Exception] = []
        self.made_by: dict[str, str] = {}
        self.gated = False
        self.killer = Killer()
        self.gates: dict[str, asyncio.Future[str]] = {}
        self.recorded: Callable[[str], bool] = lambda _key: False
        #: What must never happen and did.
        self.wrongs: list[str] = []

    def reborn(self, killer: Killer) -> None:
        """A new process: nothing runs."""
        self.killer, self.gates = killer, {}

    async def act(self, key: str, effect: str = "") -> str:
        """An effect that happens once per key (`effect`, if it is another), however often it is asked for."""
        self._begin(key)
        self.killer("world", f"asked {key}")
        await asyncio.sleep(0)
        self.killer("world", f"looks {key}")
        if not self.done[effect or key]:
            self.done[effect or key] += 1
            self.made_by[effect or key] = key
        if self.fail_late:
            raise self.fail_late.pop()
        self.killer("world", f"did {key}")
        return key

    async def run(self, key: str) -> str:
        """An effect that takes until it is let go. Says whether it was finished or stopped."""
        self._begin(key)
        if self.done[key]:
            return "finished"
        if self.gated:
            gate = self.gates.setdefault(key, asyncio.get_running_loop().create_future())
            said = await gate
            del self.gates[key]
        else:
            said = "finished"
        self.killer("world", f"ends {key}")
        if said == "finished":
            self.done[key] += 1
        return said

    async def stop(self, key: str) -> None:
        if (gate := self.gates.get(key)) is not None and not gate.done():
            gate.set_result("stopped")

    def let_go(self) -> None:
        for gate in self.gates.values():
            if not gate.done():
                gate.set_result("finished")

    def _begin(self, key: str) -> None:
        if self.killer.dead:
            raise Killed
        if self.recorded(key):
            self.wrongs.append(f"{key} was recorded and is asked for again")
        self.begun[key] += 1
        if self.fail:
            raise self.fail.pop()


WORK = Pool(total=2, per_key=1, rate=Rate(3, 60.0))
LANDING = Pool(per_key=1)


class Lab:
    """One state folder, one clock, one world, and process after process on them."""

    def __init__(self, home: Path, flows: Mapping[str, Flow], pools: Mapping[str, Pool] | None = None) -> None:
        self.home, self.flows, self.clock, self.world = home, flows, ManualClock(), World()
        self.pools = {"work": WORK, "landing": LANDING} if pools is None else pools
        self.journal: Journal
        self.engine: Engine
        self.desk: Desk
        self.killer = Killer()
        self.driver: asyncio.Task[None]
        self.world.recorded = self._recorded

    @contextlib.asynccontextmanager
    async def process(self, killer: Killer | None = None) -> AsyncGenerator[None]:
        """A daemon's life. Killed ends the block quietly: look at `killer.dead`."""
        self.killer = killer or Killer()
        self.killer.check = self._check
        self.world.reborn(self.killer)
        try:
            self.journal = Journal(self.home, clock=self.clock, observer=self.killer)
            started = False
            try:
                self.engine = Engine(self.journal, self.flows, self.pools)
                self.desk = Desk(self.journal, self.engine.poke)
                self.driver = asyncio.create_task(self.engine.run())
                started = True
                yield
            finally:
                try:
                    self.engine.close()
                    if started:
                        await self.driver
                finally:
                    self.journal.close()
        except Killed:
            assert self.killer.dead

    def _check(self) -> None:
        self.world.wrongs += wrongs(self.journal.db, self.pools)

    async def settle(self) -> None:
        """Until nothing goes on by itself: all wait, or stand at a gate of the world. Raises Killed."""
        still = 0
        for _ in range(TURNS):
            if self.killer.dead:
                raise Killed
            assert not self.driver.done(), "the engine ended by itself"
            standing = sum(1 for gate in self.world.gates.values() if not gate.done())
            quiet = len(self.engine.live) == standing and not self.engine._wake.is_set() and not self.engine._due()
            still = still + 1 if quiet else 0
            if still > STILL:  # what was set off a moment ago has had its turn
                return
            await asyncio.sleep(0)
        raise AssertionError(f"no standstill: {self.tasks()}")

    def call(self, verb: str, **arguments: Any) -> Any:
        return self.desk.call(verb, {"actor": "person", **arguments})

    def submit(self, id: str, input: Any = None, **more: Any) -> bool:  # noqa: A002
        return self.call("submit", id=id, flow="story", input=input, **{"lane": "repo", "phase": "queued", **more})

    def _recorded(self, key: str) -> bool:
        """Whether the outcome of a step whose act's key is `task/life/step` is in the journal."""
        sql = "SELECT 1 FROM step WHERE task || '/' || life || '/' || name = ?"
        return self.journal.db.execute(sql, (key,)).fetchone() is not None

    def row(self, task: str) -> dict[str, Any]:
        return dict(self.journal.db.execute("SELECT * FROM task WHERE id = ?", (task,)).fetchone())

    def tasks(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.journal.db.execute("SELECT * FROM task ORDER BY id")]

    def events(self, task: str) -> list[str]:
        sql = "SELECT what FROM event WHERE task = ? ORDER BY seq"
        return [row["what"] for row in self.journal.db.execute(sql, (task,))]

    def held(self) -> int:
        return self.journal.db.execute("SELECT count(*) FROM slot WHERE released IS NULL").fetchone()[0]


def wrongs(db: sqlite3.Connection, pools: Mapping[str, Pool]) -> list[str]:
    """What a journal may never say, at any commit."""
    rules = {
        "an ended task holds a slot": "SELECT 1 FROM slot JOIN task ON task.id = slot.task WHERE released IS NULL AND state = 'done'",
        "a waiting task holds a slot": "SELECT 1 FROM slot JOIN task ON task.id = slot.task WHERE released IS NULL AND state = 'waiting'",
        "a task holds two slots": "SELECT 1 FROM slot WHERE released IS NULL GROUP BY task HAVING count(*) > 1",
        "an ended task wants or waits": "SELECT 1 FROM task WHERE state = 'done' AND (want IS NOT NULL OR wait_for IS NOT NULL OR wake_at IS NOT NULL OR need_pool IS NOT NULL)",
        "a waiting task waits for nothing": "SELECT 1 FROM task WHERE state = 'waiting' AND wait_for IS NULL",
        "a ready task waits": "SELECT 1 FROM task WHERE state = 'ready' AND (wait_for IS NOT NULL OR wake_at IS NOT NULL OR need_pool IS NOT NULL OR hold IS NOT NULL)",
        "a need without a wait": "SELECT 1 FROM task WHERE (need_pool IS NOT NULL) != (wait_for IS 'slot')",
    }
    found = [rule for rule, sql in rules.items() if db.execute(sql).fetchone()]
    for name, pool in pools.items():
        held = "SELECT count(*) FROM slot WHERE pool = ? AND released IS NULL"
        if pool.total is not None and db.execute(held, (name,)).fetchone()[0] > pool.total:
            found.append(f"too many slots of {name}")
        most = "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM slot WHERE pool = ? AND released IS NULL GROUP BY key)"
        if pool.per_key is not None and db.execute(most, (name,)).fetchone()[0] > pool.per_key:
            found.append(f"too many slots of one key of {name}")
        if pool.rate is not None:
            times = [row[0] for row in db.execute("SELECT granted FROM slot WHERE pool = ? ORDER BY granted", (name,))]
            pairs = zip(times, times[pool.rate.count :], strict=False)
            if any(late < early + pool.rate.seconds for early, late in pairs):
                found.append(f"{name} is faster than its rate")
    return found
