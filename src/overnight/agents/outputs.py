"""What tools gave an agent to read, out of the record of its session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import msgspec

#: A line that says less than this is not parsed.
_MARK = b'"tool_result"'


def tool_outputs(lines: Iterable[bytes]) -> Iterator[str]:
    """Every text in a tool's result. Lines that are no JSON have none."""
    for line in lines:
        if _MARK not in line:
            continue
        try:
            value = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeError):
            continue
        yield from _results(value)


def _results(value: Any, *, inside: bool = False) -> Iterator[str]:
    if isinstance(value, str):
        if inside:
            yield value
    elif isinstance(value, list):
        for part in cast("list[Any]", value):
            yield from _results(part, inside=inside)
    elif isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        here = inside or table.get("type") == "tool_result"
        for part in table.values():
            yield from _results(part, inside=here)
