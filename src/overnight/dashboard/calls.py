"""What a run asked to do, call by call, with what the guard said and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from overnight.report.rundir import EVENTS, lines_from, moment_of, read_event

#: Calls of one run that are shown, the latest ones.
MOST = 400
_INPUT = 2000


class Call(Struct, kw_only=True):
    """One tool call."""

    id: str
    at: float | None = None
    tool: str = ""
    #: What it was asked to do: the agent's own words.
    input: str = ""
    #: allow, deny, ask; empty while nothing was decided.
    decision: str = ""
    rule: str = ""
    reason: str = ""
    #: Milliseconds that it took; null while it goes on or where nobody says.
    ms: float | None = None
    failed: str = ""


def calls_of(folder: Path) -> tuple[Call, ...]:
    """In order."""
    found = dict[str, Call]()
    for line, _ in lines_from(folder / EVENTS, 0):
        event = read_event(line)
        if event is not None and event.get("kind") in ("asked", "verdict", "done") and event.get("call"):
            _note(found.setdefault(str(event["call"]), Call(id=str(event["call"]))), event)
    return tuple(found.values())[-MOST:]


def _note(call: Call, event: dict[str, Any]) -> None:
    call.tool = call.tool or str(event.get("tool") or "")
    match event["kind"]:
        case "asked":
            call.at, call.input = moment_of(event), str(event.get("input") or "")[:_INPUT]
        case "verdict":
            call.at = call.at if call.at is not None else moment_of(event)
            call.decision, call.rule, call.reason = (
                str(event.get(key) or "") for key in ("decision", "rule", "reason")
            )
        case _:
            took = event.get("ms")
            call.ms = float(took) if isinstance(took, int | float) else None
            call.failed = str(event.get("error") or "failed") if event.get("failed") else ""
