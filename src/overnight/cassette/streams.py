"""Answers with other texts in them: secrets taken out, or other paths put in.

A text of a streamed answer comes in pieces, and what is looked for may be cut in two by them. So the pieces of one text
are put together first; a text that changes comes whole with its first piece. What does not change keeps its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from overnight.cassette.packing import Change, changed

#: Names under which pieces of a longer text stand, in all protocols.
_PIECES = frozenset(
    {"text", "thinking", "partial_json", "delta", "content", "arguments", "refusal", "reasoning_content"}
)
#: Names whose pieces put together are JSON.
_JSON = frozenset({"partial_json", "arguments"})
#: What tells the texts of one answer apart.
_WHICH = ("type", "index", "output_index", "content_index", "item_id", "summary_index")
#: Names whose texts stay: nobody says them.
_PLUMBING = frozenset({"type", "id", "item_id", "call_id", "tool_use_id", "signature", "encrypted_content", "model"})
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\Z)", re.DOTALL)
_DATA = re.compile(rb"^data: ?(?P<json>[{\[].*?)(?=\r?$)", re.MULTILINE)
Path = tuple[str | int, ...]


def rewritten(body: bytes, kind: str, change: Change, leave: frozenset[str] = frozenset()) -> tuple[bytes, int]:
    """An answer's body with its texts changed, and how many were. kind: its content type. leave: names whose texts stay.

    What is neither an event stream nor JSON is changed as text, where it is text.
    """
    if kind.startswith("text/event-stream"):
        return _stream(body, change, leave)
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _plain(body, change)
    new = changed(value, change, leave | _PLUMBING)
    return (body, 0) if new == value else (msgspec.json.encode(new), 1)


def _plain(body: bytes, change: Change) -> tuple[bytes, int]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("latin-1")
        return (body, 0) if (new := change(text)) == text else (new.encode("latin-1", "replace"), 1)
    return (body, 0) if (new := change(text)) == text else (new.encode(), 1)


def _stream(body: bytes, change: Change, leave: frozenset[str]) -> tuple[bytes, int]:
    raws = _EVENT.findall(body)
    values = [_value(raw) for raw in raws]
    count, touched = _joined(values, change, leave)
    for number, value in enumerate(values):
        if value is None:
            raws[number], more = _plain(raws[number], change)
            count += more
        elif (rest := changed(value, change, leave | _PLUMBING | _PIECES)) != value:
            values[number] = rest
            touched.add(number)
            count += 1
    for number in touched:
        raws[number] = _with(raws[number], values[number])
    return b"".join(raws), count


def _joined(values: list[Any], change: Change, leave: frozenset[str]) -> tuple[int, set[int]]:
    """Change the texts that come in pieces, in place; how many changed, and the events that hold them."""
    found: dict[tuple[Any, ...], list[tuple[int, Path]]] = {}
    for number, value in enumerate(values):
        which = tuple(cast("dict[str, Any]", value).get(name) for name in _WHICH) if isinstance(value, dict) else ()
        for path in _leaves(value, leave):
            found.setdefault((*which, *path), []).append((number, path))
    count, touched = 0, set[int]()
    for places in found.values():
        whole = "".join(_get(values[number], path) for number, path in places)
        new = _changed_text(whole, change, str(places[0][1][-1]))
        if new != whole:
            count += 1
            for at, (number, path) in enumerate(places):
                _set(values[number], path, "" if at else new)
                touched.add(number)
    return count, touched


def _changed_text(whole: str, change: Change, name: str) -> str:
    if name not in _JSON:
        return change(whole)
    try:
        value: Any = msgspec.json.decode(whole)
    except msgspec.DecodeError:
        return change(whole)
    new = changed(value, change)
    return whole if new == value else msgspec.json.encode(new).decode()


def _leaves(value: Any, leave: frozenset[str], at: Path = ()) -> Iterable[Path]:
    """Where texts stand that may be pieces."""
    if isinstance(value, dict):
        for key, part in cast("dict[str, Any]", value).items():
            if isinstance(part, str):
                if key in _PIECES and key not in leave:
                    yield (*at, key)
            else:
                yield from _leaves(part, leave, (*at, key))
    elif isinstance(value, list):
        for index, part in enumerate(cast("list[Any]", value)):
            yield from _leaves(part, leave, (*at, index))


def _get(value: Any, path: Path) -> str:
    for step in path:
        value = value[step]
    return value


def _set(value: Any, path: Path, text: str) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = text


def _value(raw: bytes) -> Any:
    """The JSON of an event; None when there is none."""
    found = _DATA.findall(raw)
    if len(found) != 1:
        return None
    try:
        return msgspec.json.decode(found[0])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _with(raw: bytes, value: Any) -> bytes:
    new = b"data: " + msgspec.json.encode(value)
    return _DATA.sub(lambda _: new, raw, count=1)
