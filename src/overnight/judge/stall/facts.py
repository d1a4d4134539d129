"""What a warden can see of a run, one value each. Times are seconds since the run began."""

from __future__ import annotations

from msgspec import Struct

from overnight.judge.stall.errors import ErrorClass
from overnight.missions.stall import StallLimits


class Scope(Struct, frozen=True, kw_only=True):
    """What the run was given: fixed for all of it."""

    limits: StallLimits = StallLimits()
    #: Turns of the model.
    turns: int = 200
    #: Wall clock that ends the run, by its keeper; here only told of.
    wall: float = 7200.0
    #: Seconds that the task was thought to take; None when nobody said.
    estimate: float | None = None
    #: Tool calls that may pass without a further box ticked in the task's checklist; None when it has none.
    calls: int | None = None


class Called(Struct, frozen=True, kw_only=True, tag="called"):
    """A tool call that was allowed, or refused: the agent wanted it."""

    at: float
    #: Equal for the same tool with the same arguments.
    fingerprint: str
    #: The call in a few words, for a person.
    what: str = ""


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """A call came to nothing, or was refused."""

    at: float
    fingerprint: str
    error: ErrorClass


class Passed(Struct, frozen=True, kw_only=True, tag="passed"):
    """A call came to its end."""

    at: float
    fingerprint: str
    #: It is known to have changed a file, as a call of an editing tool.
    edited: bool = False


class Said(Struct, frozen=True, kw_only=True, tag="said"):
    """The model said something."""

    at: float
    text: str


class Turned(Struct, frozen=True, kw_only=True, tag="turned"):
    """A turn of the model, with the tokens that it says it took; 0 when it does not say."""

    at: float
    tokens: int = 0


class Progress(Struct, frozen=True, kw_only=True):
    """How far the work is, seen from outside. None is unknown."""

    #: Lines added and removed since the run's start, over all files.
    size: int | None = None
    #: Files that differ from the run's start.
    files: int | None = None
    #: Boxes ticked in the task's checklist.
    ticks: int | None = None
    #: The repo's checks that passed when the agent last ran them.
    passing: int | None = None
    #: Changed files that lie outside of the task's paths.
    outside: tuple[str, ...] = ()


class Looked(Struct, frozen=True, kw_only=True, tag="looked"):
    """The work tree was looked at."""

    at: float
    progress: Progress
    #: Files that changed since the look before.
    changed: int = 0
    #: Steps between the two looks.
    steps: int = 1
    #: Enough happened since the last look of this kind for it to count as one that should have found progress.
    counts: bool = False


class Ticked(Struct, frozen=True, kw_only=True, tag="ticked"):
    """Time has passed."""

    at: float


Observation = Called | Failed | Passed | Said | Turned | Looked | Ticked
