"""Lists of lines, of which only those that are on the screen are ever drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from textual import getters
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from overnight.report.views import TaskRow
from overnight.watch.board import ledger_line
from overnight.watch.host import Host
from overnight.watch.ink import Cell, Ink, Line, draw

#: Tasks that are read at once, and pages that are kept.
PAGE, PAGES = 100, 12
_TONES = ("good", "bad", "warn", "busy", "dim", "head", "strong")


class Rows(ScrollView, can_focus=True):
    """A list with a cursor that stays on its task when the list changes."""

    app = getters.app(Host)
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cursor", *(f"rows--{tone}" for tone in _TONES)}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "step(1)", "Down", show=False),
        Binding("up,k", "step(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "leap(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "leap(-1)", "Page up", show=False),
        Binding("home,g", "jump(0)", "First", show=False),
        Binding("end,G", "jump(-1)", "Last", show=False),
        Binding("enter,o", "choose", "Open"),
    ]
    #: Which of the lines that can be chosen.
    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor stands on another task."""

    class Chosen(Message):
        """A task is to be opened."""

        def __init__(self, key: str) -> None:
            self.key = key
            super().__init__()

    # -- what is listed; see below ----------------------------------------------------------------------------

    def stops(self) -> int:
        """How many lines can be chosen."""
        raise NotImplementedError

    def place(self, stop: int) -> tuple[int, int]:
        """(line, how many lines) of a stop."""
        raise NotImplementedError

    def line(self, y: int) -> Line | None:
        """A line; None when it is not known yet."""
        raise NotImplementedError

    def row(self) -> TaskRow | None:
        """The task under the cursor."""
        raise NotImplementedError

    def nothing(self) -> Line:
        """What an empty list says."""
        return Line(())

    # -- drawing ----------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        at = y + self.scroll_offset.y
        line = self.line(at) if at < self.virtual_size.height else self.nothing() if at == 1 else Line(())
        if line is None:
            line = Line((Cell("…", "dim"),))
        text = draw(line, width, self._style, time.time())
        first, many = self.place(self.cursor) if self.stops() else (-1, 0)
        strip = Strip(text.render(self.app.console)).adjust_cell_length(width)
        if first <= at < first + many and self.has_focus:
            return strip.apply_style(self.get_component_rich_style("rows--cursor"))
        return strip.apply_style(self.rich_style)

    def _style(self, tone: str) -> Style:
        return self.get_component_rich_style(f"rows--{tone}", partial=True) if tone else Style.null()

    def resized(self, lines: int) -> None:
        """It has so many lines now."""
        self.virtual_size = Size(self.size.width, lines)
        self.refresh()

    # -- moving -----------------------------------------------------------------------------------------------

    def validate_cursor(self, value: int) -> int:
        return max(0, min(value, self.stops() - 1))

    def watch_cursor(self) -> None:
        if self.stops():
            first, many = self.place(self.cursor)
            first = 0 if self.cursor == 0 else first  # its heading too
            self.scroll_to_region(Region(0, first, max(1, self.size.width), many), animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved())

    def on_focus(self) -> None:
        self.refresh()
        self.post_message(self.Moved())

    def on_blur(self) -> None:
        self.refresh()

    def action_step(self, by: int) -> None:
        self.cursor += by

    def action_leap(self, by: int) -> None:
        first, _ = self.place(self.cursor) if self.stops() else (0, 0)
        self.cursor = self._stop_at(first + by * max(1, self.size.height - 2), by)

    def action_jump(self, to: int) -> None:
        self.cursor = to if to >= 0 else self.stops() - 1

    def action_choose(self) -> None:
        if (row := self.row()) is not None:
            self.post_message(self.Chosen(row.id))

    def on_click(self, event: Click) -> None:
        at = event.y + self.scroll_offset.y
        stop = self._stop_at(at, -1)
        first, many = self.place(stop) if self.stops() else (0, 0)
        if first <= at < first + many:
            chosen = stop == self.cursor
            self.cursor = stop
            if chosen and event.chain == 2:
                self.action_choose()

    def _stop_at(self, y: int, by: int) -> int:
        """The stop at or before a line; going down at least one further than now."""
        low, high = 0, max(0, self.stops() - 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.place(middle)[0] <= y else (low, middle - 1)
        return max(low, self.cursor + 1) if by > 0 else low


class Board(Rows):
    """Lines that are all there: what is looked at first."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self._lines: Sequence[Line] = ()
        self._rows: dict[str, TaskRow] = {}
        self._stops: list[int] = []

    def show(self, lines: Sequence[Line], rows: dict[str, TaskRow]) -> None:
        """What is listed from now on. rows: the task of each key."""
        if lines == self._lines and rows == self._rows:
            return
        before = self._mark()
        self._lines, self._rows = lines, rows
        self._stops = [y for y, line in enumerate(lines) if line.key and not line.more]
        marks = [(lines[y].group, lines[y].key) for y in self._stops]
        self.resized(len(lines))
        self.cursor = marks.index(before) if before in marks else self.cursor  # what went makes room for the next
        self.post_message(self.Moved())

    def _mark(self) -> tuple[str, str]:
        """(list, task) under the cursor."""
        line = self._lines[self._stops[self.cursor]] if self.cursor < len(self._stops) else Line(())
        return line.group, line.key

    def stops(self) -> int:
        return len(self._stops)

    def place(self, stop: int) -> tuple[int, int]:
        first = self._stops[stop]
        last = first + 1
        while last < len(self._lines) and self._lines[last].more:
            last += 1
        return first, last - first

    def line(self, y: int) -> Line | None:
        return self._lines[y]

    def row(self) -> TaskRow | None:
        return self._rows.get(self._mark()[1])


class Ledger(Rows):
    """All tasks, whatever their number: pages of them are read when they come into sight."""

    class Wanted(Message):
        """A page is to be read; see `fill`."""

        def __init__(self, page: int, turn: int) -> None:
            self.page, self.turn = page, turn
            super().__init__()

    def __init__(self, name: str, ink: Ink) -> None:
        super().__init__(id=name)
        self._ink = ink
        self._total, self._turn = 0, 0
        self._pages: dict[int, tuple[int, tuple[TaskRow, ...]]] = {}
        self._asked: set[int] = set()
        self._on = ""

    def anew(self, *, keep: bool) -> None:
        """Everything may have changed. keep: show what is known until the new is there, the cursor on its task."""
        self._turn += 1
        self._asked.clear()
        if not keep:
            self._pages.clear()
            self._total, self._on = 0, ""
            self.cursor = 0
            self.scroll_to(0, 0, animate=False)
        self._ask(self.scroll_offset.y // PAGE)

    def fill(self, page: int, turn: int, rows: tuple[TaskRow, ...], total: int) -> None:
        """A page that was wanted. turn: of the wish; what is stale is not taken."""
        if turn != self._turn:
            return
        row = self.row()
        before = row.id if row is not None else ""
        self._pages[page] = (turn, rows)
        for other in sorted(self._pages, key=lambda n: abs(n - page))[PAGES:]:
            del self._pages[other]
        self._total = total
        self.resized(total)
        ids = [each.id for each in rows]
        now = self.row()
        if before in ids and (now is None or now.id != before):
            self.cursor = page * PAGE + ids.index(before)
        else:
            self.cursor = self.cursor  # within what there is
        self.post_message(self.Moved())

    def _ask(self, page: int) -> None:
        if page not in self._asked:
            self._asked.add(page)
            self.post_message(self.Wanted(page, self._turn))

    @property
    def total(self) -> int:
        return self._total

    def stops(self) -> int:
        return self._total

    def place(self, stop: int) -> tuple[int, int]:
        return stop, 1

    def nothing(self) -> Line:
        read = 0 in self._pages and not self._total
        return Line((Cell("No such task: f, F and / say which are shown." if read else "", "dim"),), indent=2)

    def _at(self, n: int) -> TaskRow | None:
        turn, rows = self._pages.get(n // PAGE, (-1, ()))
        if turn != self._turn:
            self._ask(n // PAGE)
        return rows[n % PAGE] if n % PAGE < len(rows) else None

    def line(self, y: int) -> Line | None:
        row = self._at(y)
        return None if row is None else ledger_line(row, self._ink)

    def row(self) -> TaskRow | None:
        return self._at(self.cursor) if self.cursor < self._total else None
