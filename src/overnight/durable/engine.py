"""The engine: drives every task that can go on, and nothing else. No polling; waiting tasks are rows."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec.structs import replace

from overnight.durable import backlog, pauses, pools
from overnight.durable.flow import DROPPED, RELEASE, RETRIED, Cancelled, Finish, Lost, Park, Story, paused
from overnight.durable.journal import Journal, printable
from overnight.durable.pools import Pool
from overnight.missions.codec import decode, encode
from overnight.missions.hold import Held, Hold, HoldReason, Late, bounded
from overnight.missions.units import show_duration

Flow = Callable[[Story], Awaitable[Finish]]

#: Tasks begun in one turn, so that a long queue does not starve the socket.
START_AT_ONCE = 200
#: An unexpected failure is tried again by itself after 30 s, 2 min, 8 min; then it waits for a person.
FAULT_RETRIES, FAULT_BASE_S = 3, 30.0
#: A step that says it can't be done now is asked again no sooner than this, whatever time it named.
HOLD_FLOOR_S = 1.0


class Engine:
    """Drives the tasks of one journal. One per journal: the lock sees to that."""

    def __init__(
        self,
        journal: Journal,
        flows: Mapping[str, Flow],
        pools: Mapping[str, Pool] | None = None,
        parked: Callable[[str], None] = lambda _: None,
    ) -> None:
        """parked: told of each task that parks, in the transaction that journals it."""
        self._parked = parked
        self.journal, self.flows, self.pools = journal, flows, dict(pools or {})
        self.live: dict[str, asyncio.Task[None]] = {}
        self.stories: dict[str, Story] = {}
        self.closing = False
        #: Looks so far, for whoever asks whether it goes on.
        self.turns = 0
        self._wake, self._quiet = asyncio.Event(), asyncio.Event()
        self._wake.set()
        #: Until when `run` waits unless it is woken.
        self._until: float | None = None
        self._broken: BaseException | None = None
        self._interrupts: dict[Story, asyncio.Task[None]] = {}
        self._followed = False

    def poke(self) -> None:
        """Something changed: look again."""
        self._wake.set()
        self._quiet.clear()

    # -- life -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drive until `close`, or until the journal can't be written: then its error is raised, nothing is lost."""
        try:
            self._free_from_unknown_pools()
            while not self.closing:
                self._wake.clear()
                more = self._turn()
                if self._broken is not None:
                    raise self._broken
                if more:
                    await asyncio.sleep(0)
                    continue
                if not self.live:
                    self._quiet.set()
                self._until = self._next_timer()
                await self.journal.clock.wait(self._wake, self._until)
                self._quiet.clear()
        finally:
            await self._let_go()

    async def idle(self) -> None:
        """Return once nothing goes on by itself: every task has ended or waits for something that is not there. Also
        returns when `run` has ended."""
        while not self.closing:
            await self._quiet.wait()
            if self._quiet.is_set() and not self._due():
                return
            await asyncio.sleep(0)  # a time has come, `run` is about to see it

    def _due(self) -> bool:
        return self._until is not None and self._until <= self.journal.clock.now()

    def close(self) -> None:
        """Stop driving. Coroutines are dropped as a crash would drop them; the journal knows the rest."""
        self.closing = True
        self._wake.set()

    async def _let_go(self) -> None:
        self.closing = True
        pending = [*self.live.values(), *self._interrupts.values()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        self.live.clear()  # one that had not begun does not strike itself off
        self.stories.clear()
        self._quiet.set()

    def _turn(self) -> bool:
        """One look at everything. True when there may be more to start at once."""
        self.turns += 1
        follow_pauses(self.journal, everything=not self._followed)
        self._followed = True
        self._heed_wants()
        self._ring_timers()
        self._ease_backlogs()
        self._grant_slots()
        return self._start_ready()

    # -- what people want -----------------------------------------------------------------------------------

    def pause_on(self, lane: str) -> str | None:
        """`pause-all` or `pause-lane` while such a pause is on."""
        return pauses.scope(self.journal.home, lane)

    def _heed_wants(self) -> None:
        # What unwinds was told already: a cancel is delivered once.
        sql = "SELECT id, want FROM task WHERE want IS NOT NULL AND state != 'done' AND unwinding = 0"
        rows = self.journal.db.execute(sql).fetchall()
        for row in rows:
            story = self.stories.get(row["id"])
            if story is None:
                apply_want(self.journal, row["id"])
            elif row["want"] in ("stop", "cancel") and story not in self._interrupts:
                task = asyncio.create_task(self._interrupt(story))
                self._interrupts[story] = task

    async def _interrupt(self, story: Story) -> None:
        """End the step under way. A stop that fails is tried again while the step goes on and the wish stands."""
        try:
            while not await self._told(story):
                await self.journal.clock.wait(asyncio.Event(), self.journal.clock.now() + FAULT_BASE_S)
                if self.stories.get(story.id) is not story or not self._wants_end(story.id):
                    return
        except sqlite3.Error as error:
            self._break(error)
        finally:
            del self._interrupts[story]

    async def _told(self, story: Story) -> bool:
        try:
            await story.interrupt()
        except Exception as error:  # whatever keeps one agent from being stopped must not keep others from running
            if not self.closing:
                with self.journal.tx("stop failed"):
                    self.journal.tell("step.stop-failed", task=story.id, why=f"{type(error).__name__}: {error}")
            return False
        return True

    def _wants_end(self, task: str) -> bool:
        row = self.journal.db.execute("SELECT want FROM task WHERE id = ?", (task,)).fetchone()
        return row is not None and row["want"] in ("stop", "cancel")

    # -- timers and slots -----------------------------------------------------------------------------------

    def _next_timer(self) -> float | None:
        row = self.journal.db.execute(
            "SELECT min(wake_at) AS at FROM task WHERE wake_at IS NOT NULL AND state = 'waiting'"
        ).fetchone()
        opens = (pools.rate_opens(self.journal, name, pool) for name, pool in self.pools.items())
        return min((at for at in (row["at"], *opens) if at is not None), default=None)

    def _ring_timers(self) -> None:
        now = self.journal.clock.now()
        sql = "SELECT id, wait_for, hold FROM task WHERE wake_at <= ? AND state = 'waiting' ORDER BY wake_at"
        due = self.journal.db.execute(sql, (now,)).fetchall()
        if due:
            with self.journal.tx("timers"):
                for row in due:
                    ring(self.journal, row)

    def _ease_backlogs(self) -> None:
        if tasks := backlog.eased(self.journal):
            with self.journal.tx("backlog"):
                for task in tasks:
                    make_ready(self.journal, task, "fewer results wait for a decision")

    def grant_now(self, task: str, pool: str, key: str) -> bool:
        """Give a live task its slot at once, if there is room and nobody waits for one."""
        if (limits := self.pools.get(pool)) is None:
            raise LookupError(f"no pool is called {pool!r}; known: {', '.join(sorted(self.pools))}")
        waiting = "SELECT 1 FROM task WHERE need_pool = ? LIMIT 1"
        if self.journal.db.execute(waiting, (pool,)).fetchone():
            return False
        if not pools.room(self.journal, pool, limits) or not pools.room_for_key(self.journal, pool, limits, key):
            return False
        with self.journal.tx("grant"):
            pools.release(self.journal, task)  # one of a block that it had finished when it was killed
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

    def _free_from_unknown_pools(self) -> None:
        """Whoever waits for a pool that is no more would wait for ever: its flow runs and says what it needs now."""
        sql = "SELECT id FROM task WHERE need_pool IS NOT NULL AND need_pool NOT IN (SELECT value FROM json_each(?))"
        rows = self.journal.db.execute(sql, (json.dumps(list(self.pools)),)).fetchall()
        if rows:
            with self.journal.tx("unknown pools"):
                for row in rows:
                    make_ready(self.journal, row["id"], "its pool is gone")

    def _paused_lanes(self) -> frozenset[str] | None:
        """Lanes that get no slots; None when nobody does."""
        lanes = frozenset(each.lane for each in pauses.read(self.journal.home))
        return None if "" in lanes else lanes

    # -- driving --------------------------------------------------------------------------------------------

    def _start_ready(self) -> bool:
        sql = "SELECT id FROM task WHERE state = 'ready' ORDER BY priority DESC, created, id LIMIT ?"
        ready = self.journal.db.execute(sql, (len(self.live) + START_AT_ONCE + 1,)).fetchall()
        new = [row["id"] for row in ready if row["id"] not in self.live]
        for task in new[:START_AT_ONCE]:
            row = self.journal.db.execute("SELECT * FROM task WHERE id = ?", (task,)).fetchone()
            story = self.stories[task] = Story(self, row)
            self.live[task] = asyncio.create_task(self._drive(story, row["flow"]), name=task)
        return len(new) > START_AT_ONCE

    async def _drive(self, story: Story, flow: str) -> None:
        try:
            await self._advance(story, flow)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # the journal failed, or worse: nobody goes on as if nothing were
            self._break(error.__cause__ or error if isinstance(error, Lost) else error)
        finally:
            del self.live[story.id], self.stories[story.id]
            self.poke()

    def _break(self, error: BaseException) -> None:
        self._broken = self._broken or error
        self.poke()

    async def _advance(self, story: Story, flow: str) -> None:
        outcome: Any
        try:
            outcome = await self._flow(flow)(story)
        except (Park, Exception, asyncio.CancelledError) as raised:  # one task's failure must not take others down
            outcome = raised
        if self.closing:  # it was dropped, as a crash would have: nothing more is written
            return
        if isinstance(story.over, Lost):
            raise story.over
        try:
            self._settle(story, story.over or outcome)
        except sqlite3.Error:
            raise
        except Exception as error:  # such as a value that has no JSON form
            self._fault(story, error)

    def _flow(self, name: str) -> Flow:
        if (flow := self.flows.get(name)) is None:
            raise LookupError(f"no flow is called {name!r}; known: {', '.join(sorted(self.flows))}")
        return flow

    def _settle(self, story: Story, outcome: Any) -> None:
        """Journal how a coroutine ended: what it returned or raised."""
        match outcome:
            case Finish():
                self._end(story, outcome)
            case Park():
                self._park(story, outcome)
            case Held(hold=hold):
                soonest = self.journal.clock.now() + HOLD_FLOOR_S
                self._park(
                    story, Park("hold", until=None if hold.until is None else max(hold.until, soonest), hold=hold)
                )
            case Cancelled():
                self._end(story, Finish("cancelled", str(outcome) or "a person cancelled it", None))
            case asyncio.CancelledError() if story.dropped:
                pass  # the person took it back before it was heeded: it is still ready, and driven anew
            case BaseException():
                self._fault(story, outcome)
            case _:
                self._fault(story, TypeError(f"its flow returned {outcome!r}, not a Finish"))

    def _park(self, story: Story, park: Park) -> None:
        db, hold, now = self.journal.db, park.hold, self.journal.clock.now()
        until = park.until
        if hold is not None and until is None:
            hold = bounded(hold, story.patience, now)
            until = hold.until if hold.late else None
        pool, key = park.need or (None, None)
        with self.journal.tx(f"park {park.wait_for}"):
            pools.release(self.journal, story.id)
            db.execute(
                "UPDATE task SET state = 'waiting', phase = ?, wait_for = ?, wake_at = ?, hold = ?, need_pool = ?, need_key = ?, "
                "unwinding = ?, updated = ? WHERE id = ?",
                (story.here, park.wait_for, until, encode(hold).decode() if hold else None, pool, key,
                 int(story.deaf), now, story.id),
            )  # fmt: skip
            story.tell_phase()
            self._parked(story.id)
            if hold is not None and not (hold.looks and self._told_so(story.id, hold)):
                self.journal.tell("task.held", task=story.id, why=f"{hold.reason}: {hold.why}", until=hold.until)
            if park.came():  # while we were parking
                make_ready(self.journal, story.id, "it came meanwhile")
            elif park.wait_for == "pause":
                db.execute("UPDATE task SET want = NULL WHERE id = ? AND want != 'cancel'", (story.id,))

    def _told_so(self, task: str, hold: Hold) -> bool:
        """Whether the last that was put on record of its holds is this one."""
        sql = "SELECT what, why FROM event WHERE task = ? AND what IN ('task.held', 'task.released') ORDER BY seq DESC LIMIT 1"
        last = self.journal.db.execute(sql, (task,)).fetchone()
        return last is not None and tuple(last) == ("task.held", printable(f"{hold.reason}: {hold.why}"))

    def _fault(self, story: Story, error: BaseException) -> None:
        faults = self.journal.db.execute("SELECT faults FROM task WHERE id = ?", (story.id,)).fetchone()["faults"]
        wait = FAULT_BASE_S * 4**faults if faults < FAULT_RETRIES else None
        how = f"tried again in {show_duration(wait)}" if wait else f"`overnight resume {story.id}`"
        why = printable(f"{type(error).__name__}: {error}")
        until = self.journal.clock.now() + wait if wait else None
        hold = Hold(reason=HoldReason.FAULT, why=why, releases_on=how, until=until)
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
                "need_pool = NULL, need_key = NULL, unwinding = 0, updated = ? WHERE id = ?",
                (finish.phase, encode(finish.value).decode(), now, story.id),
            )
            self.journal.tell("task.ended", task=story.id, why=finish.why, phase=finish.phase)
            for row in self.journal.db.execute(
                "SELECT id FROM task WHERE wait_for = ?", (f"task {story.id}",)
            ).fetchall():
                make_ready(self.journal, row["id"], f"{story.id} ended")


