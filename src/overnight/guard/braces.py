"""Brace expansion: `{a,b}`, `{1..9}`, before everything else and on unquoted text only."""

from __future__ import annotations

import re

from overnight.guard.syntax import Lit, Part

#: Words that one word may become.
MOST = 256
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?\Z|([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?\d+))?\Z")
Parts = tuple[Part, ...]


class TooMany(Exception):
    """A brace expansion has more words than can be looked at. Internal to the guard."""


def expand_braces(parts: Parts) -> list[Parts]:
    """Every word that the parts become, in order. Raises TooMany."""
    cells: list[Part | str] = []
    for part in parts:
        if isinstance(part, Lit) and not part.quoted:
            cells += part.text
        else:
            cells.append(part)
    found = _expand(cells)
    return [_joined(cells) for cells in found]


def _joined(cells: list[Part | str]) -> Parts:
    out: list[Part] = []
    run = ""
    for cell in cells:
        if isinstance(cell, str):
            run += cell
            continue
        if run:
            out.append(Lit(run))
            run = ""
        out.append(cell)
    if run:
        out.append(Lit(run))
    return tuple(out) or (Lit("", quoted=True),)


def _expand(cells: list[Part | str]) -> list[list[Part | str]]:
    start = 0
    while True:
        try:
            opened = cells.index("{", start)
        except ValueError:
            return [cells]
        found = _split(cells, opened)
        if found is not None:
            break
        start = opened + 1
    closed, choices = found
    tails = _expand(cells[closed + 1 :])
    out: list[list[Part | str]] = []
    for choice in choices:
        for middle in _expand(choice):
            for tail in tails:
                out.append([*cells[:opened], *middle, *tail])
                if len(out) > MOST:
                    raise TooMany("a brace expansion is larger than can be checked")
    return out


def _split(cells: list[Part | str], opened: int) -> tuple[int, list[list[Part | str]]] | None:
    """The place of the closing brace and the choices between, or None when it is no brace expansion."""
    level = 0
    choices: list[list[Part | str]] = [[]]
    for i in range(opened + 1, len(cells)):
        cell = cells[i]
        if cell == "{":
            level += 1
        elif cell == "}":
            if level == 0:
                if len(choices) > 1:
                    return i, choices
                many = _range(choices[0])
                return (i, many) if many is not None else None
            level -= 1
        elif cell == "," and level == 0:
            choices.append([])
            continue
        choices[-1].append(cell)
    return None


def _range(cells: list[Part | str]) -> list[list[Part | str]] | None:
    if not all(isinstance(cell, str) for cell in cells):
        return None
    found = _RANGE.match("".join(str(cell) for cell in cells))
    if not found:
        return None
    letters = found.group(4) is not None
    first, last = (ord(found.group(4)), ord(found.group(5))) if letters else (int(found.group(1)), int(found.group(2)))
    stride = abs(int(found.group(6 if letters else 3) or 1)) or 1
    if abs(last - first) // stride > MOST:
        raise TooMany("a brace expansion is larger than can be checked")
    numbers = range(first, last + (1 if last >= first else -1), stride if last >= first else -stride)
    return [list(chr(n)) if letters else list(str(n)) for n in numbers]
