"""Bytes of strangers as text for people."""

from __future__ import annotations

import re

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def path_text(name: bytes) -> str:
    """A path as text. Bytes that are no UTF-8 are escaped as `\\xNN`."""
    return name.decode("utf-8", "backslashreplace")


def path_shown(name: bytes) -> str:
    """A path for a message: on one line, nothing in it can move a cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in path_text(name))


def one_line(text: str, most: int = 200) -> str:
    """Text from anybody as one plain line."""
    line = " ".join(_CONTROL.sub(" ", _ANSI.sub("", text)).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def plain(text: str) -> str:
    """Terminal output without colours, cursor movement and other control characters; lines stay."""
    return _CONTROL.sub("", _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def head_and_tail(head: bytes, tail: bytes, left_out: int) -> str:
    """What was printed, or its two ends with the number of bytes between them."""
    shown = plain(head.decode("utf-8", "replace"))
    if left_out:
        shown += f"\n[… {left_out} bytes left out …]\n" + plain(tail.decode("utf-8", "replace"))
    return shown
