"""The first screen: health, what needs you and what goes on; or all tasks."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.widgets import ContentSwitcher, Footer, Input, Static

from overnight.errors import OvernightError
from overnight.report.tasks import tasks
from overnight.report.views import State, TaskRow
from overnight.watch.ask import Search
from overnight.watch.board import board
from overnight.watch.look import Look
from overnight.watch.rows import PAGE, Board, Ledger, Rows
from overnight.watch.steer import Steering
from overnight.watch.strip import strip
from overnight.watch.task import TaskScreen

_STATES: tuple[State | None, ...] = (None, *State)


class NowScreen(Steering):
    """See above."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "turn('board')", "Now", show=False),
        Binding("2", "turn('ledger')", "All tasks", show=False),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("f", "filter", "State", show=False),
        Binding("F", "repo", "Repo", show=False),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._look: Look | None = None
        self._state: State | None = None
        self._repo: str | None = None
        self._words = ""

    def compose(self) -> ComposeResult:
        yield Static(id="strip")
        with Horizontal(id="bar"):
            yield Static(id="views")
            yield Search(id="search", placeholder="title or id", compact=True, disabled=True)
        with ContentSwitcher(initial="board", id="lists"):
            yield Board("board")
            yield Ledger("ledger", self.ink)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self.ready = True
        self.query_one(Board).focus()
        self._title()
        self.set_interval(1.0, self._tick)
        if self.app.last is not None:
            self.take(self.app.last)

    # -- what is shown --------------------------------------------------------------------------------------------

    def take(self, look: Look) -> None:
        self._look = look
        self._draw_strip()
        self.query_one(Board).show(*board(look, self.ink))
        if self._switcher.current == "ledger":
            self.query_one(Ledger).anew(keep=True)
        self._title()
        self.suit()

    def _draw_strip(self) -> None:
        if self._look is not None:
            self.query_one("#strip", Static).update(strip(self._look, self.ink, self.size.width, self.tones))

    def _tick(self) -> None:
        """Ages grow, though nothing else changed."""
        if self.is_current:
            self.rows.refresh()

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width < 96, "narrow")
        self._draw_strip()

    def repaint(self) -> None:
        """The colours are others."""
        self._draw_strip()
        self._title()
        self.rows.refresh()

    def _title(self) -> None:
        on_board = self._switcher.current == "board"
        text = Text(" ")
        for key, name, on_ in (("1", "Now", on_board), ("2", "All tasks", not on_board)):
            text.append(f" {key} ", self.tones("dim"))
            text.append(f" {name} ", self.tones("chosen" if on_ else "dim"))
        if not on_board:
            shown = f"   {self.query_one(Ledger).total} · f {self._state or 'any state'} · F {self._repo or 'any repo'}"
            text.append(shown, self.tones("dim"))
        text.truncate(max(20, self.size.width - 24), overflow="ellipsis")
        self.query_one("#views", Static).update(text)

    @property
    def _switcher(self) -> ContentSwitcher:
        return self.query_one("#lists", ContentSwitcher)

    @property
    def rows(self) -> Rows:
        """The list that is shown."""
        return self.query_one(Board) if self._switcher.current == "board" else self.query_one(Ledger)

    @property
    def target(self) -> TaskRow | None:
        return self.rows.row() if self.is_mounted else None

    # -- moving about -----------------------------------------------------------------------------------------------

    def action_turn(self, name: str) -> None:
        if self._switcher.current != name:
            self._switcher.current = name
            if name == "ledger":
                self.query_one(Ledger).anew(keep=True)
        self.query_one("#search", Search).disabled = name == "board"
        self.rows.focus()
        self._title()
        self.suit()

    def action_search(self) -> None:
        self.action_turn("ledger")
        self.query_one(Search).focus()

    def action_filter(self) -> None:
        self.action_turn("ledger")
        self._state = _STATES[(_STATES.index(self._state) + 1) % len(_STATES)]
        self._anew()

    def action_repo(self) -> None:
        self.action_turn("ledger")
        glance = self._look.glance if self._look is not None else None
        names = (None, *(glance.now.repos if glance is not None else ()))
        self._repo = names[(names.index(self._repo) + 1) % len(names)] if self._repo in names else None
        self._anew()

    def _anew(self) -> None:
        self.query_one(Ledger).anew(keep=False)
        self._title()

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        if event.value.strip() != self._words:
            self._words = event.value.strip()
            self._anew()

    @on(Input.Submitted, "#search")
    def _submitted(self) -> None:
        self.query_one(Ledger).focus()

    @on(Search.Left)
    def _left(self, event: Search.Left) -> None:
        if event.clear:
            self.query_one(Search).value = ""
        self.query_one(Ledger).focus()

    @on(Rows.Moved)
    def _moved(self) -> None:
        self.suit()

    @on(Rows.Chosen)
    def _chosen(self, event: Rows.Chosen) -> None:
        if self.app.screen is self:  # twice enter opens it once
            self.app.push_screen(TaskScreen(event.key))

    # -- pages of all tasks -------------------------------------------------------------------------------------------

    @on(Ledger.Wanted)
    def _wanted(self, event: Ledger.Wanted) -> None:
        self.beside(partial(self._read, event.page, event.turn), "pages")

    async def _read(self, page: int, turn: int) -> None:
        home, state, repo, words = self.app.site.home, self._state, self._repo, self._words
        try:
            found = await asyncio.to_thread(
                tasks, home, state=state, repo=repo, words=words, offset=page * PAGE, most=PAGE
            )
        except (OvernightError, sqlite3.Error) as error:
            self.say(str(error), bad=True)
            return
        self.query_one(Ledger).fill(page, turn, found.tasks, found.total)
        self._title()