def make_ready(journal: Journal, task: str, why: str) -> None:
    """Release a waiting task, inside a transaction. The hold of one that only looks stays until the look has said
    something: what a person is asked is asked meanwhile as well."""
    held = journal.db.execute("SELECT hold FROM task WHERE id = ?", (task,)).fetchone()["hold"]
    sql = (
        "UPDATE task SET state = 'ready', wait_for = NULL, wake_at = NULL, need_pool = NULL, need_key = NULL, "
        "hold = CASE WHEN json_extract(hold, '$.looks') THEN hold END, updated = ? WHERE id = ? AND state = 'waiting'"
    )
    journal.db.execute(sql, (journal.clock.now(), task))
    if held is not None and not json.loads(held).get("looks"):
        journal.tell("task.released", task=task, why=why)


def ring(journal: Journal, row: sqlite3.Row) -> None:
    """A waiting task's time has come, inside a transaction: it goes on, or what the policy says of its hold is done."""
    hold = decode(row["hold"], Hold) if row["hold"] else None
    if hold is None or hold.late is None:
        make_ready(journal, row["id"], "its time has come")
        return
    task, wait_for = row["id"], row["wait_for"] or ""
    why = f"{hold.reason}: nobody released it in time; {hold.then}"
    journal.tell("hold.timed-out", task=task, why=why, reason=hold.reason, then=hold.late)
    match hold.late:
        case Late.ESCALATE:
            waits = replace(hold, until=None, then="", late=None, urgent=True)
            sql = "UPDATE task SET hold = ?, wake_at = NULL WHERE id = ?"
            journal.db.execute(sql, (encode(waits).decode(), task))
            journal.tell("hold.escalated", task=task, why=f"{hold.reason}: {hold.why}", reason=hold.reason)
            return
        case Late.DROP:
            _send(journal, task, DROPPED, why)
            journal.db.execute("UPDATE task SET want = 'cancel' WHERE id = ?", (task,))
        case Late.DEFAULT:
            _send(journal, task, wait_for.removeprefix("signal "), hold.default)
        case Late.RETRY if wait_for.startswith(f"signal {RELEASE}"):
            _send(journal, task, wait_for.removeprefix("signal "), None)
        case Late.RETRY if hold.reason is HoldReason.JUDGES_DISAGREE:
            _send(journal, task, RETRIED, None)
        case Late.RETRY:
            pass
    make_ready(journal, task, why)


