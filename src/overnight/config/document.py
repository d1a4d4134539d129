"""A TOML file: its values, and where in the text each one stands.

Values come from the standard library's parser. Positions are looked up only for an error message, in a syntax
tree, whose library is then imported.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from overnight.config.shape import Path, Problem, Shaper
from overnight.errors import BadInput

if TYPE_CHECKING:
    from tree_sitter import Node

T = TypeVar("T", bound=Struct)
#: Semantic rules of a file: they see the value and the problems found so far.
Rules = Callable[[Any], Iterable[Problem]]


def read(
    data: bytes, where: str, kind: type[T], rules: Rules, error: type[BadInput], short: Mapping[type, str] | None = None
) -> T:
    """The file's value. Raises `error` (fields: where, problem, problems) with all that is wrong with it.

    problems: every problem as (`FILE:LINE:COLUMN`, text), in the order of the file.
    """
    values = _parse(data, where, error)
    shaper = Shaper(kind, short or {})
    made = shaper.make(values)
    found = list(shaper.problems)
    if isinstance(made, kind):
        found += [p for p in rules(made) if not _known(p, shaper.problems)]
    if found:
        _raise(data, where, found, error)
    return made


def _known(problem: Problem, known: list[Problem]) -> bool:
    """True for a rule about a part that has a problem already: it would only repeat it, or mislead."""
    # Indices count what is left of a list, so one bad item makes the others' positions unknown.
    path = problem.path[:-1] if isinstance(problem.path[-1], int) else problem.path
    places = (path,) if problem.about is None else (path, problem.about)
    return any(_touches(place, other.path) for place in places for other in known)


def _touches(one: Path, other: Path) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _parse(data: bytes, where: str, error: type[BadInput]) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        line, column = _line_column(data, e.start)
        raise _error(error, [(f"{where}:{line}:{column}", "this byte is not UTF-8; save the file as UTF-8")]) from None
    if text.startswith("\ufeff"):
        raise _error(error, [(f"{where}:1:1", "the file begins with a byte-order mark; save it as UTF-8 without one")])
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _error(error, [(f"{where}:1:1", "values are nested too deeply")]) from None
    except ValueError as e:  # TOMLDecodeError, or an integer beyond Python's own limit
        raise _error(error, [_syntax(text, where, str(e))]) from None


def _syntax(text: str, where: str, message: str) -> tuple[str, str]:
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if match is None:
        return f"{where}:1:1", message
    problem = message[: match.start()]
    if match[1]:
        return f"{where}:{match[1]}:{match[2]}", problem
    lines = text.split("\n")
    return f"{where}:{len(lines)}:{len(lines[-1]) + 1}", f"{problem} at the end of the file"


def _raise(data: bytes, where: str, found: list[Problem], error: type[BadInput]) -> None:
    places = Places(data)
    spots = sorted((*places.find(p.path, value=p.value), p.text) for p in found)
    raise _error(error, [(f"{where}:{line}:{column}", text) for line, column, text in spots])


def _error(error: type[BadInput], problems: list[tuple[str, str]]) -> BadInput:
    first, *rest = problems
    lines = [first[1], *(f"{where}: {text}" for where, text in rest)]
    return error(where=first[0], problem="\n".join(lines), problems=tuple(problems))


def _line_column(data: bytes, offset: int) -> tuple[int, int]:
    """One-based; columns count characters, as editors do."""
    start = data.rfind(b"\n", 0, offset) + 1
    return data.count(b"\n", 0, offset) + 1, len(data[start:offset].decode(errors="replace")) + 1


class Places:
    """Where the keys and values of a TOML document stand."""

    def __init__(self, data: bytes) -> None:
        import tree_sitter_toml
        from tree_sitter import Language, Parser

        self._data = data
        #: Path -> (byte of its key, byte of its value)
        self._spots: dict[Path, tuple[int, int]] = {}
        self._scalars: set[Path] = set()
        self._counts: dict[Path, int] = {}
        root = Parser(Language(tree_sitter_toml.language())).parse(data).root_node
        for child in root.named_children:
            self._top(child)

    def find(self, path: Path, *, value: bool) -> tuple[int, int]:
        """(line, column), one-based, of the path or of the nearest thing around it that is in the file."""
        for length in range(len(path), 0, -1):
            spot = self._spots.get(path[:length])
            if spot is not None:
                # What is missing inside a table is best shown at the table's key.
                exact = length == len(path) or path[:length] in self._scalars
                return _line_column(self._data, spot[1 if value and exact else 0])
        return 1, 1

    def _top(self, node: Node) -> None:
        if node.type == "pair":
            self._pair(node, ())
        elif node.type in ("table", "table_array_element"):
            key = node.named_children[0]
            path = self._resolve(_keys(key))
            if node.type == "table_array_element":
                self._note(path, key, key)
                index = self._counts.get(path, 0)
                self._counts[path] = index + 1
                path = (*path, index)
            self._note(path, key, key)
            for child in node.named_children[1:]:
                if child.type == "pair":
                    self._pair(child, path)

    def _resolve(self, keys: Iterable[str]) -> Path:
        """A header's keys to a path: inside an array of tables, its last element is meant."""
        path: Path = ()
        for key in keys:
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
            path = (*path, key)
        return path

    def _pair(self, node: Node, base: Path) -> None:
        key, value = (n for n in node.named_children if n.type != "comment")
        path = base
        for part in _keys(key):
            path = (*path, part)
            self._note(path, key, value)
        self._value(value, path)

    def _value(self, node: Node, path: Path) -> None:
        if node.type == "inline_table":
            for child in node.named_children:
                if child.type == "pair":
                    self._pair(child, path)
        elif node.type == "array":
            for index, child in enumerate(n for n in node.named_children if n.type != "comment"):
                self._note((*path, index), child, child)
                self._value(child, (*path, index))
        else:
            self._scalars.add(path)

    def _note(self, path: Path, key: Node, value: Node) -> None:
        self._spots.setdefault(path, (key.start_byte, value.start_byte))


def _keys(node: Node) -> Iterator[str]:
    if node.type == "dotted_key":
        for child in node.named_children:
            yield from _keys(child)
    else:
        # The standard parser knows how to unquote a key.
        yield from tomllib.loads(f"{(node.text or b'').decode()} = 0")
