"""How far the journal was sent: a file of the exporter's own, written whole after every success."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct, field

from overnight.telemetry.measures import Measures

FILE, LOCK = "telemetry.json", "telemetry.lock"


class Progress(Struct, kw_only=True):
    """What the exporter remembers."""

    #: Epoch seconds at which measuring began.
    since: float
    #: The last event that was sent with all that ended with it, and its digest.
    seq: int = 0
    digest: str = ""
    #: Spans that a collector took, and that it refused for good.
    sent: int = 0
    refused: int = 0
    #: Events that left the journal before they were sent.
    missed: int = 0
    #: Epoch seconds of the last success.
    at: float | None = None
    #: Why the last try failed, and since when they do; empty while they succeed.
    trouble: str = ""
    failing: float | None = None
    #: Why metrics were not taken the last time; empty when they were. Spans do not wait for them.
    unmeasured: str = ""
    measures: Measures = field(default_factory=Measures)


def read(home: Path) -> Progress | None:
    """None where there is none, or none that can be read. Measures that another Overnight added up otherwise are left
    out: they begin anew."""
    try:
        found = msgspec.json.decode((home / FILE).read_bytes(), type=Progress)
    except (OSError, msgspec.MsgspecError):
        return None
    found.measures = found.measures.known()
    return found


def write(home: Path, progress: Progress) -> None:
    """All or nothing, also over a power cut. Raises OSError."""
    part = home / f"{FILE}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(progress))
            file.flush()
            os.fsync(file.fileno())
        part.replace(home / FILE)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
