"""What gets out, as far as it is known. Every entry is a strict expected failure, so a box that learns to hold tells."""

from __future__ import annotations

from escape_people import PEOPLE
from msgspec import Struct

#: Backends besides `nothing`, the control.
BACKENDS = ("bubblewrap",)


class Known(Struct, frozen=True, kw_only=True):
    """One attack that succeeds."""

    attack: str
    #: What that means for somebody who relies on the box, and what to do about it.
    why: str
    backends: tuple[str, ...] = BACKENDS
    people: tuple[str, ...] = PEOPLE


_OUTPUT = (
    "A program may erase what the box has printed so far, as its output goes straight to a file. What Overnight has "
    "read by then it keeps, and the record of tool calls lies elsewhere."
)
KNOWN = (
    Known(attack="erase-own-output", why=_OUTPUT),
    Known(attack="erase-own-output-anew", why=_OUTPUT),
    Known(
        attack="tunnel-for-hidden-content",
        why="What goes to a listed host inside TLS is not looked at. List only hosts that can't pass anything on.",
    ),
)


def known(backend: str, person: str, attack: str) -> Known | None:
    """The entry, if it is known to get out."""
    fits = (k for k in KNOWN if k.attack == attack and backend in k.backends and person in k.people)
    return next(fits, None)
