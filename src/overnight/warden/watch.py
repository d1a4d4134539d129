"""Does the run still get anywhere? Gathers the facts, has them judged, tells the agent, and says when to end.

The judging is `judge.stall`'s. Facts are put in line as they come, and taken one by one: before a pattern is found that
an edit would have ended, the work tree is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from overnight.guard.tools import SHELLS, WRITES
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.judge.stall import (
    BY_EDIT,
    ORDINARY,
    Called,
    ErrorClass,
    Failed,
    Finding,
    Looked,
    Observation,
    Passed,
    Progress,
    Said,
    Scope,
    State,
    Ticked,
    Turned,
    begin,
    classify,
    look,
)
from overnight.missions.globs import matching
from overnight.missions.run import RunSpec
from overnight.missions.units import show_duration
from overnight.ports import AgentEvent
from overnight.warden.events import Changed, Done, Record, Warned
from overnight.warden.steps import Steps
from overnight.warden.survey import Sight

#: Between two looks at the work tree: so long at least, and so many times what the last look took.
PAUSE_S, PAUSE_TIMES = 1.0, 10.0
#: A step that changes more files than this is put on record, whatever the repo's limits are.
MANY = 20
#: An agent without hooks is looked at so often.
UNSEEN_S = 15.0
#: Time is a fact too.
TICK_S = 1.0
#: A call that should be over is given so long to say so.
SLACK_S = 15.0
#: Calls under way that are remembered, and calls that the next run is told of.
MOST_OPEN, MOST_LAST = 1000, 5
_SHORT = 160


class Watch:
    """Watches one run. `run` takes the facts; the other methods only put them in line."""

    def __init__(self, spec: RunSpec, record: Record) -> None:
        """record: puts a warning on record, and raises OSError when it can't."""
        self._spec, self._limits = spec, spec.limits.stall
        self._record = record
        #: The run's runbook, if it has one.
        self.steps: Steps | None = None
        #: Whether the agent's calls are seen.
        self.hooked = False
        self._began = time.monotonic()
        self._facts: asyncio.Queue[Observation] = asyncio.Queue()
        self._state: State = begin(
            Scope(
                limits=self._limits,
                turns=spec.limits.turns,
                wall=spec.limits.wall,
                estimate=spec.estimate,
                calls=spec.limits.runbook.calls if spec.runbook is not None else None,
            )
        )
        #: Calls under way: id -> (fingerprint, what, when it should be over).
        self._open: dict[str, tuple[str, Call, float]] = {}
        self._notes: list[str] = []
        self._sight: Sight | None = None
        self._looked_at, self._look_took, self._counted_at = 0.0, 0.0, 0.0
        #: Calls that ended since the last look, and since the last one that counts.
        self._since, self._uncounted = 0, 0
        self._passing: set[str] = set()
        self._see: Callable[[], Awaitable[Sight | None]] = _blind
        self._last: deque[str] = deque(maxlen=MOST_LAST)
        self._error = ""
        #: Why the run must end; None while it may go on.
        self.stop: Finding | None = None
        #: Set with it.
        self.alarm = asyncio.Event()

    # -- facts ----------------------------------------------------------------------------------------------

    def asked(self, call: Call, verdict: Verdict) -> None:
        """A call was decided."""
        mark, at = _fingerprint(call), self._now()
        what = _gist(call)
        self._last.append(what)
        self._put(Called(at=at, fingerprint=mark, what=what))
        if verdict.decision is not Decision.ALLOW:
            kind = f"refused by the guard ({verdict.rule})"
            self._put(Failed(at=at, fingerprint=mark, error=ErrorClass(kind, mark)))
            return
        while len(self._open) >= MOST_OPEN:
            del self._open[next(iter(self._open))]
        self._open[call.id] = (mark, call, at + self._own_limit(call) + SLACK_S)

    def done(self, told: Done) -> None:
        """A call is over, as the agent says."""
        mark, call, _ = self._open.pop(told.call, ("", None, 0.0))
        if call is None:
            return
        if told.failed:
            self._error = " ".join(told.error.split())[-_SHORT:]
            error = classify(told.error, mark, told.tool)
            self._put(Failed(at=self._now(), fingerprint=mark, error=error))
        else:
            self._put(Passed(at=self._now(), fingerprint=mark, edited=call.tool in WRITES))
        self._check(call, passed=not told.failed)
        self._since += 1
        self._uncounted += 1

    def said(self, event: AgentEvent) -> None:
        """Something in the agent's output. What a program without hooks prints is no message of a model."""
        if event.turn:
            self._put(Turned(at=self._now(), tokens=event.tokens))
        if event.kind == "text" and self.hooked:
            self._put(Said(at=self._now(), text=event.text))

    def busy(self) -> bool:
        """Whether a call is under way that may still be silent: its own limit counts then."""
        now = self._now()
        for call in [call for call, (_, _, until) in self._open.items() if until < now]:
            del self._open[call]
        return bool(self._open)

    # -- what comes of them ---------------------------------------------------------------------------------

    @property
    def note(self) -> str:
        """What the agent is to be told with the next answer of its hooks; empty when there is nothing."""
        return "\n".join(self._notes)

    def tell(self, words: str) -> None:
        """Have something told to the agent."""
        self._notes.append(words)

    def end(self, found: Finding) -> None:
        """Have the run ended."""
        self._heed((found,))

    def noted(self) -> None:
        """It was told."""
        self._notes.clear()

    def blocker(self, why: str) -> str:
        """What the next run should know of this one's end: what stood in its way, and how far it came."""
        state, lines = self._state, [f"It was ended because {why}."]
        if self.stop is not None and self.stop.about:
            lines.append(f"It was about: {self.stop.about}")
        if self.hooked:
            lines.append(f"It had made {state.steps} tool calls in {show_duration(self._now())}; the last ones were:")
            lines += [f"- {call}" for call in self._last]
        if self._error:
            lines.append(f"The last error was: {self._error}")
        if self._sight is not None:
            lines.append(f"{len(self._sight.files)} files differ from where it started.")
        return "\n".join(lines)

    async def run(self, see: Callable[[], Awaitable[Sight | None]]) -> None:
        """Take facts until cancelled. see: one look at the work tree. Raises OSError when a warning can't be put on
        record."""
        self._see = see
        await self._look()
        while True:
            fact: Observation = Ticked(at=self._now())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    fact = await self._facts.get()
            await self._take(fact)
            if self._due():
                await self._look()

    async def _take(self, fact: Observation) -> None:
        state, found = look(self._state, fact)
        if self._since and any(each.condition in BY_EDIT for each in found):
            await self._look()
            state, found = look(self._state, fact)
        self._state = state
        self._heed(found)

    def _heed(self, found: tuple[Finding, ...]) -> None:
        for each in found:
            if each.stop and self.stop is None:
                self.stop = each
                self.alarm.set()
            elif not each.stop:
                self._record(Warned(condition=each.condition, why=each.why, about=each.about))
                self._notes.append(each.words)

    # -- looking --------------------------------------------------------------------------------------------

    def _due(self) -> bool:
        since = self._now() - self._looked_at
        if since < max(PAUSE_S, PAUSE_TIMES * self._look_took):
            return False
        return self._since > 0 if self.hooked else since >= UNSEEN_S

    async def _look(self) -> None:
        """See how far the work is. What can't be seen is unknown, and counts for nothing."""
        began, steps, self._since = self._now(), self._since, 0
        sight = await self._see()
        self._looked_at = self._now()
        self._look_took = self._looked_at - began
        changed = sight.since(self._sight) if sight is not None and self._sight is not None else 0
        fact = Looked(at=self._looked_at, progress=self._progress(sight), changed=changed, steps=steps, counts=self._counts(began))  # fmt: skip
        self._sight = sight or self._sight
        if (files := changed - ORDINARY * max(0, steps - 1)) > MANY:
            self._record(Changed(files=files))
        self._state, found = look(self._state, fact)
        self._heed(found)

    def _counts(self, at: float) -> bool:
        enough = (
            self._uncounted >= self._limits.look_calls
            if self.hooked
            else at - self._counted_at >= self._limits.look_every
        )
        if enough:
            self._uncounted, self._counted_at = 0, at
        return enough

    def _progress(self, sight: Sight | None) -> Progress:
        passing = len(self._passing) if self._spec.checks else None
        ticks = self.steps.ticks if self.steps is not None else None
        if sight is None:
            return Progress(passing=passing, ticks=ticks)
        inside = set(matching(sight.files, self._spec.paths))
        outside = tuple(path for path in sight.files if path not in inside) if self._spec.paths else ()
        return Progress(size=sight.size, files=len(sight.files), ticks=ticks, passing=passing, outside=outside)

    def _check(self, call: Call, *, passed: bool) -> None:
        """The agent ran a command; it may be one of the repo's own checks."""
        command = call.input.get("command")
        if call.tool not in SHELLS or not isinstance(command, str):
            return
        if self.steps is not None and not passed:
            self.steps.tried(command)
        if command.strip() in self._spec.checks:
            (self._passing.add if passed else self._passing.discard)(command.strip())

    def _own_limit(self, call: Call) -> float:
        """Seconds after which a call gives up by itself: what it names in milliseconds, within what the repo allows."""
        most, named = self._spec.limits.call, call.input.get("timeout")
        if isinstance(named, int | float) and not isinstance(named, bool) and named > 0:
            return min(named / 1000, most)
        return most

    def _put(self, fact: Observation) -> None:
        self._facts.put_nowait(fact)

    def _now(self) -> float:
        return time.monotonic() - self._began


async def _blind() -> Sight | None:
    """Nothing can be seen."""
    return None


def _fingerprint(call: Call) -> str:
    """Equal for the same tool with the same arguments; what the agent says about it is none."""
    told: Mapping[str, Any] = {key: value for key, value in call.input.items() if key != "description"}
    text = json.dumps([call.tool, told], sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def _gist(call: Call) -> str:
    for key in ("command", "file_path", "path", "pattern", "url"):
        if isinstance(text := call.input.get(key), str):
            return f"{call.tool}: {' '.join(text.split())[:_SHORT]}"
    return call.tool[:_SHORT]
