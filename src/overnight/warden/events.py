"""`events.ndjson`: what happened in a run, one typed line each, on disk before it takes effect where that matters."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Longer texts are cut, and say so.
MOST = 4000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(value: Any) -> Any:
    """Fit to be kept and shown: no control characters, no endless texts, plain JSON types."""
    if isinstance(value, str):
        text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)
        return text if len(text) <= MOST else f"{text[:MOST]} … ({len(text) - MOST} characters left out)"
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] (any JSON)
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]  # pyright: ignore[reportUnknownVariableType] (any JSON)
    return value if value is None or isinstance(value, (bool, int, float)) else clean(str(value))


class EventLog:
    """Appends. One `write` is one system call, so a line is torn only by the machine going down."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._seq = sum(1 for _ in read_events(path))

    def write(self, kind: str, *, sync: bool = False, **data: Any) -> None:
        """Append an event. sync: it is on disk when this returns."""
        self._seq += 1
        line = {"seq": self._seq, "at": round(time.time(), 3), "kind": kind, **clean(data)}
        os.write(self._fd, json.dumps(line, ensure_ascii=True).encode() + b"\n")
        if sync:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


def read_events(path: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    """Whole events from an offset in bytes on; a torn last line is not one yet. No file, no events."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)
    except FileNotFoundError:
        return
