"""One run's context: kept before it is cut, put back after, and handed over when it is full.

Before the agent's CLI sums a session up, its transcript is copied and its work tree put into a ref. What must not be
lost is laid out in files that the session is given at its next start; each text ends with a mark that is drawn for this
cut, and the next request to the model shows whether it arrived. When it did not, it goes with the next hooks' answers;
when that does not help either, the run hands over to a fresh one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from overnight.errors import OvernightError
from overnight.missions import memory
from overnight.missions.context import ContextUse, asking, bounded, full, marked, marks, opening, window
from overnight.missions.hold import Held
from overnight.missions.run import RunSpec
from overnight.ports import Agent, AgentEvent, Launch, Moment, Place
from overnight.warden.events import (
    ContextCut,
    ContextFull,
    ContextLost,
    ContextRestored,
    MemoryNoted,
    Record,
)
from overnight.warden.http import Request
from overnight.warden.notes import Notes
from overnight.warden.transcripts import Transcripts

#: Seconds that a checkpoint may take. The agent waits meanwhile.
CHECKPOINT_S = 120.0
#: Cuts of one run that are prepared. A program in the box could ask for them, too.
MOST_CUTS = 200
#: Troubles that are told in the run's outcome.
MOST_TROUBLES = 5

#: Puts the work tree into a ref; its name.
Checkpoint = Callable[[], Awaitable[str]]


class Context:
    """The context of one run."""

    def __init__(
        self,
        folder: Path,
        spec: RunSpec,
        agent: Agent,
        record: Record,
        without: Callable[[str], str],
        *,
        checkpoint: Checkpoint | None = None,
        known: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        """record: puts an event on record, and raises OSError when it can't. without: takes secrets out of a text.
        known: tokens that a model's context holds; it may take its time."""
        self._folder, self._spec, self._agent, self._record = folder, spec, agent, record
        self._checkpoint, self._known = checkpoint, known
        self._notes, self._transcripts = Notes(folder, without), Transcripts(folder)
        self._place: Place | None = None
        self._launch: Launch | None = None
        #: The texts that were laid out so far, parts of the last one, and cuts that were prepared.
        self._token, self._n, self._count, self._cuts = secrets.token_hex(8), 0, 0, 0
        #: Marks that the next request of the main session must hold; empty when nothing is awaited.
        self._awaited: tuple[bytes, ...] = ()
        #: What goes with the next hooks' answers, one each: (`part` of a restoration, `ask` or `faults`, text).
        self._texts: deque[tuple[str, str]] = deque()
        self._prepared = False
        #: Cuts in a row after which something was missing.
        self._missing = 0
        self._tokens = self._size = 0
        self._window: asyncio.Future[int | None] | None = None
        #: Changes of the notes when the agent was asked to hand over; None before that.
        self._asked: int | None = None
        self._told, self._calls, self._nearly_full = False, 0, ""
        self._one = asyncio.Lock()
        self._compactions = self._restored = self._lost = 0
        self._ref: str | None = None
        self._troubles: list[str] = []
        #: Why the run hands over now; None while it goes on.
        self.stop: str | None = None
        #: Set with it.
        self.alarm = asyncio.Event()
        #: The agent waits for us.
        self.busy = False

    # -- the start ------------------------------------------------------------------------------------------

    def begin(self, place: Place, launch: Launch) -> None:
        """Lay out what the agent finds at its start. Raises OSError."""
        self._place, self._launch = place, launch
        self._notes.begin(self._spec.memory)
        if not launch.hooked:
            return
        (Path(place.given) / "task.md").write_text(self._spec.prompt)
        self._lay_out()
        self._await(self._count if self._spec.resume is not None else 1)

    @property
    def seen(self) -> bool:
        """Whether the agent's requests pass where somebody looks at them."""
        return self._launch is not None and self._launch.hooked and self._launch.route.proxied

    def _lay_out(self) -> tuple[str, ...]:
        """The texts for the next start of the session, under marks of their own."""
        assert self._place is not None
        self._n += 1
        given = Path(self._place.given)
        text = bounded(
            self._spec.core or self._spec.prompt, self._notes.memory, self._place.home, str(given / "task.md")
        )
        token = f"{self._token}.{self._n}"
        parts, start = marked(text, token), marked(opening(self._place.home), token)
        for name, content in self._agent.reminders(parts, start[0]).items():
            part = self._folder / f"{name}.part"
            part.write_bytes(content)
            part.replace(given / name)
        self._count = len(parts)
        return parts

    def _await(self, count: int) -> None:
        if self.seen:
            self._awaited = tuple(each.encode() for each in marks(f"{self._token}.{self._n}", count))

    # -- cuts -----------------------------------------------------------------------------------------------

    async def moment(self, moment: Moment) -> None:
        """The session is about to be summed up, or was. Never raises for what could not be kept: it is told."""
        if moment.kind == "compacting":
            self.busy = True
            try:
                async with self._one:
                    await self._prepare(moment.transcript)
            finally:
                self.busy = False
        elif moment.kind == "compacted":
            self._compactions += 1
            self._prepared, prepared = False, self._prepared
            if prepared:
                self._await(self._count)
            else:
                self._put_back("nobody was asked before it was cut")

    async def _prepare(self, transcript: str) -> None:
        backup, ref, troubles = "", "", list[str]()
        self._cuts += 1
        if self._cuts > MOST_CUTS:
            troubles.append(f"it was to be cut more than {MOST_CUTS} times")
        else:
            try:
                ref = await self._checkpointed()
            except (OSError, TimeoutError, OvernightError, Held) as error:
                troubles.append(f"no checkpoint of the work tree: {error or 'it took too long'}")
            try:
                await self._transcripts.settled(transcript)
                backup = str(await asyncio.to_thread(self._transcripts.copy, transcript, self._cuts))
            except (OSError, ValueError) as error:
                troubles.append(f"no copy of the session: {error}")
        self._ref = ref or self._ref
        try:
            self.look()
            self._lay_out()
            self._prepared = True
        except OSError as error:
            troubles.append(f"what must not be lost can't be laid out: {error}")
        self._troubles += troubles
        self._say(ContextCut(cut=self._cuts, backup=backup, checkpoint=ref, troubles=tuple(troubles)))

    async def _checkpointed(self) -> str:
        if self._checkpoint is None:
            raise FileNotFoundError("nobody said where the repository is")
        async with asyncio.timeout(CHECKPOINT_S):
            return await self._checkpoint()

    # -- does it arrive? ------------------------------------------------------------------------------------

    def tap(self, request: Request) -> Nobody:
        """A request to the model. The first one of the main session after a cut shows whether all was put back."""
        if self._awaited and self._is_main(request):
            awaited, self._awaited = self._awaited, ()
            gone = sum(1 for mark in awaited if mark not in request.body)
            if gone:
                self._put_back(f"{gone} of {len(awaited)} parts did not arrive")
            else:
                self._restored, self._missing = self._restored + 1, 0
                self._say(ContextRestored(cut=self._cuts, parts=len(awaited)))
        return NOBODY

    def _is_main(self, request: Request) -> bool:
        assert self._launch is not None
        aside = self._launch.aside.encode()
        return request.path.endswith("/messages") and not (aside and any(True for _ in request.values(aside)))

    def _put_back(self, why: str) -> None:
        """What must not be lost is missing: it goes with the next hooks' answers. Missing again, the run hands over."""
        self._awaited = ()
        self._missing, self._lost = self._missing + 1, self._lost + 1
        self._say(ContextLost(cut=self._cuts, why=why))
        if self._missing > 1:
            self._hand_over(f"what must not be lost was missing from its context again: {why}")
            return
        try:
            self._texts.extendleft(("part", part) for part in reversed(self._lay_out()))
        except OSError as error:
            self._hand_over(f"what must not be lost was missing from its context, and can't be laid out: {error}")

    # -- how full it is -------------------------------------------------------------------------------------

    def said(self, event: AgentEvent) -> None:
        """Something in the agent's output: its model, and what an answer took."""
        if event.model and self._window is None and self._spec.limits.context.window is None:
            self._window = asyncio.ensure_future(asyncio.to_thread(self._known, event.model))
        if event.turn and event.tokens:
            self._tokens = event.tokens
        self._fill()

    def _fill(self) -> None:
        if self._asked is not None or self._launch is None or not self._launch.hooked:
            return
        limits = self._spec.limits.context
        if self._window is not None and not self._window.done():
            return
        known = self._window.result() if self._window is not None else None
        self._size = window(limits, known)
        if not full(self._tokens, limits, known):
            return
        assert self._place is not None
        self._asked = self._notes.changes
        self._nearly_full = f"its context was nearly full ({self._tokens:,} of {self._size:,} tokens)"
        self._say(ContextFull(tokens=self._tokens, window=self._size))
        self._texts.append(("ask", asking(self._tokens, self._size, limits.calls, self._place.home)))

    @property
    def asked(self) -> bool:
        """Whether the agent was told to hand over."""
        return self._told

    def called(self) -> None:
        """The agent wants to call a tool. After it was asked to hand over, it has so many of them."""
        if self._told and self.stop is None:
            self._calls += 1
            if self._calls > self._spec.limits.context.calls:
                self._hand_over(self._nearly_full)

    def _hand_over(self, why: str) -> None:
        self.stop = self.stop or why
        self.alarm.set()

    # -- what the agent is told -----------------------------------------------------------------------------

    @property
    def note(self) -> str:
        """What goes with the next answer of its hooks; empty when there is nothing."""
        return self._texts[0][1] if self._texts else ""

    def noted(self) -> None:
        """It was told."""
        kind, _ = self._texts.popleft()
        if kind == "ask":
            self._told = True
        elif kind == "part" and not any(kind == "part" for kind, _ in self._texts):
            self._await(self._count)

    # -- notes ----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take the agent's notes up, if they have changed."""
        before = self._notes.faults
        try:
            if not self._notes.look():
                return
        except OSError as error:
            self._troubles.append(f"the notes can't be kept: {error}")
            return
        faults = self._notes.faults
        self._say(MemoryNoted(entries=_entries(self._notes.memory), faults=tuple(each.words for each in faults)))
        if faults and faults != before:
            self._texts.append(("faults", f"Note from the supervisor: {memory.told(faults)}"))

    # -- the end --------------------------------------------------------------------------------------------

    def unfinished(self) -> str | None:
        """Why an agent that ended its turn has handed over, and is not done; None when it may be."""
        self.look()
        if self._missing:
            return "what must not be lost was missing from its context at its end"
        if not self._told or self._asked is None:
            return None
        if self._notes.changes > self._asked and not self._notes.memory.next:
            return None  # it wrote that nothing is left
        return self._nearly_full

    def close(self) -> None:
        """Nothing more is to come."""
        if self._window is not None:
            self._window.cancel()

    @property
    def notes(self) -> str:
        """What the next run begins with."""
        self.look()
        return self._notes.text or self._spec.memory

    @property
    def use(self) -> ContextUse | None:
        """What became of the context; None for an agent of which nobody sees it."""
        if self._launch is None or not self._launch.hooked:
            return None
        return ContextUse(
            tokens=self._tokens, window=self._size, compactions=self._compactions,
            restored=self._restored if self.seen else None,
            lost=self._lost, checkpoint=self._ref, troubles=tuple(self._troubles[:MOST_TROUBLES]),
        )  # fmt: skip

    def _say(self, event: ContextCut | ContextRestored | ContextLost | ContextFull | MemoryNoted) -> None:
        """On record, if that can be. It lets nothing pass that would not pass without it."""
        with contextlib.suppress(OSError):
            self._record(event)


class Nobody:
    """Hears an exchange, and does nothing."""

    def begun(self, status: int, headers: Mapping[str, str]) -> None: ...

    def feed(self, piece: bytes) -> None: ...

    def over(self, *, whole: bool, left: bool) -> None: ...


NOBODY = Nobody()


def _entries(notes: memory.Memory) -> int:
    return len(notes.decisions) + len(notes.progress) + len(notes.discoveries) + len(notes.next)
