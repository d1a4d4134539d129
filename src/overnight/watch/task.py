"""One task: its story, what its run does now, what it changed, what is known about that, and what it cost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.widgets import Footer, Static, TabbedContent, TabPane

from overnight.errors import OvernightError
from overnight.report.rundir import folder_of
from overnight.report.views import TaskRow
from overnight.watch import told as texts
from overnight.watch.look import Look, TaskEye, Told, change, evidence
from overnight.watch.page import Page, Sheaf
from overnight.watch.steer import Steering
from overnight.watch.tail import Tail

TABS = {"story": "Story", "live": "Live", "change": "Change", "evidence": "Evidence", "cost": "Cost"}


class Sheet(VerticalScroll):
    """A text that scrolls; it is drawn again only when it changed, and stays at its end when it was there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", show=False),
        Binding("k", "scroll_up", show=False),
        Binding("g", "scroll_home", show=False),
        Binding("G", "scroll_end", show=False),
        Binding("ctrl+d", "page_down", show=False),
        Binding("ctrl+u", "page_up", show=False),
    ]

    def __init__(self, *, follows: bool = False) -> None:
        super().__init__()
        self._follows, self._shown = follows, Sheaf()

    def compose(self) -> ComposeResult:
        yield Static(Text("Looking …"))

    def show(self, text: Sheaf) -> None:
        """This from now on."""
        if text == self._shown:
            return
        first = not self._shown.rows
        at_end = self._follows and (first or self.scroll_offset.y >= self.max_scroll_y - 1)
        self._shown = text
        self.query_one(Static).update(text)
        if at_end:
            self.call_after_refresh(self.scroll_end, animate=False)


class TaskScreen(Steering):
    """See above."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(n), f"tab('{name}')", title, show=False) for n, (name, title) in enumerate(TABS.items(), 1)),
        Binding("left,h", "turn(-1)", show=False, priority=True),
        Binding("right", "turn(1)", show=False, priority=True),
        Binding("escape,q,backspace", "app.pop_screen", "Back", key_display="esc"),
    ]

    def __init__(self, task: str) -> None:
        super().__init__()
        self._subject = task
        self._told: Told | None = None
        self._tail: tuple[str, Tail] | None = None
        #: What each tab that is read on demand was read for.
        self._read = dict[str, object]()
        self._busy = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield Static(Text("Looking …"), id="head")
        with TabbedContent(id="tabs"):
            for n, (name, title) in enumerate(TABS.items(), 1):
                with TabPane(f"{n} {title}", id=name):
                    yield Sheet(follows=name == "live")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self._eye = TaskEye(self.app.site, self._subject)
        self.ready = True
        self._refresh()
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self._focus)

    # -- what is shown ----------------------------------------------------------------------------------------------

    def take(self, look: Look) -> None:  # noqa: ARG002 (it looks for itself)
        self._refresh()

    def beat(self) -> None:
        """Something was written; perhaps by its run."""
        self._refresh()

    def repaint(self) -> None:
        """The colours are others."""
        self._read.clear()
        with suppress(NoMatches):
            self._draw(entries=True)
            self._open()

    def _refresh(self) -> None:
        if not self._busy.locked():
            self.beside(self._look, "look")

    async def _look(self) -> None:
        async with self._busy:
            try:
                told = await asyncio.to_thread(self._eye.look)
                grown = await asyncio.to_thread(self._read_tail, told or self._told)
            except (OvernightError, sqlite3.Error, OSError) as error:
                self.query_one("#head", Static).update(self.page().line((str(error), "bad")).text)
                return
        if told is not None:
            self._told = told
            self.suit()
            self._open()
        if told is not None or grown:
            self._draw(entries=grown or told is not None)

    def _read_tail(self, told: Told | None) -> bool:
        """Whether its run's record grew."""
        if told is None or told.run is None:
            return False
        if self._tail is None or self._tail[0] != told.run:
            self._tail = told.run, Tail(folder_of(self.app.site.home, told.run))
        return self._tail[1].read()

    def _draw(self, *, entries: bool) -> None:
        told = self._told
        if told is None:
            return
        self.query_one("#head", Static).update(texts.head(told, self.page()))
        self._sheet("story").show(texts.timeline(told, self.page()))
        self._sheet("cost").show(texts.cost(told, self.page()))
        if entries:
            run, found = (self._tail[0], self._tail[1].entries) if self._tail is not None else (None, ())
            self._sheet("live").show(texts.live(tuple(found), run, self.page()))

    def _tick(self) -> None:
        if self._told is not None and self.is_current:
            self.query_one("#head", Static).update(texts.head(self._told, self.page()))

    def _sheet(self, name: str) -> Sheet:
        return self.query_one(f"#{name} Sheet", Sheet)

    # -- tabs -------------------------------------------------------------------------------------------------------

    @property
    def _tabs(self) -> TabbedContent:
        return self.query_one(TabbedContent)

    def action_tab(self, name: str) -> None:
        self._tabs.active = name

    def action_turn(self, by: int) -> None:
        names = list(TABS)
        if self._tabs.active in names:
            self._tabs.active = names[(names.index(self._tabs.active) + by) % len(names)]

    @on(TabbedContent.TabActivated)
    def _activated(self) -> None:
        self._open()
        self._focus()

    def _focus(self) -> None:
        with suppress(NoMatches):  # who went on at once has taken it down
            if self._tabs.active:
                self._sheet(self._tabs.active).focus()

    def _open(self) -> None:
        """Read what is only read when it is looked at."""
        told, name = self._told, self._tabs.active
        if told is None or name not in ("change", "evidence"):
            return
        runs = told.story.runs
        mark = [(run.id, run.result and run.result.commit, run.examined, len(run.opinions)) for run in runs]
        if self._read.get(name) != mark:
            self._read[name] = mark
            self.beside(partial(self._read_tab, name, told), name, exclusive=True)

    async def _read_tab(self, name: str, told: Told) -> None:
        site = self.app.site

        def made() -> Sheaf:
            if name == "change":
                return texts.change(change(site, told.story), self.page())
            return texts.evidence(evidence(site, told.story), self.page())

        self._sheet(name).show(await asyncio.to_thread(_or_why, made, self.page()))

    @property
    def target(self) -> TaskRow | None:
        return self._told.story.row if self._told is not None else None


def _or_why(make: Callable[[], Sheaf], page: Page) -> Sheaf:
    """What can't be shown says why."""
    try:
        return make()
    except (OvernightError, sqlite3.Error, OSError) as error:
        return page.line((str(error), "dim")).text
