"""What a command prints: lines and grids, with colour in a terminal and as bare text elsewhere.

Every text is made harmless on its way in: what tasks, agents and files say never moves a terminal's cursor.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from overnight.landing.text import one_line, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Text, or text and a style.
Part = str | tuple[str, str]
_LONG = 2000


class _Line(NamedTuple):
    parts: tuple[tuple[str, str], ...]
    indent: int
    lead: tuple[str, str] = ("", "")


class _Grid(NamedTuple):
    rows: tuple[tuple[tuple[str, str], ...], ...]
    indent: int
    first: int = 0


def terminal() -> bool:
    """Whether a person sees the output as it is written."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


class Paper:
    """Lines and grids, in order."""

    def __init__(self) -> None:
        self._blocks: list[_Line | _Grid] = []

    def line(self, *parts: Part, indent: int = 0, lead: Part = "") -> Paper:
        """One line; long ones wrap in a terminal. lead stands before it, in the space that indent leaves."""
        made = tuple(_cell(part, keep_space=True) for part in parts)
        self._blocks.append(_Line(made, indent, _cell(lead, keep_space=True)))
        return self

    def block(self, text: str, style: str = "", indent: int = 0) -> Paper:
        """Text of several lines."""
        for line in plain(text).splitlines():
            self.line((line, style), indent=indent)
        return self

    def grid(self, rows: Iterable[Sequence[Part]], indent: int = 0, first: int = 0) -> Paper:
        """Columns. Only the last one wraps. first: the least width of the first one."""
        made = tuple(tuple(_cell(part) for part in row) for row in rows)
        if made:
            self._blocks.append(_Grid(made, indent, first))
        return self

    def gap(self) -> Paper:
        """An empty line, unless there is one or nothing is there yet."""
        if self._blocks and self._blocks[-1] != _Line((), 0):
            self._blocks.append(_Line((), 0))
        return self

    def text(self) -> str:
        """As bare text."""
        return "".join(f"{line.rstrip()}\n" for block in self._blocks for line in _plain_lines(block))

    def renderable(self) -> RenderableType:
        """For rich."""
        from rich.console import Group

        return Group(*(_rich(block) for block in self._blocks))

    def print(self) -> None:
        """To standard output."""
        if not terminal():
            click.echo(self.text(), nl=False)
            return
        from rich.console import Console

        Console(highlight=False, soft_wrap=False).print(self.renderable())


def say(*parts: Part) -> None:
    """Print one line."""
    Paper().line(*parts).print()


def note(text: str) -> None:
    """One line for a person on standard error: a hint that is no part of the result."""
    click.echo(plain(text), err=True)


def say_json(value: Any) -> None:
    """Print a value of the house as JSON. In a terminal, control characters in it are escaped all the same."""
    from overnight.missions.codec import builtins

    click.echo(json.dumps(builtins(value), indent=2, ensure_ascii=terminal()))


def _cell(part: Part, *, keep_space: bool = False) -> tuple[str, str]:
    text, style = part if isinstance(part, tuple) else (part, "")
    if keep_space:
        return plain(text).replace("\n", " ").replace("\t", "    "), style
    return one_line(text, _LONG), style


# -- bare ---------------------------------------------------------------------------------------------------


def _plain_lines(block: _Line | _Grid) -> Iterable[str]:
    pad = " " * block.indent
    if isinstance(block, _Line):
        return [block.lead[0].ljust(block.indent) + "".join(text for text, _ in block.parts)]
    from rich.cells import cell_len

    count = max(len(row) for row in block.rows)
    widths = [max((cell_len(row[i][0]) for row in block.rows if i < len(row)), default=0) for i in range(count)]
    widths[0] = max(widths[0], block.first)
    return [
        pad + "  ".join(text + " " * (widths[i] - cell_len(text)) for i, (text, _) in enumerate(row))
        for row in block.rows
    ]


# -- rich ---------------------------------------------------------------------------------------------------


def _rich(block: _Line | _Grid) -> RenderableType:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    if isinstance(block, _Line):
        line = Text.assemble(*block.parts) if block.parts else Text()
        if not block.lead[0]:
            return Padding(line, (0, 0, 0, block.indent)) if block.indent else line
        table = Table.grid()
        table.add_column(no_wrap=True, width=block.indent)
        table.add_row(Text(block.lead[0], style=block.lead[1]), line)
        return table
    table = Table.grid(padding=(0, 2, 0, 0))
    count = max(len(row) for row in block.rows)
    for i in range(count):
        width = block.first if i == 0 else None
        table.add_column(min_width=width, no_wrap=i < count - 1, overflow="fold" if i == count - 1 else "ellipsis")
    for row in block.rows:
        table.add_row(*(Text(text, style=style) for text, style in row))
    return Padding(table, (0, 0, 0, block.indent))
