"""The engine: drives every task that can go on, and nothing else. No polling; waiting tasks are rows."""

from __future__ import annotations

import asyncio
import sqlite3
import traceback
from collections.abc import Awaitable, Callable, Mapping

from overnight.durable import pools
from overnight.durable.flow import Finish, Park, Story, paused
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool
from overnight.missions.codec import encode
from overnight.missions.hold import Held, Hold, HoldReason
from overnight.missions.units import show_duration

Flow = Callable[[Story], Awaitable[Finish]]

#: Tasks begun in one turn, so that a long queue does not starve the socket.
START_AT_ONCE = 200
#: An unexpected failure is tried again by itself after 30 s, 2 min, 8 min; then it waits for a person.
FAULT_RETRIES, FAULT_BASE_S = 3, 30.0


class Engine:
    """Drives the tasks of one journal. One per journal: the lock sees to that."""

    def __init__(self, journal: Journal, flows: Mapping[str, Flow], pools: Mapping[str, Pool] | None = None) -> None:
        self.journal, self.flows, self.pools = journal, flows, dict(pools or {})
        self.live: dict[str, asyncio.Task[None]] = {}
        self.stories: dict[str, Story] = {}
        self.closing = False
        self._wake = asyncio.Event()
        self._broken: BaseException | None = None
        self._interrupts: set[asyncio.Task[None]] = set()

    def poke(self) -> None:
        """Something changed: look again."""
        self._wake.set()

    # -- life -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drive until `close`, or until the journal can't be written: then its error is raised, nothing is lost."""
        try:
            while not self.closing:
                self._wake.clear()
                more = self._turn()
                if self._broken is not None:
                    raise self._broken
                if more:
                    await asyncio.sleep(0)
                else:
                    await self.journal.clock.wait(self._wake, self._next_timer())
        finally:
            await self._let_go()

    def close(self) -> None:
        """Stop driving. Coroutines are dropped as a crash would drop them; the journal knows the rest."""
        self.closing = True
        self._wake.set()

    async def _let_go(self) -> None:
        self.closing = True
        pending = [*self.live.values(), *self._interrupts]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _turn(self) -> bool:
        """One look at everything. True when there may be more to start at once."""
        self._heed_wants()
        self._ring_timers()
        self._grant_slots()
        return self._start_ready()

    # -- what people want -----------------------------------------------------------------------------------

    def pause_on(self, lane: str) -> str | None:
        """`pause-all` or `pause-lane` while such a pause is on."""
        if self.journal.get("pause", "") is not None:
            return "pause-all"
        return "pause-lane" if self.journal.get("pause", lane) is not None else None

    def _heed_wants(self) -> None:
        sql = "SELECT id, want FROM task WHERE want IS NOT NULL AND state != 'done' AND wait_for IS NOT 'unwinding'"
        rows = self.journal.db.execute(sql).fetchall()
        for row in rows:
            story = self.stories.get(row["id"])
            if story is None:
                apply_want(self.journal, row["id"])
            elif row["want"] in ("stop", "cancel"):
                self._interrupt(story)

    def _interrupt(self, story: Story) -> None:
        task = asyncio.create_task(story.interrupt())
        self._interrupts.add(task)
        task.add_done_callback(self._interrupts.discard)

    # -- timers and slots -----------------------------------------------------------------------------------

    def _next_timer(self) -> float | None:
        row = self.journal.db.execute("SELECT min(wake_at) AS at FROM task WHERE wake_at IS NOT NULL").fetchone()
        opens = (pools.rate_opens(self.journal, name, pool) for name, pool in self.pools.items())
        return min((at for at in (row["at"], *opens) if at is not None), default=None)

    def _ring_timers(self) -> None:
        now = self.journal.clock.now()
        due = self.journal.db.execute("SELECT id FROM task WHERE wake_at <= ? ORDER BY wake_at", (now,)).fetchall()
        if due:
            with self.journal.tx("timers"):
                for row in due:
                    make_ready(self.journal, row["id"], "its time has come")

    def grant_now(self, task: str, pool: str, key: str) -> bool:
        """Give a live task its slot at once, if there is room and nobody waits for one."""
        waiting = "SELECT 1 FROM task WHERE need_pool = ? LIMIT 1"
        if self.journal.db.execute(waiting, (pool,)).fetchone():
            return False
        limits = self.pools[pool]
        if not pools.room(self.journal, pool, limits) or not pools.room_for_key(self.journal, pool, limits, key):
            return False
        with self.journal.tx("grant"):
            pools.grant(self.journal, task, pool, key)
        return True

    def _grant_slots(self) -> None:
        shut = self._paused_lanes()
        for name, pool in self.pools.items():
            if shut is None or not (chosen := pools.next_in_line(self.journal, name, pool, shut)):
                continue
            with self.journal.tx("grant"):
                for row in chosen:
                    pools.grant(self.journal, row["id"], name, row["need_key"])
                    ready = "UPDATE task SET state = 'ready', wait_for = NULL, need_pool = NULL, need_key = NULL WHERE id = ?"
                    self.journal.db.execute(ready, (row["id"],))

    def _paused_lanes(self) -> frozenset[str] | None:
        """Lanes that get no slots; None when nobody does."""
        keys = frozenset(r["key"] for r in self.journal.db.execute("SELECT key FROM record WHERE kind = 'pause'"))
        return None if "" in keys else keys

    # -- driving --------------------------------------------------------------------------------------------

    def _start_ready(self) -> bool:
        sql = "SELECT * FROM task WHERE state = 'ready' ORDER BY priority DESC, created, id"
        rows = [r for r in self.journal.db.execute(sql) if r["id"] not in self.live][: START_AT_ONCE + 1]
        for row in rows[:START_AT_ONCE]:
            self.live[row["id"]] = asyncio.create_task(self._drive(row), name=row["id"])
        return len(rows) > START_AT_ONCE

    async def _drive(self, row: sqlite3.Row) -> None:
        story = self.stories[row["id"]] = Story(self, row)
        try:
            await self._advance(story, row["flow"])
        except sqlite3.Error as error:
            self._broken = error
        finally:
            del self.live[story.id], self.stories[story.id]
            self._wake.set()

    async def _advance(self, story: Story, flow: str) -> None:
        try:
            finish = await self.flows[flow](story)
        except Park as park:
            self._park(story, park)
        except Held as held:
            hold = held.hold
            self._park(story, Park("hold", until=hold.until, hold=hold))
        except sqlite3.Error:
            raise
        except Exception as error:  # an unforeseen failure must not take the other tasks down
            self._fault(story, error)
        else:
            self._end(story, finish)

    def _park(self, story: Story, park: Park) -> None:
        db, hold = self.journal.db, park.hold
        pool, key = park.need or (None, None)
        # a cancelled task that waits in its clean-up is not cancelled once more
        wait_for = "unwinding" if story.unwinding else park.wait_for
        with self.journal.tx(f"park {park.wait_for}"):
            pools.release(self.journal, story.id)
            db.execute(
                "UPDATE task SET state = 'waiting', phase = ?, wait_for = ?, wake_at = ?, hold = ?, need_pool = ?, need_key = ?, "
                "updated = ? WHERE id = ?",
                (story.here, wait_for, park.until, encode(hold).decode() if hold else None, pool, key,
                 self.journal.clock.now(), story.id),
            )  # fmt: skip
            if hold is not None:
                self.journal.tell("task.held", task=story.id, why=f"{hold.reason}: {hold.why}", until=hold.until)
            if park.wait_for == "pause":
                db.execute("UPDATE task SET want = NULL WHERE id = ? AND want != 'cancel'", (story.id,))
            name = park.wait_for.removeprefix("signal ")
            inbox = "SELECT 1 FROM signal WHERE task = ? AND name = ? AND step IS NULL"
            if db.execute(inbox, (story.id, name)).fetchone():  # it came while we were parking
                make_ready(self.journal, story.id, "answered")

    def _fault(self, story: Story, error: Exception) -> None:
        faults = self.journal.db.execute("SELECT faults FROM task WHERE id = ?", (story.id,)).fetchone()["faults"]
        wait = FAULT_BASE_S * 4**faults if faults < FAULT_RETRIES else None
        how = f"tried again in {show_duration(wait)}" if wait else f"`overnight resume {story.id}`"
        why = f"{type(error).__name__}: {error}"
        hold = Hold(
            reason=HoldReason.FAULT, why=why, releases_on=how, until=self.journal.clock.now() + wait if wait else None
        )
        with self.journal.tx("fault"):
            self.journal.db.execute("UPDATE task SET faults = faults + 1 WHERE id = ?", (story.id,))
            trace = "".join(traceback.format_exception(error))
            self.journal.tell("task.fault", task=story.id, why=why, trace=trace[-4000:])
            self._park(story, Park("hold", until=hold.until, hold=hold))

    def _end(self, story: Story, finish: Finish) -> None:
        now = self.journal.clock.now()
        with self.journal.tx("end"):
            pools.release(self.journal, story.id)
            self.journal.db.execute(
                "UPDATE task SET state = 'done', phase = ?, output = ?, want = NULL, hold = NULL, wait_for = NULL, wake_at = NULL, "
                "need_pool = NULL, need_key = NULL, updated = ? WHERE id = ?",
                (finish.phase, encode(finish.value).decode(), now, story.id),
            )
            self.journal.tell("task.ended", task=story.id, why=finish.why, phase=finish.phase)
            for row in self.journal.db.execute(
                "SELECT id FROM task WHERE wait_for = ?", (f"task {story.id}",)
            ).fetchall():
                make_ready(self.journal, row["id"], f"{story.id} ended")


