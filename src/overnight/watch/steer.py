"""What a screen with a task under its cursor can do with it. Everything goes the way of the command line's verbs."""

from __future__ import annotations

import asyncio
import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, TypeVar

from rich.style import Style
from textual import getters
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.screen import ModalScreen, Screen

from overnight.api import acts
from overnight.api.shapes import Approve, Done, Reject
from overnight.errors import OvernightError
from overnight.missions.hold import HoldReason
from overnight.missions.judging import BLOCKED
from overnight.missions.task import Phase
from overnight.report.journal import reading, snapshot
from overnight.report.status import read_pauses
from overnight.report.views import State, TaskRow
from overnight.report.wants import wants
from overnight.watch.ask import Confirm, Help, Plan, Write
from overnight.watch.host import Host
from overnight.watch.ink import Ink
from overnight.watch.look import Look, Proposal, proposal
from overnight.watch.page import Page
from overnight.watch.told import judges, letter, named

#: Who acts, for the record; a decision is the user's of this machine.
ACTOR = "watch"
_PAUSED = ("pause", "stop")
A = TypeVar("A")
Work = Callable[[], Coroutine[Any, Any, None]]


class Steering(Screen[None]):
    """A screen that acts on a task."""

    app = getters.app(Host)
    #: It is there and may be told of changes.
    ready = False
    #: The actions that meant something when the keys were shown.
    _suited: tuple[str, ...] | None = None
    #: A key was pressed whose question is not answered yet: the same key again does not ask twice.
    _asking = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "approve", "Approve"),
        Binding("x", "reject", "Reject"),
        Binding("w", "answer", "Answer"),
        Binding("r", "again", "Try again"),
        Binding("p", "pause", "Pause"),
        Binding("s", "stop", "Stop"),
        Binding("c", "cancel", "Cancel"),
        Binding("P", "pause_all", "Pause all", show=False),
        Binding("S", "stop_all", "Stop all", show=False),
        Binding("l", "light", "Light or dark", show=False),
        Binding("question_mark", "help", "Keys", key_display="?"),
    ]

    @property
    @abstractmethod
    def target(self) -> TaskRow | None:
        """The task that is meant."""

    @abstractmethod
    def take(self, look: Look) -> None:
        """Something changed."""

    def beat(self) -> None:
        """Something was written that changes nothing in the picture of everything."""

    @abstractmethod
    def repaint(self) -> None:
        """The colours are others."""

    # -- which keys mean something now ------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 (Textual's)
        fits = _FITS.get(action)
        if fits is None:
            return True
        row = self.target
        return row is not None and fits(row)

    def suit(self) -> None:
        """Show other keys, if others mean something now."""
        found = tuple(name for name in _FITS if self.check_action(name, ()))
        if found != self._suited:
            self._suited = found
            self.refresh_bindings()

    # -- deciding -----------------------------------------------------------------------------------------------

    def action_approve(self) -> None:
        self._begin(self._decide, approved=True)

    def action_reject(self) -> None:
        self._begin(self._decide, approved=False)

    async def _decide(self, row: TaskRow, *, approved: bool) -> None:
        site = self.app.site
        found = await asyncio.to_thread(proposal, site, row.id, "approve" if approved else "reject")
        commit = found.examined.commit
        blocked = found.why.startswith(BLOCKED)
        page = self._about(found)
        if approved:
            title = "Approve although it is blocked: this commit lands" if blocked else "Approve: this commit lands"
            yes = "Approve, I mean it" if blocked else "Approve this commit"
            if await self._sure(Plan(title=title, text=page.text, yes=yes, grave=blocked)):
                given = Approve(commit=commit, anyway=blocked)
                await self._do(lambda: acts.approve(site, row.id, given, ACTOR))
            return
        plan = Plan(title="Reject: this commit does not land, the task ends", text=page.text, yes="Reject this commit", grave=True)  # fmt: skip
        why = await self._answered(Write(plan, "Why not? It is kept with the task.", needed=True))
        if why is not None:
            refused = Reject(commit=commit, why=why[:2000])
            await self._do(lambda: acts.reject(site, row.id, refused, ACTOR))

    def _about(self, found: Proposal) -> Page:
        page, risk = self.page(), found.examined.risk
        page.field("task", (f"{found.row.id} ", "strong"), found.row.title)
        page.field("into", f"{found.target} of {found.repo}")
        page.field("commit", (found.examined.commit, "strong"))
        page.field("files", named(found.changed))
        tone = {"low": "good", "medium": "warn", "high": "bad"}.get(str(risk.band), "warn")
        page.field("risk", (f"{risk.score} of 100, {risk.band}", tone))
        for factor in risk.factors[:4]:
            page.line((f"        {factor.points:+.0f} {factor.why}", "dim"))
        page.field("waits", (found.why, "bad" if found.why.startswith(BLOCKED) else ""))
        for words in found.examined.tampering:
            page.line((f"✗ the proof: {words}", "bad"))
        judges(found.opinions, page)
        return page

    def action_answer(self) -> None:
        self._begin(self._answer)

    async def _answer(self, row: TaskRow) -> None:
        site = self.app.site

        def asked() -> Any:
            with reading(site.home) as db, snapshot(db):
                return wants(db, (row,))[0]

        want = await asyncio.to_thread(asked)
        page = self.page().field("task", (f"{row.id} ", "strong"), row.title)
        if row.hold is not None:
            page.field("asks", row.hold.why)
        for n, question in enumerate(want.questions, 1):
            page.line((f"{n}  {question.text}", "strong"))
            for k, choice in enumerate(question.choices):
                best = "  (recommended)" if k == question.default else ""
                page.line(f"    {letter(k)}  {choice}", (best, "dim"))
        hint = "`b`, `1=b 2=in own words`, `defaults`, or in your own words" if want.questions else "In your own words"
        plan = Plan(title="Answer: the task goes on with it", text=page.text, yes="Send the answer")
        words = await self._answered(Write(plan, f"{hint}. No words approve anything.", needed=True))
        if words is not None:
            await self._do(lambda: acts.answer(site, row.id, words, ACTOR))

    # -- steering -----------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        self._begin(self._pause)

    async def _pause(self, row: TaskRow) -> None:
        site = self.app.site
        if _is_paused(row):
            if await self._sure_of(row, "Resume: the task goes on", "Resume it"):
                await self._do(lambda: acts.resume(site, row.id, ACTOR))
        elif await self._sure_of(row, "Pause: nothing new of it starts; what runs goes on to its end", "Pause it"):
            await self._do(lambda: acts.pause(site, row.id, ACTOR))

    def action_again(self) -> None:
        self._begin(self._again)

    async def _again(self, row: TaskRow) -> None:
        site = self.app.site
        if row.state is State.ENDED:
            if await self._sure_of(row, "Begin anew, from the target as it is now", "Begin it anew"):
                await self._do(lambda: acts.retry(site, row.id, ACTOR))
        elif await self._sure_of(row, "Try again now", "Try it now"):
            await self._do(lambda: acts.resume(site, row.id, ACTOR))

    def action_stop(self) -> None:
        self._begin(self._stop)

    async def _stop(self, row: TaskRow) -> None:
        if await self._sure_of(row, "Stop: its run ends now, its work is kept; then it is paused", "Stop it"):
            await self._do(lambda: acts.stop(self.app.site, row.id, ACTOR))

    def action_cancel(self) -> None:
        self._begin(self._cancel)

    async def _cancel(self, row: TaskRow) -> None:
        title = "Cancel for good: its run ends, its work is kept on a ref"
        if await self._sure_of(row, title, "Cancel the task", grave=True):
            await self._do(lambda: acts.cancel(self.app.site, row.id, ACTOR))

    def action_pause_all(self) -> None:
        self._begin(self._pause_all, task=False)

    async def _pause_all(self) -> None:
        site = self.app.site
        paused = await asyncio.to_thread(read_pauses, site.home)
        page = self.page()
        if paused:
            for each in paused:
                page.line(f"{each.repo or 'Everything'} was paused by {each.by}.")
            page.line("Tasks that were paused one by one go on too.")
            if await self._sure(Plan(title="Resume everything", text=page.text, yes="Resume everything")):
                await self._do(lambda: acts.resume_all(site, None, ACTOR))
            return
        page.line("Nothing new starts in any repo. What runs goes on to its end.")
        if await self._sure(Plan(title="Pause everything", text=page.text, yes="Pause everything")):
            await self._do(lambda: acts.pause_all(site, None, ACTOR))

    def action_stop_all(self) -> None:
        self._begin(self._stop_all, task=False)

    async def _stop_all(self) -> None:
        page = self.page().line("Every run that goes on is ended now; its work is kept. Nothing new starts.")
        plan = Plan(title="Stop everything", text=page.text, yes="Stop everything", grave=True)
        if await self._sure(plan):
            await self._do(lambda: acts.stop_all(self.app.site, ACTOR))

    # -- the rest -----------------------------------------------------------------------------------------------

    def action_light(self) -> None:
        self.app.change_theme()

    def action_help(self) -> None:
        self.app.push_screen(Help())

    @property
    def ink(self) -> Ink:
        return self.app.ink

    def tones(self, tone: str) -> Style:
        """What a tone looks like here."""
        return self.app.tone(tone)

    def page(self) -> Page:
        """An empty one."""
        return Page(self.ink, self.tones)

    def _begin(self, work: Callable[..., Coroutine[Any, Any, None]], *, task: bool = True, **how: Any) -> None:
        """Nothing that is asked or done keeps the screen from being drawn."""
        row = self.target
        if self._asking or (task and row is None):
            return
        self._asking = True
        self.beside(partial(self._with_word, partial(work, row, **how) if task else partial(work, **how)), "act")

    def beside(self, work: Work, group: str, *, exclusive: bool = False) -> None:
        """Beside everything else; it ends with the screen, perhaps before it has begun."""
        self.run_worker(partial(_while_it_stands, work), group=group, exclusive=exclusive)

    async def _with_word(self, work: Work) -> None:
        try:
            await work()
        except (OvernightError, sqlite3.Error, OSError) as error:
            self._asking = False
            self.say(str(error), bad=True)

    async def _sure_of(self, row: TaskRow, title: str, yes: str, *, grave: bool = False) -> bool:
        page = self.page().field("task", (f"{row.id} ", "strong"), row.title)
        page.field("repo", row.repo)
        page.field("now", f"{row.state}, {row.phase}" + (f" ({row.hold.reason})" if row.hold else ""))
        return await self._sure(Plan(title=title, text=page.text, yes=yes, grave=grave))

    async def _sure(self, plan: Plan) -> bool:
        return await self._answered(Confirm(plan))

    async def _answered(self, question: ModalScreen[A]) -> A:
        """What a person says to it; from then on the next may be asked, however long it takes to do this."""
        try:
            return await self.app.push_screen_wait(question)
        finally:
            self._asking = False

    async def _do(self, act: Callable[[], Done]) -> None:
        done = await asyncio.to_thread(act)
        self.say(done.message)
        self.app.touch()

    def say(self, words: str, *, bad: bool = False) -> None:
        """A word about what was done."""
        clean = self.ink.line(words)
        self.app.notify(clean, severity="error" if bad else "information", timeout=12 if bad else 6, markup=False)


