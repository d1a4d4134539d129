"""Texts of many lines in the making, and how they are wrapped: what goes on stands under where it began."""

from __future__ import annotations

from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from overnight.watch.ink import Ink, Styles

#: Columns of a field's name, and the longest line.
FIELD, LONGEST = 8, 2000
#: Columns that must be left for words, or nothing is indented.
_ROOM = 24


class Row(NamedTuple):
    """One line, however long."""

    text: Text
    #: Columns by which it is indented where it goes on.
    hang: int = 0


class Sheaf(NamedTuple):
    """Lines, wrapped at the width of whoever shows them."""

    rows: tuple[Row, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        for text, hang in self.rows:
            if not hang or text.cell_len <= width or width - hang < _ROOM:
                yield text
                continue
            head, body = text.divide([hang])
            for n, part in enumerate(body.wrap(console, width - hang)):
                yield Text.assemble(head if n == 0 else " " * hang, part)


class Page:
    """Takes lines."""

    def __init__(self, ink: Ink, styles: Styles) -> None:
        self._ink, self._styles = ink, styles
        self._rows: list[Row] = []

    @property
    def text(self) -> Sheaf:
        """All of it."""
        return Sheaf(tuple(self._rows))

    def line(self, *parts: str | tuple[str, str], hang: int = 0) -> Page:
        """Words, or (words, tone). Spaces around them stay."""
        text = Text()
        for part in parts:
            words, tone = (part, "") if isinstance(part, str) else part
            inner = words.strip(" ")
            start = len(words) - len(words.lstrip(" "))
            clean = self._ink.line(inner, LONGEST) if inner else ""
            text.append(words[:start] + clean + words[start + len(inner) :], self._styles(tone))
        self._rows.append(Row(text, hang))
        return self

    def field(self, name: str, *parts: str | tuple[str, str]) -> Page:
        """A name in a column of its own, and words."""
        return self.line((f"{name:<{FIELD}}", "dim"), *parts, hang=FIELD)

    def verbatim(self, text: str, tone: str = "") -> Page:
        """Lines and spaces as they are."""
        style = self._styles(tone)
        self._rows += [Row(Text(line, style)) for line in self._ink.block(text).split("\n")]
        return self

    def gap(self) -> Page:
        """An empty line."""
        self._rows.append(Row(Text()))
        return self