def _send(journal: Journal, task: str, name: str, payload: Any) -> None:
    sql = "INSERT INTO signal(task, name, payload, at) VALUES (?, ?, ?, ?)"
    journal.db.execute(sql, (task, name, json.dumps(payload), journal.clock.now()))


def follow_pauses(journal: Journal, *, actor: str = "", everything: bool = False) -> None:
    """Put on record which pauses came and went, and release what waited for those that went. The files are the truth;
    the records say what was last seen of them. actor: who changed them just now, if that is known. everything: look
    also when nothing changed."""
    _adopt_old(journal)
    now = {each.lane: each for each in pauses.read(journal.home)}
    before = _last_seen(journal)
    if now.keys() == before and not everything:
        return
    with journal.tx("pauses"):
        for lane in sorted(now.keys() - before):
            by = now[lane].by or f"whoever made {pauses.place(journal.home, lane)}"
            journal.put("pause", lane, json.dumps({"by": by}))
            journal.tell("pause.on", actor=by, why=lane or "everything")
        for lane in sorted(before - now.keys()):
            journal.drop("pause", lane)
            journal.tell("pause.off", actor=actor or "whoever removed its file", why=lane or "everything")
        sql = "SELECT id, lane, wait_for FROM task WHERE wait_for IN ('pause-all', 'pause-lane')"
        for row in journal.db.execute(sql).fetchall():
            if ("" if row["wait_for"] == "pause-all" else row["lane"]) not in now:
                make_ready(journal, row["id"], "its pause is over")


