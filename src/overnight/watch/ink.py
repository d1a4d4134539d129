"""What stands on the screen: words of strangers made harmless, and lines of cells that fit any width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from overnight.dashboard.words import span
from overnight.guard.redact import sanitised

#: Characters of one line of a stranger's.
MOST = 600
#: Columns between two cells, and after the last one.
GAP, EDGE = 2, 1
#: What a tone looks like without colour, before the word that it colours.
SIGNS = {"good": "✓", "bad": "✗", "warn": "!", "busy": "▸", "dim": "·", "": "·"}
Styles = Callable[[str], Style]


class Ink:
    """Takes secrets, escapes and what hides text out of words, whoever wrote them."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def line(self, text: object, most: int = MOST) -> str:
        """On one line."""
        clean = " ".join(sanitised(self._redact(str(text))).split())
        return clean if len(clean) <= most else f"{clean[: most - 1]}…"

    def block(self, text: object) -> str:
        """Lines stay; tabs become spaces."""
        return sanitised(self._redact(str(text))).expandtabs(4)


class Cell(NamedTuple):
    """A part of a line."""

    text: str
    tone: str = ""
    #: Columns; 0 takes a share of what the others leave.
    width: int = 0
    share: int = 1
    #: Columns of the whole line below which it is not shown.
    least: int = 0
    right: bool = False
    #: Epoch seconds: it shows how long ago that is, as of the moment when it is drawn.
    since: float | None = None

    def words(self, now: float) -> str:
        return self.text if self.since is None else span(now - self.since)


class Line(NamedTuple):
    """A line of a list."""

    cells: tuple[Cell, ...]
    #: The task that it is about; empty for what can't be chosen.
    key: str = ""
    #: The list that it stands in: a cursor stays in it.
    group: str = ""
    #: It belongs to the line before it.
    more: bool = False
    indent: int = 0


def draw(line: Line, width: int, styles: Styles, now: float) -> Text:
    """A line at a width, exactly that wide."""
    cells = [cell for cell in line.cells if cell.least <= width]
    text = Text(" " * line.indent, end="")
    for n, (cell, own) in enumerate(zip(cells, _widths(cells, width - line.indent - EDGE), strict=True)):
        text.append(" " * GAP if n else "")
        text.append_text(_fit(cell, own, styles, now))
    text.truncate(width, pad=True)
    return text


def _widths(cells: Sequence[Cell], width: int) -> list[int]:
    """Columns of each cell; what rounding leaves goes to the first one that shares."""
    left = max(0, width - GAP * (len(cells) - 1) - sum(cell.width for cell in cells))
    shares = sum(cell.share for cell in cells if not cell.width)
    found = [cell.width or left * cell.share // shares for cell in cells]
    first = next((n for n, cell in enumerate(cells) if not cell.width), None)
    if first is not None:
        found[first] += max(0, left - sum(own for own, cell in zip(found, cells, strict=True) if not cell.width))
    return found


def _fit(cell: Cell, width: int, styles: Styles, now: float) -> Text:
    words = cell.words(now)
    short = Text(words, style=styles(cell.tone), end="")
    short.truncate(width, overflow="ellipsis")
    pad = " " * max(0, width - cell_len(short.plain))
    return Text.assemble(pad, short, end="") if cell.right else Text.assemble(short, pad, end="")


def join(parts: Sequence[str], between: str = " · ") -> str:
    """What there is of some parts."""
    return between.join(part for part in parts if part)
