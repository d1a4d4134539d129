"""A flow: one straight-line async function, run again from the top after any interruption.

Finished steps are answered from the journal by name, so the code between them must depend on recorded values
only, and step names are unique and stable. A step is at-least-once: one that touches the world looks before it acts.
Waiting ends the coroutine; a waiting task is a row.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Generator
from functools import cache
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_type_hints

from msgspec import Struct

from overnight.durable import pools
from overnight.missions.codec import decode, encode
from overnight.missions.hold import Hold, HoldReason

if TYPE_CHECKING:
    from overnight.durable.engine import Engine

#: Signals that a resume sends to a task that parked in `Story.hold`.
RELEASE = "release "

T = TypeVar("T")
P = ParamSpec("P")


class Finish(Struct, frozen=True):
    """What a flow returns: its last phase, why, and a value to keep."""

    phase: str
    why: str
    value: Any


class Cancelled(Exception):
    """Raised once at a step that would have run, when the task was cancelled. Clean up in `except`, by steps."""


class Park(BaseException):
    """Ends the coroutine of a task that now waits in the journal."""

    def __init__(
        self,
        wait_for: str,
        *,
        until: float | None = None,
        hold: Hold | None = None,
        need: tuple[str, str] | None = None,
    ) -> None:
        self.wait_for, self.until, self.hold, self.need = wait_for, until, hold, need
        super().__init__(wait_for)


@cache
def _returns(fn: Callable[..., Any]) -> Any:
    """The type that a step's function is annotated to return: what its recorded outcome is read back as."""
    hints = get_type_hints(fn)
    if "return" not in hints:
        raise TypeError(f"{fn!r} must say what it returns: its outcome is read back from the journal")
    return hints["return"]


def returns(fn: Callable[..., Any]) -> Any:
    """See `_returns`; bound methods share their function's entry."""
    return _returns(getattr(fn, "__func__", fn))


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
        self._slot: tuple[str, str] | None = None
        self.unwinding = False
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
        self._boundary()
        self._take_slot()
        self._say_phase()
        started = self._journal.clock.now()
        value = await self._perform(fn(*args, **kwargs))
        output = encode(value).decode()
        with self._journal.tx(f"step {name}"):
            self._record(name, output, started)
            self._journal.tell(
                "step.done", task=self.id, why=name, seconds=round(self._journal.clock.now() - started, 3)
            )
        return decode(output, kind)

    def _claim(self, name: str, kind: Any) -> Any:
        if name in self._used:
            raise ValueError(f"two steps of {self.id} are called {name!r}: a name answers for one step only")
        self._used.add(name)
        return kind

    def _record(self, name: str, output: str, started: float) -> None:
        row = (self.id, self.life, name, output, started, self._journal.clock.now())
        self._journal.db.execute("INSERT INTO step VALUES (?, ?, ?, ?, ?, ?)", row)
        self._journal.db.execute("UPDATE task SET faults = 0, updated = ? WHERE id = ?", (row[5], self.id))
        self._done[name] = output

    async def _perform(self, work: Awaitable[T]) -> T:
        self._work = asyncio.ensure_future(work)
        try:
            return await self._work
        except asyncio.CancelledError:
            if self._engine.closing or not self._work.cancelled():
                raise
            self._boundary()
            raise
        finally:
            self._work = None

    def _boundary(self) -> None:
        """Between steps: the place where pauses and cancels take effect."""
        want = self._journal.db.execute("SELECT want FROM task WHERE id = ?", (self.id,)).fetchone()["want"]
        if self.unwinding:
            return
        if want == "cancel":
            self.unwinding = True
            raise Cancelled
        if want is not None:
            raise Park("pause", hold=paused(f"`overnight resume {self.id}`"))
        if scope := self._engine.pause_on(self.lane):
            raise Park(
                scope,
                hold=paused("`overnight resume`" if scope == "pause-all" else f"`overnight resume --repo {self.lane}`"),
            )

    # -- being stopped --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def stopped_by(self, stop: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> Generator[None]:
        """A step inside that is under way when the person says stop or cancel is ended by calling `stop`."""
        self._stop = lambda: stop(*args, **kwargs)
        try:
            yield
        finally:
            self._stop = None

    @contextlib.contextmanager
    def cancellable(self) -> Generator[None]:
        """A step inside may be dropped in mid-way when the person says stop or cancel. Others are let finish."""
        self._cancellable = True
        try:
            yield
        finally:
            self._cancellable = False

    async def interrupt(self) -> None:
        """Called by the engine when the person wants the step under way to end."""
        if self._work is None or self.unwinding:
            return
        if self._stop is not None:
            await self._stop()
        elif self._cancellable:
            self._work.cancel()

    # -- slots ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def slot(self, pool: str, key: str) -> Generator[None]:
        """Steps inside need a slot. It is taken when the first unfinished one wants to run, and given back at the
        end of the block or when the task parks. Not nested."""
        if self._slot is not None:
            raise ValueError("slots do not nest: two tasks could wait for each other")
        self._slot = (pool, key)
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
        if self._slot is None or pools.holds(self._journal, self.id, *self._slot):
            return
        if not self._engine.grant_now(self.id, *self._slot):
            raise Park("slot", need=self._slot)

    def _give_back(self) -> None:
        if self._slot is not None and pools.holds(self._journal, self.id, *self._slot):
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
                self._journal.tell("task.phase", task=self.id, why=self.here)
            self._phase = self.here

    # -- waiting --------------------------------------------------------------------------------------------

    async def signal(
        self, name: str, kind: type[T], *, hold: Hold | None = None, key: str = "", timeout: float | None = None
    ) -> T | None:
        """The next signal of that name, or None past the time-out (seconds). Parks until then.

        key names the wait where one signal is waited for more than once.
        """
        step = f"signal {key or name}"
        self._claim(step, kind)
        if step in self._done:
            return None if self._done[step] == "null" else decode(self._done[step], kind)
        self._boundary()
        sql = "SELECT id, payload FROM signal WHERE task = ? AND name = ? AND step IS NULL ORDER BY id LIMIT 1"
        row = self._journal.db.execute(sql, (self.id, name)).fetchone()
        if row is not None:
            return decode(self._answer(step, row["payload"], row["id"]), kind)
        until = None if timeout is None else self._deadline(step, timeout)
        if until is not None and self._journal.clock.now() >= until:
            self._answer(step, "null", None)
            return None
        raise Park(f"signal {name}", until=until, hold=hold)

    def _answer(self, step: str, payload: str, signal: int | None) -> str:
        with self._journal.tx(step):
            self._record(step, payload, self._journal.clock.now())
            if signal is not None:
                self._journal.db.execute("UPDATE signal SET step = ? WHERE id = ?", (step, signal))
            self._journal.tell("signal.taken" if signal is not None else "signal.timeout", task=self.id, why=step)
        return payload

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
        self._boundary()
        row = self._journal.db.execute("SELECT state, phase FROM task WHERE id = ?", (task,)).fetchone()
        phase = row["phase"] if row else "gone"
        if row and row["state"] == "done" and phase == good:
            self._answer(step, encode(phase).decode(), None)
            return
        why = (
            f"waits for {task}" if row and row["state"] != "done" else f"{task}, which this task waits for, is {phase}"
        )
        hold = Hold(reason=HoldReason.DEPENDENCY, why=why, releases_on=f"{task} lands, or `overnight cancel {self.id}`")
        raise Park(f"task {task}", hold=hold)


def paused(how: str) -> Hold:
    """The hold of a paused task."""
    return Hold(reason=HoldReason.PAUSED, why="a person paused it", releases_on=how)
