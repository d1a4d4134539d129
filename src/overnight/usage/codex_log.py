"""Codex's rollouts: `sessions/Y/M/D/rollout-*.jsonl`.

Newer versions write a record for each response, with its id. Older ones write totals that grow, and a fork or sub-agent
begins with all of its parent's, under new dates: an answer is then known by everything that its totals went through.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, cast

import msgspec
from msgspec import Struct

from overnight.missions.tokens import Tokens
from overnight.usage.entries import FOUND, NAMED, NEVER, Billing, Owner, entries_of, milliseconds
from overnight.usage.records import Answered, Reading, Seen
from overnight.usage.tokens import Used, of_codex

#: The vendor of sessions that name none.
_VENDOR = "openai"
_MARKS = (b'"token_usage_record"', b'"token_count"', b'"turn_context"', b'"session_meta"')
#: Minutes of a window -> its name.
_WINDOWS = {300: "five-hour", 10080: "seven-day"}


class _Row(Struct):
    """What matters of a row."""

    type: str | None = None
    timestamp: str | None = None
    payload: dict[str, Any] | None = None


class _State(Struct):
    """What is known of the file so far."""

    #: Its own session, and the oldest one that it goes back to.
    session: str = ""
    root: str = ""
    vendor: str = _VENDOR
    model: str = ""
    #: It has records of responses; its totals say nothing more.
    recorded: bool = False
    #: The last totals, and a digest of all before.
    total: Tokens | None = None
    chain: str = ""


_ROW = msgspec.json.Decoder(_Row)
_STATE = msgspec.json.Decoder(_State)


def read(block: bytes, reading: Reading) -> Seen:
    """What a block of whole lines says, and what comes before it in the file."""
    seen, state = Seen(), _STATE.decode(reading.state) if reading.state else _State(session=reading.stem)
    for line in block.split(b"\n"):
        if any(mark in line for mark in _MARKS) and (row := _row(line)) is not None and row.payload is not None:
            _take(row, row.payload, state, seen)
    reading.state = msgspec.json.encode(state)
    if state.session:
        seen.sessions.add(state.session)
    return seen


def _row(line: bytes) -> _Row | None:
    try:
        return _ROW.decode(line.strip(b"\0 \r"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _take(row: _Row, payload: dict[str, Any], state: _State, seen: Seen) -> None:
    at = milliseconds(row.timestamp)
    match row.type, payload.get("type"):
        case "session_meta", _:
            _begin(payload, at, state, seen)
        case "turn_context", _:
            state.model = _text(payload, "model") or state.model
        case "token_usage_record", _:
            _record(payload, at, state, seen)
        case "event_msg", "token_count":
            _windows(_child(payload, "rate_limits"), at, seen)
            if not state.recorded:
                _total(_child(payload, "info"), at, state, seen)
        case _:
            pass


def _begin(payload: dict[str, Any], at: int, state: _State, seen: Seen) -> None:
    """The first is the file's own; further ones are of those whose history it repeats."""
    named = _text(payload, "id")
    if not state.root:
        state.session = named or state.session
        state.vendor = _text(payload, "model_provider") or state.vendor
        if folder := _text(payload, "cwd"):
            seen.place(state.session, at, folder)
    if state.total is None:
        state.root = named or state.root or state.session


def _record(payload: dict[str, Any], at: int, state: _State, seen: Seen) -> None:
    state.recorded = True
    used, response = of_codex(_child(payload, "usage")), _text(payload, "response_id")
    if used is None or not response:
        return
    owner = Owner(NAMED, at, _text(payload, "session_id") or _text(payload, "thread_id") or state.session)
    seen.answers += entries_of(f"codex {response}", owner, _billing(state), used)


def _total(info: dict[str, Any], at: int, state: _State, seen: Seen) -> None:
    total, last = of_codex(_child(info, "total_token_usage")), of_codex(_child(info, "last_token_usage"))
    if total is None or total.tokens == state.total:
        return  # said again
    state.chain = blake2b(f"{state.chain}{msgspec.json.encode(total.tokens)!r}".encode(), digest_size=16).hexdigest()
    step, state.total = _step(total.tokens, state.total, last), total.tokens
    name = f"codex {state.root or state.session} {state.chain}"
    seen.answers += entries_of(name, Owner(FOUND, at, state.session), _billing(state), Used(tokens=step))


def _step(total: Tokens, before: Tokens | None, last: Used | None) -> Tokens:
    """What the totals grew by; of the first ones, and where they began anew, what the last answer used."""
    grown = total - before if before is not None else None
    if grown is not None and min(grown.input, grown.output, grown.cache_read, grown.cache_write, grown.thinking) >= 0:
        return grown
    return last.tokens if last is not None else total


def _windows(limits: dict[str, Any], at: int, seen: Seen) -> None:
    for name in ("primary", "secondary"):
        window = _child(limits, name)
        used, minutes, resets = (window.get(key) for key in ("used_percent", "window_minutes", "resets_at"))
        if at == NEVER or not isinstance(used, int | float) or isinstance(used, bool):
            continue
        known = isinstance(resets, int | float) and not isinstance(resets, bool)
        seen.windows.append(
            Answered(
                name=_WINDOWS.get(minutes, name) if isinstance(minutes, int) else name,
                used=used / 100,
                resets=float(resets) if known and resets is not None else None,
                status="",
                seen=at / 1000,
            )
        )


def _billing(state: _State) -> Billing:
    return Billing(state.vendor, state.model, "", "", "")


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _child(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
