"""What a run's folder says while it goes on and afterwards. Read forgivingly: a warden may be writing."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from overnight.missions.codec import decode
from overnight.missions.places import QUESTIONS, run_dir
from overnight.missions.question import Question
from overnight.report.views import Action, LaunchFacts

EVENTS, AGENT = "events.ndjson", "agent.jsonl"
#: Enough of a file's end to hold its last line.
_TAIL = 64 << 10
#: Epoch seconds of the year 9999.
_CALENDAR_S = 253_370_764_800


def folder_of(home: Path, run: str) -> Path:
    """Where a run's files lie."""
    return Path(run_dir(str(home), run))


def launch_of(folder: Path) -> LaunchFacts | None:
    """What was started; None when nothing was, or the record can't be read."""
    found = _object(folder / "launch.json")
    if found is None:
        return None
    spec = _object(folder / "spec.json") or {}
    text = {key: str(found.get(key) or "") or None for key in ("version", "model", "route", "box")}
    argv = found.get("argv")
    words = tuple(str(word) for word in cast("list[object]", argv)) if isinstance(argv, list) else ()
    return LaunchFacts(agent=str(spec.get("agent") or "") or None, argv=words, **text)


def last_action(folder: Path) -> Action | None:
    """The latest thing on record that a person would want to know; None when nothing is."""
    for line in reversed(_tail(folder / EVENTS)):
        event = read_event(line)
        if event is not None and not routine(event):
            return Action(at=moment_of(event), text=words_of(event))
    return None


def questions_of(folder: Path) -> tuple[Question, ...]:
    """What a run would have asked a person so far; none when it can't be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return decode((folder / QUESTIONS).read_bytes(), tuple[Question, ...])
    return ()


def read_event(line: bytes) -> dict[str, Any] | None:
    """One line of `events.ndjson`; None for half a line or anything else that is no record."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", event) if isinstance(event, dict) else None


def moment_of(event: dict[str, Any]) -> float | None:
    """Epoch seconds, if the record says a moment that a calendar has."""
    at = event.get("at")
    return float(at) if isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at < _CALENDAR_S else None


def routine(event: dict[str, Any]) -> bool:
    """Whether a record says nothing that another one does not say better: traffic, and calls that were let through."""
    match event.get("kind"):
        case "asked" | "hook" | "egress-end" | "changed":
            return True
        case "agent":
            return event.get("event") == "hook"
        case "verdict":
            return event.get("decision") == "allow"
        case "model":
            return not (event.get("refused") or event.get("cut"))
        case "done":
            return not event.get("failed")
        case "egress":
            return bool(event.get("allowed"))
        case _:
            return False


def words_of(event: dict[str, Any]) -> str:
    """A record in one line for a person; the text is a stranger's, clean it before it is shown."""
    kind = str(event.get("kind", ""))
    make = _WORDS.get(kind)
    if make is not None:
        return make({key: _short(value) for key, value in event.items()})
    rest = [
        f"{key} {_short(value)}" for key, value in event.items() if key not in _PLUMBING and value not in (None, "")
    ]
    return ": ".join(part for part in (kind, ", ".join(rest)) if part)


def _agent(event: dict[str, str]) -> str:
    said, tool, text = event.get("event", ""), event.get("tool", ""), event.get("text", "")
    name = tool or ("" if said == "text" else said)
    return ": ".join(part for part in (f"{name} failed" if event.get("failed") == "true" else name, text) if part)


def _verdict(event: dict[str, str]) -> str:
    word = {"allow": "allowed", "deny": "denied"}.get(event.get("decision", ""), event.get("decision", ""))
    return f"{word} {event.get('tool', '')}: {event.get('reason', '')} ({event.get('rule', 'no rule')})"


_PLUMBING = ("seq", "at", "kind", "call")
_WORDS: dict[str, Callable[[dict[str, str]], str]] = {
    "agent": _agent,
    "asked": lambda e: f"asks for {e.get('tool', '')}: {e.get('input', '')}",
    "verdict": _verdict,
    "done": lambda e: f"{e.get('tool', '')} {'failed: ' + e.get('error', '') if 'failed' in e else 'is done'}",
    "ended": lambda e: f"ended ({e.get('end', 'unknown')}): {e.get('why', '')}",
}


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:199] + "…"


def lines_from(path: Path, offset: int, *, half: bool = False) -> Iterator[tuple[bytes, int]]:
    """Whole lines after `offset`, each with the offset behind it. A file that is not there has none.

    half: also what stands after the last line's end.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not (half or line.endswith(b"\n")):
                return
            offset += len(line)
            yield line.removesuffix(b"\n"), offset


def _tail(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    return lines if size <= _TAIL else lines[1:]


def _object(path: Path) -> dict[str, Any] | None:
    try:
        return read_event(path.read_bytes())
    except OSError:
        return None
