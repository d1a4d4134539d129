"""What the last soak on this machine came to: kept by `overnight soak`, shown on the System page."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight.fleet.local import write_atomically
from overnight.missions.codec import decode, encode

#: In the state folder.
FILE = "soak.json"


class Promise(Struct, frozen=True):
    """One promise of Overnight's, judged."""

    words: str
    #: None: nothing could be said.
    kept: bool | None
    #: What was seen, in figures.
    seen: str


class Soaked(Struct, frozen=True, kw_only=True):
    """One soak, in short."""

    #: Epoch seconds at which it ended.
    at: float
    #: Seconds that work and faults went on, as ordered.
    seconds: float
    seed: int
    version: str
    #: Of the source, where it is a clone.
    commit: str
    tasks: int
    landed: int
    #: Faults that were done.
    faults: int
    #: It was ended early.
    interrupted: bool
    promises: tuple[Promise, ...]

    @property
    def broken(self) -> tuple[Promise, ...]:
        """Promises that were not kept."""
        return tuple(each for each in self.promises if each.kept is False)


def keep(home: Path, soaked: Soaked) -> bool:
    """Remember it in a state folder; False where there is none: a soak makes none. Raises OSError."""
    if not home.is_dir():
        return False
    write_atomically(home / FILE, encode(soaked))
    return True


def last_soak(home: Path) -> Soaked | None:
    """The last one; None where there was none, or its file is another version's."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return decode((home / FILE).read_bytes(), Soaked)
    return None