def pauses_changed(journal: Journal) -> bool:
    """Whether the files are others than the engine has last seen."""
    return {each.lane for each in pauses.read(journal.home)} != _last_seen(journal)


def _last_seen(journal: Journal) -> set[str]:
    return {row["key"] for row in journal.db.execute("SELECT key FROM record WHERE kind = 'pause'")}


def _adopt_old(journal: Journal) -> None:
    """Pauses of journals that kept them as records only become files."""
    sql = "SELECT key, value FROM record WHERE kind = 'pause' AND json_type(value) = 'text'"
    for row in journal.db.execute(sql).fetchall():
        pauses.pause(journal.home, row["key"], by=json.loads(row["value"]), drain=True)
        journal.put("pause", row["key"], json.dumps({"by": json.loads(row["value"])}))


def apply_want(journal: Journal, task: str) -> None:
    """Make a person's wish true for a task that waits. One that is ready hears of it when it is driven: what it began
    may have to be gone through with first."""
    row = journal.db.execute("SELECT state, want FROM task WHERE id = ?", (task,)).fetchone()
    if row["state"] != "waiting":
        return
    with journal.tx(f"want {row['want']}"):
        make_ready(journal, task, "wanted")
        if row["want"] != "cancel":  # a cancel stays, so that its next step hears of it
            hold = paused(f"`overnight resume {task}`")
            sql = "UPDATE task SET state = 'waiting', want = NULL, wait_for = 'pause', hold = ? WHERE id = ?"
            journal.db.execute(sql, (encode(hold).decode(), task))
            journal.tell("task.held", task=task, why=f"{hold.reason}: {hold.why}")
