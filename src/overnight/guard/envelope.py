"""The shape of what is asked: size, characters, JSON. Whatever does not fit is refused before anything reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from overnight.guard.text import RESERVED

#: Bytes of a call's input, as text.
SIZE = 256 * 1024
#: How deep its JSON may nest.
DEPTH = 32
#: Values in it.
VALUES = 20_000
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff" + "".join(RESERVED) + "]"
)
_ESC = "\x1b"


class Malformed(Exception):
    """The request does not have the shape of a tool call. Its text is the reason; the guard denies it."""


def decode(body: bytes) -> dict[str, Any]:
    """A request body to an object. Raises Malformed."""
    if len(body) > SIZE:
        raise Malformed(f"the request is larger than {SIZE} bytes")
    try:
        found = msgspec.json.decode(body, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the request is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Malformed("the request is not a JSON object")
    return cast("dict[str, Any]", found)


def check(given: Mapping[str, Any], *, code: tuple[str, ...] = ()) -> None:
    """Refuse what is too large, too deep or holds characters that no honest call holds. `code`: fields that are run or are paths.

    Raises Malformed.
    """
    left, values = SIZE, 0
    stack: list[tuple[Any, int, bool]] = [(value, 1, key in code) for key, value in given.items()]
    while stack:
        value, depth, strict = stack.pop()
        values += 1
        if depth > DEPTH or values > VALUES:
            raise Malformed("the request nests too deep or has too many values")
        if isinstance(value, str):
            left -= len(value)
            if left < 0:
                raise Malformed(f"the request is larger than {SIZE} characters")
            found = _CONTROL.search(value)
            if found and (strict or found.group() in ("\0", *RESERVED) or "\ud800" <= found.group() <= "\udfff"):
                raise Malformed(f"the request holds the character U+{ord(found.group()):04X}")
            if strict and _ESC in value:
                raise Malformed("the request holds an escape character")
        elif isinstance(value, dict):
            stack += [(inner, depth + 1, strict) for inner in cast("dict[str, Any]", value).values()]
        elif isinstance(value, list | tuple):
            stack += [(inner, depth + 1, strict) for inner in cast("list[Any]", value)]
