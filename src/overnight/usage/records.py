"""What a reader of logs is given, and what it gives back."""

from __future__ import annotations

from msgspec import Struct, field

from overnight.usage.entries import NEVER, Entry


class Answered(Struct, frozen=True, kw_only=True):
    """One of a vendor's limits, as a log tells it. None is unknown, and unknown is never zero."""

    #: `five-hour`, `seven-day`, or the vendor's own word.
    name: str
    #: The part that is used, 0 to 1; a vendor may let it exceed 1.
    used: float | None
    #: Epoch seconds at which it begins anew.
    resets: float | None
    #: In the vendor's words; empty where it says none.
    status: str
    #: Epoch seconds at which it was said.
    seen: float


class Reading(Struct, kw_only=True):
    """Where a reader is in a file. What it needs to go on is kept in the index between two readings."""

    #: The file's name without its ending.
    stem: str
    #: What the reader itself noted last; empty at the beginning of the file.
    state: bytes = b""


class Seen(Struct, kw_only=True):
    """What a part of a log says."""

    #: Answers by the number that each is known by.
    answers: list[tuple[int, Entry]] = field(default_factory=lambda: list[tuple[int, Entry]]())
    #: Session -> (milliseconds of its first answer in a folder, the folder).
    folders: dict[str, tuple[int, str]] = field(default_factory=lambda: dict[str, tuple[int, str]]())
    #: Sessions that the log itself is of; what it says may be a copy of another one's.
    sessions: set[str] = field(default_factory=lambda: set[str]())
    windows: list[Answered] = field(default_factory=lambda: list[Answered]())

    def place(self, session: str, at: int, folder: str) -> None:
        """An answer of a session in a folder."""
        here = (at, folder)
        if here < self.folders.get(session, (NEVER + 1, "")):
            self.folders[session] = here
