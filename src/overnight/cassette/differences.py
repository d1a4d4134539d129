"""How two JSON values differ, for a person: where, and the lines of text that do."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, cast

import msgspec
from msgspec import Struct

#: Differences of one pair that are told, lines of one of them, and characters of a line.
MOST, MOST_LINES, MOST_WIDE = 20, 12, 200


class Difference(Struct, frozen=True, kw_only=True):
    """One place."""

    #: `messages[2].content[0].content`
    where: str
    #: Lines that begin with `-` as they were recorded, with `+` as they are now, with a blank for both.
    lines: tuple[str, ...]


def differences(recorded: Any, now: Any) -> tuple[Difference, ...]:
    """Where the values differ, the first places of them."""
    found: list[Difference] = []
    for difference in _walk(recorded, now, ""):
        found.append(difference)
        if len(found) == MOST:
            break
    return tuple(found)


def _walk(recorded: Any, now: Any, where: str) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(now, dict):
        old, new = cast("dict[str, Any]", recorded), cast("dict[str, Any]", now)
        for key in sorted({*old, *new}):
            at = f"{where}.{key}" if where else key
            if key in old and key in new:
                yield from _walk(old[key], new[key], at)
            else:
                gone = key in old
                yield _difference(at, _shown(old[key]) if gone else "", "" if gone else _shown(new[key]))
    elif isinstance(recorded, list) and isinstance(now, list):
        old, new = cast("list[Any]", recorded), cast("list[Any]", now)
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _walk(one, other, f"{where}[{index}]")
        for index in range(len(new), len(old)):
            yield _difference(f"{where}[{index}]", _shown(old[index]), "")
        for index in range(len(old), len(new)):
            yield _difference(f"{where}[{index}]", "", _shown(new[index]))
    elif recorded != now or isinstance(recorded, bool) != isinstance(now, bool):
        yield _difference(where, _shown(recorded), _shown(now))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _difference(where: str, recorded: str, now: str) -> Difference:
    lines = list(difflib.unified_diff(recorded.splitlines(), now.splitlines(), n=1, lineterm=""))[2:]
    told = [line if len(line) <= MOST_WIDE else f"{line[:MOST_WIDE]}…" for line in lines if not line.startswith("@@")]
    if not told:  # they differ in how lines end only
        told = [f"-{recorded[:MOST_WIDE]!r}", f"+{now[:MOST_WIDE]!r}"]
    if len(told) > MOST_LINES:
        told = [*told[:MOST_LINES], f"… {len(told) - MOST_LINES} more lines"]
    return Difference(where=where or "the whole body", lines=tuple(told))
