"""Values without secrets and without what a terminal obeys: the texts in them, and in what they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from overnight.guard.redact import sanitised

T = TypeVar("T")
#: Names that things are found by again; they are ours, not an agent's.
_NAMES = frozenset(
    {
        "run",
        "commit",
        "ref",
        "rescue",
        "branch",
        "against",
        "onto",
        "now",
        "log",
        "session",
        "name",
        "command",
        "head",
        "base",
        "base_commit",
        "merged",
        "id",
    }
)
#: Paths: what decides over them must still find folders and endings in them.
_PATHS = frozenset({"changed", "paths"})


def scrubbed(value: T, without: Callable[[str], str]) -> T:
    """The value with every text in it cleaned. without: takes secrets out of a text."""
    return cast("T", _scrub(value, without))


def _scrub(value: Any, without: Callable[[str], str]) -> Any:
    if type(value) is str:
        return without(sanitised(value))
    if isinstance(value, tuple):
        return tuple(_scrub(part, without) for part in cast("tuple[Any, ...]", value))
    if not isinstance(value, Struct):
        return value
    changed: dict[str, Any] = {}
    for name in value.__struct_fields__:
        old = getattr(value, name)
        if name in _PATHS:
            changed[name] = tuple(clean_path(path, without) for path in old)
        elif name not in _NAMES:
            changed[name] = _scrub(old, without)
    return msgspec.structs.replace(value, **changed)


def clean_path(path: str, without: Callable[[str], str]) -> str:
    """A path with its folders and its ending, whatever is taken out of the names between."""
    return "/".join(_clean_name(name, without) for name in path.split("/"))


def _clean_name(name: str, without: Callable[[str], str]) -> str:
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in name)
    if without(shown) == shown:
        return shown
    stem, dot, ending = shown.rpartition(".")
    short = dot and ending.isalnum() and len(ending) <= 8
    return without(stem) + dot + ending if short else without(shown)