def make_ready(journal: Journal, task: str, why: str) -> None:
    """Release a waiting task, inside a transaction."""
    held = journal.db.execute("SELECT hold FROM task WHERE id = ?", (task,)).fetchone()["hold"]
    sql = (
        "UPDATE task SET state = 'ready', wait_for = NULL, wake_at = NULL, hold = NULL, need_pool = NULL, need_key = NULL, "
        "updated = ? WHERE id = ? AND state = 'waiting'"
    )
    journal.db.execute(sql, (journal.clock.now(), task))
    if held is not None:
        journal.tell("task.released", task=task, why=why)


def apply_want(journal: Journal, task: str) -> None:
    """Make a person's wish true for a task that nobody is driving."""
    row = journal.db.execute("SELECT state, want, wait_for FROM task WHERE id = ?", (task,)).fetchone()
    with journal.tx(f"want {row['want']}"):
        if row["want"] == "cancel":
            make_ready(journal, task, "cancelled")
        else:
            hold = paused(f"`overnight resume {task}`")
            pools.release(journal, task)
            sql = (
                "UPDATE task SET state = 'waiting', want = NULL, wait_for = 'pause', wake_at = NULL, hold = ?, need_pool = NULL, "
                "need_key = NULL, updated = ? WHERE id = ?"
            )
            journal.db.execute(sql, (encode(hold).decode(), journal.clock.now(), task))
            journal.tell("task.held", task=task, why=f"{hold.reason}: {hold.why}")