async def _while_it_stands(work: Work) -> None:
    with suppress(NoMatches):  # its parts are taken down before whoever works for it is told
        await work()


def _is_paused(row: TaskRow) -> bool:
    return row.want in _PAUSED or (row.hold is not None and row.hold.reason == HoldReason.PAUSED)


def _waits(*reasons: HoldReason) -> Callable[[TaskRow], bool]:
    return lambda row: row.hold is not None and row.hold.reason in reasons


def _stuck(row: TaskRow) -> bool:
    """It waits, for no word of a person's."""
    return row.hold is not None and not _is_paused(row) and row.hold.reason not in (*acts.ASKS, HoldReason.NEEDS_ANSWER)


def _going(row: TaskRow) -> bool:
    return row.state is not State.ENDED


#: Action -> whether it means anything for a task.
_FITS: dict[str, Callable[[TaskRow], bool]] = {
    "approve": _waits(*acts.ASKS),
    "reject": _waits(*acts.ASKS),
    "answer": _waits(HoldReason.NEEDS_ANSWER),
    "pause": _going,
    "stop": lambda row: row.state is State.ACTIVE,
    "cancel": lambda row: _going(row) and row.want != "cancel",
    "again": lambda row: row.phase != Phase.LANDED if row.state is State.ENDED else _stuck(row),
}
