"""Abstract text: a str in which private-use characters stand for what is not known, and that carries taint."""

from __future__ import annotations

from typing import Self

#: Text that is not known: any length, any content.
HOLE = "\ue000"
#: Active glob characters: `*`, `?`, `[...]`. (A quoted star is a plain one.)
QUESTION = "\ue001"
CLASS = "\ue002"
STAR = "\ue003"
#: The alphabet above, refused in input.
RESERVED = (HOLE, QUESTION, CLASS, STAR)

#: Taints, as bits.
SECRET = 1
NETWORK = 2
DECODED = 4
#: Comes from a file or a variable whose content is not known.
LOCAL = 8
#: Comes from the user's own untrusted input: `read` from the terminal.
INPUT = 16
#: A secret that a command was told to print by its name.
SHOWN = 32
#: Output that never ends: of `yes`, of `cat /dev/zero`.
ENDLESS = 64


class Text(str):
    """An abstract string with taint."""

    __slots__ = ("taint",)
    taint: int

    def __new__(cls, value: str = "", taint: int = 0) -> Self:
        made = super().__new__(cls, value)
        made.taint = taint
        return made


def taint_of(value: str) -> int:
    """Taint bits; a plain str has none."""
    return value.taint if isinstance(value, Text) else 0


def known(value: str) -> bool:
    """True when nothing in it is unknown: no hole, no glob."""
    return not any(char in value for char in RESERVED)


def shown(value: str) -> str:
    """For a person: holes and globs in their everyday form."""
    return value.replace(HOLE, "…").replace(STAR, "*").replace(QUESTION, "?").replace(CLASS, "[…]")
