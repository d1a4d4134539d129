"""Claude Code's transcripts: `projects/FOLDER/SESSION.jsonl` and those of its sub-agents.

A response stands in several rows, one for each part, and again in every session that was forked from its own; rows of
older versions were written before its end. All of them have its id.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, cast

import msgspec
from msgspec import Struct

from overnight.usage.entries import FOUND, NAMED, NEVER, Billing, Owner, entries_of, milliseconds, unsaid
from overnight.usage.lines import marked
from overnight.usage.records import Answered, Reading, Seen
from overnight.usage.tokens import of_anthropic_text

VENDOR = "anthropic"
#: The model of rows that the CLI itself made: its errors.
SYNTHETIC = "<synthetic>"
#: What a row of an answer holds. It is looked for by the longer one, in two thirds of the time of the other: a search
#: leaps ahead by the length of what it looks for. No writer of JSON escapes these letters.
_ANSWER, _USAGE = b'"assistant"', b'"usage"'
#: How a row begins, for the one that follows half a row on the same line.
_BEGINNINGS = (b'{"parentUuid"', b'{"type"')
_WINDOWS = {"five_hour": "five-hour", "seven_day": "seven-day"}


class _Fork(Struct, gc=False):
    sessionId: str | None = None  # noqa: N815 (as it is written)


class _Message(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    #: As it is written, since most rows repeat that of the one before; empty where there is none.
    usage: msgspec.Raw = msgspec.Raw()


class _Row(Struct, gc=False):
    """What matters of a row."""

    type: str | None = None
    timestamp: str | None = None
    sessionId: str | None = None  # noqa: N815
    requestSessionId: str | None = None  # noqa: N815
    forkedFrom: _Fork | None = None  # noqa: N815
    requestId: str | None = None  # noqa: N815
    cwd: str | None = None
    uuid: str | None = None
    message: _Message | None = None
    quotaLimits: dict[str, Any] | None = None  # noqa: N815


class _Kind(Struct):
    type: str | None = None


_ROW = msgspec.json.Decoder(_Row)
_KIND = msgspec.json.Decoder(_Kind)


def read(block: bytes, reading: Reading) -> Seen:
    """What a block of whole lines says. The state of the reading is left as it is: every row stands for itself."""
    seen, last = Seen(), _Row()
    for line in marked(block, _ANSWER):
        if _USAGE not in line:
            continue
        row = _row(line)
        if row is None or row.type != "assistant" or row.message is None:
            continue
        if not _repeats(row, last):
            last = row
            if bytes(row.message.usage).startswith(b"{"):
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # broken inside
                    _take(row, row.message, reading, seen)
    return seen


def _repeats(row: _Row, last: _Row) -> bool:
    """Another part of the same response, which says nothing that the one before did not."""
    one, other = row.message, last.message
    if one is None or other is None or not one.id or one.id != other.id or row.quotaLimits is not None:
        return False
    return (
        one.model == other.model
        and row.sessionId == last.sessionId
        and row.requestSessionId == last.requestSessionId
        and row.cwd == last.cwd
        and row.forkedFrom == last.forkedFrom
        and (row.timestamp or "") >= (last.timestamp or "~")
        and bytes(one.usage) == bytes(other.usage)
    )


def _take(row: _Row, message: _Message, reading: Reading, seen: Seen) -> None:
    at = milliseconds(row.timestamp)
    if row.quotaLimits is not None:
        _limit(row.quotaLimits, at, seen)
    used = of_anthropic_text(bytes(message.usage))
    if message.model == SYNTHETIC and (used is None or not (used.tokens or used.asides)):
        return
    owner = _owner(row, at, reading.stem)
    seen.sessions.add(row.sessionId or reading.stem)
    if row.cwd:
        seen.place(owner.session, at, row.cwd)
    name = f"claude {_name(row, message)}"
    if used is None:
        seen.answers.append(unsaid(name, owner, Billing(VENDOR, message.model or "", "", "", "")))
        return
    billing = Billing(VENDOR, message.model or "", used.tier, used.speed, used.geo)
    seen.answers += entries_of(name, owner, billing, used)


def _owner(row: _Row, at: int, stem: str) -> Owner:
    forked = row.forkedFrom.sessionId if row.forkedFrom is not None else None
    if named := row.requestSessionId or forked:
        return Owner(NAMED, at, named)
    return Owner(FOUND, at, row.sessionId or stem)


def _name(row: _Row, message: _Message) -> str:
    """What all rows of a response have in common: its id. Without one, what comes nearest to that."""
    if message.id:
        return message.id
    if row.requestId or row.uuid:
        return f"row {row.requestId or row.uuid}"
    usage = msgspec.json.decode(message.usage)
    said = msgspec.json.encode([row.timestamp, message.model, usage], order="deterministic")
    return f"row {blake2b(said, digest_size=16).hexdigest()}"


def _limit(quota: dict[str, Any], at: int, seen: Seen) -> None:
    """A limit that a session ran into."""
    name, resets, status = quota.get("rateLimitType"), quota.get("resetsAt"), quota.get("status")
    if not isinstance(name, str) or at == NEVER:
        return
    known = isinstance(resets, int | float) and not isinstance(resets, bool)
    seen.windows.append(
        Answered(
            name=_WINDOWS.get(name, name),
            used=None,
            resets=float(resets) if known and resets is not None else None,
            status=status if isinstance(status, str) else "",
            seen=at / 1000,
        )
    )


# -- rows that are not whole --------------------------------------------------------------------------------


def _row(line: bytes) -> _Row | None:
    """The row of a line; None for one that says nothing or can't be read even in part."""
    try:
        return _ROW.decode(line)
    except msgspec.ValidationError:
        return _odd(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return next(_remains(line), None)


def _odd(line: bytes) -> _Row | None:
    """A row with a field of a type that it never had: only what is known of it counts."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return _loose(value)


def _loose(value: Any) -> _Row | None:
    if not isinstance(value, dict):
        return None
    given: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType] (JSON)
    message = given.get("message")
    kept: dict[str, Any] = {name: given[name] for name in _TEXTS if isinstance(given.get(name), str)}
    if isinstance(given.get("quotaLimits"), dict):
        kept["quotaLimits"] = given["quotaLimits"]
    if isinstance(forked := given.get("forkedFrom"), dict):
        parent: Any = cast("dict[str, Any]", forked).get("sessionId")
        kept["forkedFrom"] = _Fork(sessionId=parent if isinstance(parent, str) else None)
    if isinstance(message, dict):
        inner: dict[str, Any] = message  # pyright: ignore[reportUnknownVariableType] (JSON)
        usage = inner.get("usage")
        kept["message"] = _Message(
            **{name: inner[name] for name in ("id", "model") if isinstance(inner.get(name), str)},
            usage=msgspec.Raw(msgspec.json.encode(usage)) if isinstance(usage, dict) else msgspec.Raw(),
        )
    return _Row(**kept)


_TEXTS = ("type", "timestamp", "sessionId", "requestSessionId", "requestId", "cwd", "uuid")


def _remains(line: bytes) -> Iterator[_Row]:
    """Rows that can be had of a broken line: behind zeros of a crash, behind half a row, with bytes that are no text."""
    tries = [line.replace(b"\0", b"").strip(), line.rpartition(b"\0")[2]]
    tries += [line[at:] for mark in _BEGINNINGS if (at := line.rfind(mark)) > 0]
    for part in tries:
        text = part.decode(errors="replace").encode()
        try:
            kind = _KIND.decode(text).type
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if kind is not None and (row := _row_of(text)) is not None:
            yield row


def _row_of(text: bytes) -> _Row | None:
    try:
        return _ROW.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _odd(text)
