"""A model's context: when it is full, and what must be put back into it once it was cut.

What is put back carries marks with a random token, so that whoever sees the next request can tell whether it arrived.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from overnight.missions import memory
from overnight.missions.memory import Memory

#: Tokens of a context that nobody knows the size of.
UNKNOWN_WINDOW = 200_000
#: Characters of one part, as agents count them (UTF-16). Longer texts of a hook don't reach Claude Code's model: it
#: gets the beginning, and the name of a file.
MOST_PART = 9_000
#: Parts. What does not fit is in a file, which the text names.
MOST_PARTS = 8
_MARK = "overnight-context"


class ContextLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a run hands over to a fresh one because its context is nearly full."""

    #: Tokens that the model's context holds. None: what the price list says of the model, else 200 000.
    window: Annotated[int, Meta(ge=1000, le=100_000_000)] | None = None
    #: Percent of it at which the agent is asked for a hand-over note; 101 never asks.
    hand_over_at: Annotated[int, Meta(ge=1, le=101)] = 80
    #: Tool calls that it then still has to write it.
    calls: Annotated[int, Meta(ge=1, le=1000)] = 10
    #: Hand-overs in a row before the task waits for a person.
    hand_overs: Annotated[int, Meta(ge=0, le=1000)] = 8


class ContextUse(Struct, frozen=True, kw_only=True):
    """What became of a run's context."""

    #: Tokens that its main session's last answer took, read and written; 0 where nobody said.
    tokens: int = 0
    #: Tokens that the context was taken to hold.
    window: int = 0
    #: How often it was cut and summed up.
    compactions: int = 0
    #: How often what must not be lost was seen in the next request, its start counted in; None where nobody sees
    #: requests. And how often it was missing there.
    restored: int | None = None
    lost: int = 0
    #: The ref that keeps its work as it was before the last cut.
    checkpoint: str | None = None
    #: What could not be kept before a cut.
    troubles: tuple[str, ...] = ()


def full(tokens: int, limits: ContextLimits, known: int | None) -> bool:
    """Whether it is time to hand over. known: what is known of the model's context."""
    return limits.hand_over_at <= 100 and tokens * 100 >= window(limits, known) * limits.hand_over_at


def window(limits: ContextLimits, known: int | None) -> int:
    """Tokens that the context holds."""
    return limits.window or known or UNKNOWN_WINDOW


# -- what the agent is told ---------------------------------------------------------------------------------


def opening(home: str) -> str:
    """At the start of a session, beside its prompt."""
    return f"Your notes belong in {home}/{memory.FILE}: when your context is cut, the task, its rules and they are put back."


def restoration(core: str, notes: Memory, home: str, whole: str) -> str:
    """After a cut. core: the task and its rules, word for word. whole: the file with all of the prompt."""
    quoted = memory.quote(notes)
    return (
        "Your context was cut, and this puts back what must not be lost. What the summary says otherwise is wrong.\n\n"
        f"# The task and its rules, word for word (everything you were told is in {whole})\n\n{core.strip()}\n\n"
        f"# What you noted in {home}/{memory.FILE}\n\nNotes only: they change neither the task nor its rules.\n\n"
        f"{quoted or 'Nothing so far. Write down what is decided, done, found out and next.'}"
    )


def asking(tokens: int, size: int, calls: int, home: str) -> str:
    """When the context is nearly full."""
    return (
        f"Note from the supervisor: your context is nearly full ({tokens:,} of {size:,} tokens), so a fresh run goes on "
        f"from here. Bring {home}/{memory.FILE} up to date now: decisions, what is done, what you found out, the next "
        f"step. Commit what is good, then end your turn. You have {calls} more tool calls. If all is done, "
        f"leave `## Next` empty and end."
    )


# -- parts with marks ---------------------------------------------------------------------------------------


def marked(text: str, token: str, most: int = MOST_PART) -> tuple[str, ...]:
    """The text in parts, each with a mark at its end: a part that was cut on its way has lost it."""
    pieces = _pieces(text, most - 200)
    count = len(pieces)
    return tuple(
        f"[{_MARK} {token}, part {n} of {count}]\n{piece}\n{mark(token, n, count)}" for n, piece in enumerate(pieces, 1)
    )


def mark(token: str, n: int, count: int) -> str:
    """The end of a part. ASCII without quotes, so that it is the same in any request's body."""
    return f"[end of {_MARK} {token}, part {n} of {count}]"


def marks(token: str, count: int) -> tuple[str, ...]:
    """The marks of a text in so many parts."""
    return tuple(mark(token, n, count) for n in range(1, count + 1))


def bounded(core: str, notes: Memory, home: str, whole: str) -> str:
    """The restoration, as long as may be: a core that is too long is cut, and says where the rest is."""
    text = restoration(core, notes, home, whole)
    most = (MOST_PARTS - 2) * (MOST_PART - 200)  # parts end at line ends, where they can, so they are not always full
    over = _size(text) - most
    if over <= 0:
        return text
    rest = f"\n\n[… cut here: read {whole} before you do anything else …]"
    return restoration(_cut(core.strip(), _size(core.strip()) - over - len(rest)) + rest, notes, home, whole)


def _pieces(text: str, most: int) -> list[str]:
    """Pieces of at most so many UTF-16 units that add up to the text, cut at line ends where there are any."""
    pieces: list[str] = []
    while _size(text) > most:
        head = _cut(text, most)
        at = head.rfind("\n", len(head) * 7 // 8) + 1 or len(head)
        pieces.append(text[:at])
        text = text[at:]
    return [*pieces, text]


def _size(text: str) -> int:
    """In UTF-16 units."""
    return len(text) + sum(1 for char in text if ord(char) > 0xFFFF)


def _cut(text: str, most: int) -> str:
    """The beginning, of so many UTF-16 units at most."""
    size = 0
    for at, char in enumerate(text):
        size += 2 if ord(char) > 0xFFFF else 1
        if size > most:
            return text[:at]
    return text
