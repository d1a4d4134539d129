"""The end of a run's record while it grows: what the agent did and said, each call with its verdict on one line."""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path
from typing import Any

from msgspec import Struct

from overnight.report.rundir import EVENTS, lines_from, moment_of, read_event, routine, words_of

#: Entries that are kept, and bytes of a long record that the first look reads.
MOST, TAIL = 300, 256 << 10
_CALLS = ("asked", "verdict", "done")
#: What is counted elsewhere.
_QUIET = ("asking", "usage", "burn")


class Entry(Struct, kw_only=True):
    """One line of the stream."""

    #: Epoch seconds; null when the record does not say.
    at: float | None = None
    tone: str = ""
    text: str = ""
    #: Of a call: its tool, what it was asked, what the guard said and what came of it.
    tool: str = ""
    verdict: str = ""
    end: str = ""
    #: What came back, as the agent was told.
    result: str = ""


class Tail:
    """One run's record, from where the last look ended."""

    def __init__(self, folder: Path) -> None:
        self._path, self._offset = folder / EVENTS, -1
        self._calls = dict[str, Entry]()
        self.entries = deque[Entry](maxlen=MOST)

    def read(self) -> bool:
        """Whether there was anything new."""
        began, found = self._offset, False
        if began < 0:
            with contextlib.suppress(OSError):
                self._offset = max(0, self._path.stat().st_size - TAIL)
        for n, (line, end) in enumerate(lines_from(self._path, max(0, self._offset))):
            first_is_half = n == 0 and began < 0 and self._offset > 0
            self._offset = end
            event = None if first_is_half else read_event(line)
            if event is not None:
                self._take(event)
                found = True
        return found

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("kind")
        told = kind == "agent" and (event.get("tool") or event.get("event") == "tool-result")
        if (kind in _CALLS or told) and event.get("call"):
            self._call(str(event["call"]), event)
        elif kind not in _QUIET and not routine(event):
            failed = event.get("failed") or event.get("allowed") is False
            self.entries.append(Entry(at=moment_of(event), tone="bad" if failed else "", text=words_of(event)))

    def _call(self, name: str, event: dict[str, Any]) -> None:
        entry = self._calls.get(name)
        if entry is None:
            tool = str(event.get("tool") or "a call")
            entry = self._calls[name] = Entry(at=moment_of(event), tone="busy", tool=tool)
            self.entries.append(entry)
            if len(self._calls) > 2 * MOST:
                self._calls = {key: each for key, each in self._calls.items() if each in self.entries}
        match event["kind"]:
            case "asked":
                entry.text = str(event.get("input") or "")
            case "verdict":
                decision = str(event.get("decision") or "")
                entry.verdict = {"allow": "allowed", "deny": "denied"}.get(decision, decision)
                if decision != "allow":
                    entry.tone = "bad"
                    entry.end = f"{event.get('reason') or ''} ({event.get('rule') or 'no rule'})"
            case "done":
                _finish(entry, event)
            case _:
                _heard(entry, event)


def _heard(entry: Entry, event: dict[str, Any]) -> None:
    """The same call in the agent's own output."""
    text = str(event.get("text") or "")
    if event.get("event") == "tool-result":
        entry.result = text
    else:
        entry.text = entry.text or text


def _finish(entry: Entry, event: dict[str, Any]) -> None:
    took = event.get("ms")
    if event.get("failed"):
        entry.tone, entry.end = "bad", f"failed: {event.get('error') or 'it says not why'}"
    elif entry.tone != "bad":
        entry.tone = "good"
        entry.end = f"{took / 1000:.1f}s" if isinstance(took, int | float) else "done"
