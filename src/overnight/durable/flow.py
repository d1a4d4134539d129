"""A flow: one straight-line async function, run again from the top after any interruption.

Finished steps are answered from the journal by name, so the code between them must depend on recorded values
only, and step names are unique and stable. A step is at-least-once: one that touches the world looks before it acts.
Waiting ends the coroutine; a waiting task is a row.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from msgspec import MsgspecError

from overnight.durable import backlog, pools
from overnight.durable.endings import Cancelled, Finish, Lost, Park
from overnight.durable.returned import returns
from overnight.missions.codec import convert, decode, encode
from overnight.missions.hold import Held, Hold, HoldReason, Patience

__all__ = ["DROPPED", "RELEASE", "RETRIED", "Cancelled", "Finish", "Lost", "Park", "Story", "paused"]

if TYPE_CHECKING:
    from overnight.durable.engine import Engine

#: Signals that a resume sends to a task that parked in `Story.hold`.
RELEASE = "release "
#: `Story.watch` does not look again sooner than this, whatever time it is told.
SOONEST_LOOK_S = 1.0
#: The signal that says why a task is cancelled, where no person did it.
DROPPED = "dropped"
#: The signal that ends a wait for another one, where the policy has it tried again.
RETRIED = "tried again"

T = TypeVar("T")
P = ParamSpec("P")


class Story:
    """What a flow sees of its task."""

    def __init__(self, engine: Engine, row: sqlite3.Row) -> None:
        self._engine, self._journal = engine, engine.journal
        self.id: str = row["id"]
        self.lane: str = row["lane"]
        self.life: int = row["life"]
        self._input: str = row["input"]
        self._phase: str = row["phase"]
        self.here: str = self._phase
        sql = "SELECT name, output FROM step WHERE task = ? AND life = ?"
        self._done: dict[str, str] = {
            r["name"]: r["output"] for r in self._journal.db.execute(sql, (self.id, self.life))
        }
        self._used: set[str] = set()
        #: What happens by itself with holds that wait for a person, by reason; set by the flow, the same at every replay.
        self.patience: Mapping[HoldReason, Patience] = {}
        self._slot: tuple[str, str] | None = None
        self._slot_used = False
        self._finishing = False
        #: The record that a step to be gone through with has begun, while its outcome is not known.
        self._begun: str | None = None
        #: Its cancel was delivered, or comes too late: what runs now runs to its end.
        self.unwinding = False
        #: A step under way was dropped in mid-way because a person said so.
        self.dropped = False
        #: How the coroutine ended, once it did: a flow that catches that gets it again.
        self.over: Park | Lost | None = None
        self._told: asyncio.Future[Any] | None = None
        self._work: asyncio.Future[Any] | None = None
        self._stop: Callable[[], Awaitable[None]] | None = None
        self._cancellable = False

    def read(self, kind: type[T]) -> T:
        """The task's input."""
        return decode(self._input, kind)

    # -- steps ----------------------------------------------------------------------------------------------

    async def step(self, name: str, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do `fn` at least once and remember its outcome for good. Exceptions are not remembered."""
        kind = self._claim(name, returns(fn))
        if name in self._done:
            return decode(self._done[name], kind)
        intent = f"begun {name}" if self._finishing else None
        if intent in self._done:
            self._begun = intent
        with self._journaling():
            self._boundary()
            self._take_slot()
            self._say_phase()
            self._begin(intent)
        started, began = self._journal.clock.now(), time.monotonic()  # the clock may be set meanwhile
        try:
            value = await self._perform(name, fn(*args, **kwargs))
        except Held:
            self._not_begun()
            raise
        output = encode(value).decode()
        seconds = round(time.monotonic() - began, 3)
        with self._journaling(f"step {name}"):
            self._record(name, output, started)
            self._journal.tell("step.done", task=self.id, why=name, seconds=seconds)
        self._begun = None
        return decode(output, kind)

    async def watch(
        self, name: str, signal: str, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """A step that looks until there is something to say: while `fn` raises Held, the task is parked, and looks again
        at the hold's `until` or as soon as another signal of that name is there. A look that says nothing leaves no row."""
        seen = self._newest(signal)
        try:
            return await self.step(name, fn, *args, **kwargs)
        except Held as held:
            hold = held.hold
            soonest = self._journal.clock.now() + SOONEST_LOOK_S
            until = None if hold.until is None else max(hold.until, soonest)
            self._park(f"signal {signal}", until=until, hold=hold, came=lambda: self._newest(signal) > seen)

    def came(self, signal: str) -> bool:
        """Whether such a signal waits to be taken. For use inside of steps: it is not remembered."""
        return self._inbox(signal) is not None

    def now(self) -> float:
        """Epoch seconds. For use inside of steps: it is not remembered."""
        return self._journal.clock.now()

    def _newest(self, name: str) -> int:
        """The last signal of that name that waits to be taken; 0 when none does."""
        sql = "SELECT max(id) AS id FROM signal WHERE task = ? AND name = ? AND step IS NULL"
        return self._journal.db.execute(sql, (self.id, name)).fetchone()["id"] or 0

    def _begin(self, intent: str | None) -> None:
        if intent is not None and self._begun is None:
            with self._journal.tx(intent):
                self._record(intent, "null", self._journal.clock.now())
            self._begun = intent

    def _not_begun(self) -> None:
        if self._begun is not None and not self._engine.closing:
            sql = "DELETE FROM step WHERE task = ? AND life = ? AND name = ?"
            with self._journaling(f"not {self._begun}"):
                self._journal.db.execute(sql, (self.id, self.life, self._begun))
            del self._done[self._begun]
            self._begun = None

    def _claim(self, name: str, kind: Any) -> Any:
        if self._engine.closing:
            raise asyncio.CancelledError
        if self.over is not None:
            raise self.over
        if name in self._used:
            raise ValueError(f"two steps of {self.id} are called {name!r}: a name answers for one step only")
        self._used.add(name)
        return kind

    @contextlib.contextmanager
    def _journaling(self, label: str | None = None) -> Generator[None]:
        """Talk to the journal, in one transaction if a label is given. Raises Lost when it fails."""
        try:
            with self._journal.tx(label) if label else contextlib.nullcontext():
                yield
        except sqlite3.Error as error:
            self.over = Lost()
            raise self.over from error

    def _record(self, name: str, output: str, started: float) -> None:
        row = (self.id, self.life, name, output, started, self._journal.clock.now())
        self._journal.db.execute("INSERT INTO step VALUES (?, ?, ?, ?, ?, ?)", row)
        sql = "UPDATE task SET faults = 0, hold = NULL, updated = ? WHERE id = ?"  # what looked has found something
        self._journal.db.execute(sql, (row[5], self.id))
        self._done[name] = output

    async def _perform(self, name: str, work: Awaitable[T]) -> T:
        self._work = asyncio.ensure_future(work)
        try:
            value = await self._work
        except asyncio.CancelledError:
            if not self._engine.closing and self._work.cancelled():
                with self._journaling():
                    self._boundary()
                if not self.dropped:
                    raise RuntimeError(f"step {name!r} was cancelled, by nobody that we know of") from None
            raise
        except sqlite3.Error as error:  # of a database of its own: not to be taken for the journal's
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        finally:
            self._work = None
        if self._engine.closing:  # whatever it made of being cancelled is not its outcome
            raise asyncio.CancelledError
        return value

    def _park(self, wait_for: str, **how: Any) -> NoReturn:
        self.over = Park(wait_for, **how)
        raise self.over

    def _want(self) -> str | None:
        return self._journal.db.execute("SELECT want FROM task WHERE id = ?", (self.id,)).fetchone()["want"]

    def _dropped(self) -> str:
        """Why nobody but time cancels it; empty when a person does."""
        row = self._inbox(DROPPED)
        return decode(row["payload"], str) if row else ""

    def _boundary(self) -> None:
        """Between steps: the place where pauses and cancels take effect."""
        if self.deaf:
            return
        want = self._want()
        if want == "cancel":
            self.unwinding = True
            raise Cancelled(self._dropped())
        if want is not None:
            self._park("pause", hold=paused(f"`overnight resume {self.id}`"), came=lambda: self._want() is None)
        if scope := self._engine.pause_on(self.lane):
            how = "`overnight resume`" if scope == "pause-all" else f"`overnight resume --repo {self.lane}`"
            self._park(scope, hold=paused(how), came=lambda: self._engine.pause_on(self.lane) != scope)

    def note(self, name: str, what: str, why: str, **data: Any) -> None:
        """Put an event on record, once: `name` is that of a step. data: what JSON can hold."""
        self._claim(name, type(None))
        if name not in self._done:
            with self._journaling(name):
                self._record(name, "null", self._journal.clock.now())
                self._journal.tell(what, task=self.id, why=why, **data)

    def recall(self, name: str, what: str, kind: type[T]) -> tuple[T, ...]:
        """The data of this task's events of one kind, as they are on record at the first call."""
        step = f"recall {name}"
        self._claim(step, kind)
        if step not in self._done:
            sql = "SELECT data FROM event WHERE task = ? AND what = ? ORDER BY seq"
            with self._journaling(step):
                found = ",".join(row["data"] for row in self._journal.db.execute(sql, (self.id, what)))
                self._record(step, f"[{found}]", self._journal.clock.now())
        return tuple(convert(each, kind) for each in json.loads(self._done[step]))

    # -- being stopped --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def stopped_by(self, stop: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> Generator[None]:
        """A step inside that is under way when the person says stop or cancel is ended by calling `stop`."""
        outer, self._stop = self._stop, lambda: stop(*args, **kwargs)
        try:
            yield
        finally:
            self._stop = outer

    @contextlib.contextmanager
    def cancellable(self) -> Generator[None]:
        """A step inside may be dropped in mid-way when the person says stop or cancel. Others are let finish."""
        outer, self._cancellable = self._cancellable, True
        try:
            yield
        finally:
            self._cancellable = outer

    @contextlib.contextmanager
    def to_the_end(self) -> Generator[None]:
        """A step inside, once begun, is gone through with: it may have been done by a process that was killed, or
        failed, before it could say so. That it begins is put on record first; from then on neither a pause nor a
        cancel comes before it has looked. One that raises Held says that it was not done: then they do."""
        self._finishing = True
        try:
            yield
        finally:
            self._finishing = False

    def settled(self) -> None:
        """The outcome stands: from here on a pause or a cancel comes too late."""
        self.unwinding = True

    @property
    def deaf(self) -> bool:
        """Whether wishes have to wait: it cleans up, or what it began must be gone through with first."""
        return self.unwinding or self._begun is not None

    async def interrupt(self) -> None:
        """Called by the engine when the person wants the step under way to end. Each step is told once; one whose
        `stop` raises may be told again."""
        work = self._work
        if work is None or work is self._told or self.deaf:
            return
        self._told = work
        if self._stop is not None:
            try:
                await self._stop()
            except BaseException:
                self._told = None
                raise
        elif self._cancellable:
            self.dropped = True
            work.cancel()

    # -- slots ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def slot(self, pool: str, key: str) -> Generator[None]:
        """Steps inside need a slot. It is taken when the first unfinished one wants to run, and given back at the
        end of the block or when the task parks. Not nested."""
        if self._slot is not None:
            raise ValueError("slots do not nest: two tasks could wait for each other")
        self._slot, self._slot_used = (pool, key), False
        try:
            yield
        except Exception:
            self._give_back()
            raise
        else:
            self._give_back()
        finally:
            self._slot = None

    def _take_slot(self) -> None:
        """Hold exactly what the step needs. A kill at the end of an earlier block may have left its slot taken."""
        self._slot_used = True
        held = pools.held(self._journal, self.id)
        if held - {self._slot}:
            with self._journal.tx("release"):
                pools.release(self._journal, self.id)
            self._engine.poke()
            held.clear()
        if self._slot is not None and self._slot not in held and not self._engine.grant_now(self.id, *self._slot):
            self._park("slot", need=self._slot)

    async def room(self, name: str, most: int) -> None:
        """Wait until fewer than `most` results of this lane wait for a decision; remembered by name."""
        self._claim(name, type(None))
        if name in self._done:
            return
        with self._journaling():
            self._boundary()
            self._take_slot()
            if (open_ := backlog.waiting(self._journal, self.lane)) >= most:
                hold = backlog.backlog(self.lane, open_, most)
                came = lambda: backlog.waiting(self._journal, self.lane) < most  # noqa: E731 (as in `_boundary`)
                self._park(backlog.wait_for(most), hold=hold, came=came)
            with self._journal.tx(name):
                self._record(name, "null", self._journal.clock.now())

    def _give_back(self) -> None:
        """A block whose steps were all finished before used no slot: what is held was granted for a later one."""
        if self._slot is None or not self._slot_used or self._engine.closing or self.over is not None:
            return
        with self._journaling():
            if self._slot in pools.held(self._journal, self.id):
                with self._journal.tx("release"):
                    pools.release(self._journal, self.id)
                self._engine.poke()

    # -- saying where it is ---------------------------------------------------------------------------------

    def at(self, phase: str) -> None:
        """Say which phase the task is in. A replay of finished steps says nothing anew."""
        self.here = phase

    def _say_phase(self) -> None:
        if self.here != self._phase:
            with self._journal.tx(f"phase {self.here}"):
                self._journal.db.execute("UPDATE task SET phase = ? WHERE id = ?", (self.here, self.id))
                self.tell_phase()
            self._phase = self.here

    def tell_phase(self) -> None:
        """Put a new phase on record, inside a transaction that sets it."""
        if self.here != self._phase:
            self._journal.tell("task.phase", task=self.id, why=self.here)

    # -- waiting --------------------------------------------------------------------------------------------

    async def signal(
        self,
        name: str,
        kind: type[T],
        *,
        hold: Hold | None = None,
        key: str = "",
        timeout: float | None = None,
        refuse: Callable[[T], str] | None = None,
        retries: bool = False,
    ) -> T | None:
        """The next signal of that name, or None past the time-out (seconds). Parks until then.

        retries: None also when the hold waited so long that the policy has it tried again.

        key names the wait where one signal is waited for more than once. refuse: why a signal is none, asked once,
        before it is taken; empty takes it.
        """
        step = f"signal {key or name}"
        self._claim(step, kind)
        if step not in self._done:
            with self._journaling():
                self._boundary()
                self._await_signal(step, name, kind, hold, timeout, refuse, retries=retries)
        return None if self._done[step] == "null" else decode(self._done[step], kind)

    def _await_signal(
        self,
        step: str,
        name: str,
        kind: Any,
        hold: Hold | None,
        timeout: float | None,
        refuse: Callable[[Any], str] | None,
        *,
        retries: bool,
    ) -> None:
        """Record the answer, or park."""
        while (row := self._inbox(name)) is not None:
            try:
                value = decode(row["payload"], kind)
            except MsgspecError as error:
                self._refuse(row["id"], step, error)
                continue
            if refuse is not None and (why := refuse(value)):
                self._refuse(row["id"], step, why)
            else:
                self._answer(step, row["payload"], "signal.taken", row["id"])
                return
        if retries and (row := self._inbox(RETRIED)) is not None:
            self._answer(step, "null", "signal.timeout", row["id"])
            return
        until = None if timeout is None else self._deadline(step, timeout)
        if until is not None and self._journal.clock.now() >= until:
            self._answer(step, "null", "signal.timeout")
            return
        self._park(f"signal {name}", until=until, hold=hold, came=lambda: self._inbox(name) is not None)

    def _inbox(self, name: str) -> sqlite3.Row | None:
        sql = "SELECT id, payload FROM signal WHERE task = ? AND name = ? AND step IS NULL ORDER BY id LIMIT 1"
        return self._journal.db.execute(sql, (self.id, name)).fetchone()

    def _refuse(self, signal: int, step: str, error: MsgspecError | str) -> None:
        """An answer of the wrong shape is none; kept, it would fail the task at every replay."""
        with self._journal.tx("refuse"):
            self._journal.db.execute("UPDATE signal SET step = 'refused' WHERE id = ?", (signal,))
            self._journal.tell("signal.refused", task=self.id, why=f"{step}: {error}")

    def _answer(self, step: str, payload: str, what: str, signal: int | None = None) -> None:
        with self._journal.tx(step):
            self._record(step, payload, self._journal.clock.now())
            if signal is not None:
                self._journal.db.execute("UPDATE signal SET step = ? WHERE id = ?", (step, signal))
            self._journal.tell(what, task=self.id, why=step)

    def _deadline(self, step: str, timeout: float) -> float:
        name = f"deadline of {step}"
        if name not in self._done:
            now = self._journal.clock.now()
            with self._journal.tx(name):
                self._record(name, encode(now + timeout).decode(), now)
        return decode(self._done[name], float)

    async def sleep(self, name: str, seconds: float, hold: Hold | None = None) -> None:
        """Park for this long."""
        await self.signal(f"sleep {name}", type(None), timeout=seconds, hold=hold)

    async def hold(self, name: str, hold: Hold) -> None:
        """Park with this hold until a person resumes the task or `hold.until` has come; remembered by name."""
        until = hold.until
        left = None if until is None else max(0.0, until - self._journal.clock.now())
        await self.signal(f"{RELEASE}{name}", type(None), key=f"hold {name}", hold=hold, timeout=left)

    async def ask(self, name: str, hold: Hold, key: str = "") -> str:
        """Park until a person answers in words."""
        answer = await self.signal(name, str, key=key, hold=hold)
        assert answer is not None, "a wait without a time-out ends by its signal"
        return answer

    async def after(self, task: str, good: str) -> None:
        """Wait until another task has ended in phase `good`. One that ended otherwise holds this one."""
        step = f"after {task}"
        self._claim(step, str)
        if step in self._done:
            return
        with self._journaling():
            self._boundary()
            self._await_end(step, task, good)

    def _await_end(self, step: str, task: str, good: str) -> None:
        """Record that the other task ended well, or park."""

        def state() -> tuple[bool, str]:
            row = self._journal.db.execute("SELECT state, phase FROM task WHERE id = ?", (task,)).fetchone()
            return (row["state"] == "done", row["phase"]) if row else (True, "gone")

        ended, phase = state()
        if ended and phase == good:
            self._answer(step, encode(phase).decode(), "dependency.met")
            return
        why = f"{task}, which this task waits for, is {phase}" if ended else f"waits for {task}"
        hold = Hold(reason=HoldReason.DEPENDENCY, why=why, releases_on=f"{task} lands, or `overnight cancel {self.id}`")
        self._park(f"task {task}", hold=hold, came=lambda: state() == (True, good))


def paused(how: str) -> Hold:
    """The hold of a paused task."""
    return Hold(reason=HoldReason.PAUSED, why="a person paused it", releases_on=how)
