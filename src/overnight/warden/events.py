"""`events.ndjson`: what happened in a run, one typed line each, on disk before it takes effect where that matters.

A line is a JSON object with `kind`, `seq` (from 1), `at` (epoch seconds) and the fields of its class here. Texts come
from the agent: they are cleaned of control characters and cut, and say so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from overnight.guard.redact import redacted, sanitised
from overnight.guard.verdict import Decision
from overnight.missions.tokens import Tokens

#: Characters of a text that are kept; longer ones are cut, and say so.
MOST_TEXT = 4000
#: Texts of a list that are kept.
MOST_PARTS = 50
#: Bytes of a log. The agent chooses how often it calls, so it could fill the disk; then nothing passes any more.
MOST_LOG = 256 << 20


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """Something that happened. `seq` and `at` are given by the log."""

    #: On disk when `EventLog.write` returns, not only handed to the system.
    durable: ClassVar[bool] = False
    #: Written even to a log that is full: how a run ended is always said.
    last_words: ClassVar[bool] = False

    seq: int = 0
    at: float = 0.0


class Started(Event, frozen=True, kw_only=True, tag="started"):
    """The warden took the run up."""

    run: str
    agent: str


class Launched(Event, frozen=True, kw_only=True, tag="launched"):
    """The agent's CLI was started in its box."""

    agent: str
    version: str
    #: Kind of the route to the model.
    route: str
    #: Level of the box.
    box: str


class Resuming(Event, frozen=True, kw_only=True, tag="resuming"):
    """The run was to go on with the session of an earlier one."""

    session: str
    #: The run that had it.
    of: str
    #: Why it begins one of its own instead; empty when it goes on.
    fresh: str = ""


class Asked(Event, frozen=True, kw_only=True, tag="asked"):
    """The agent wants to call a tool. Before the verdict takes effect, the audit has both on disk."""

    call: str
    tool: str
    #: The input in one text: the command or path, where it is nothing else, or its JSON.
    input: str
    #: SHA-256 of the whole input as canonical JSON, in hex.
    digest: str = ""
    #: The call's id was asked about before.
    again: bool = False


class Decided(Event, frozen=True, kw_only=True, tag="verdict"):
    """What the guard said, or what was said because it could not."""

    call: str
    tool: str
    decision: Decision
    rule: str
    reason: str
    words: tuple[str, ...] = ()


class Done(Event, frozen=True, kw_only=True, tag="done"):
    """The agent says that a call is over."""

    call: str
    tool: str
    failed: bool = False
    #: Its error, if it failed.
    error: str = ""
    #: Milliseconds, as the agent counts them.
    ms: float | None = None


class Heard(Event, frozen=True, kw_only=True, tag="hook"):
    """Another hook of the agent."""

    name: str
    tool: str = ""
    call: str = ""


class HookRefused(Event, frozen=True, kw_only=True, tag="hook-refused"):
    """A request to the hooks' address that could not be answered with a verdict."""

    why: str


class AgentSaid(Event, frozen=True, kw_only=True, tag="agent"):
    """One thing in the agent's output: an `AgentEvent`, whose kind is `event` here."""

    event: str
    text: str = ""
    tool: str = ""
    call: str = ""
    failed: bool = False
    session: str = ""


class Exchanged(Event, frozen=True, kw_only=True, tag="model"):
    """One request to the model API, after it is over."""

    method: str
    #: Without its query.
    path: str
    #: What the agent got; None when it got no answer.
    status: int | None = None
    #: Milliseconds from the request to the head of the model's answer.
    first_byte_ms: float | None = None
    #: Milliseconds from the request to its end.
    ms: float | None = None
    #: Body bytes to the model and from it.
    sent: int = 0
    received: int = 0
    #: Why it was answered here and not by the model; empty when it was not.
    refused: str = ""
    #: Why the answer is not whole; empty when it is.
    cut: str = ""
    #: The exchange of a recording that was played instead; None when the model itself was asked.
    replayed: int | None = None


class Asking(Event, frozen=True, kw_only=True, tag="asking"):
    """A model call is about to be sent. On record before it is."""

    #: The call's number in the run, from 1.
    n: int
    model: str
    #: US dollars that it may cost at most; None when that is not known.
    most: str | None = None


class Metered(Event, frozen=True, kw_only=True, tag="usage"):
    """What a model call used."""

    #: As in the `asking` before it.
    n: int
    #: The answer's id at the vendor.
    id: str = ""
    #: The model that answered.
    model: str = ""
    tokens: Tokens = Tokens()
    #: US dollars, exact; None when the model has no known price.
    cost: str | None = None
    tier: str = ""
    speed: str = ""
    #: The answer was cut: what was seen of it is counted.
    partial: bool = False
    #: It was paid for and did not say what it used.
    unknown: bool = False
    #: The agent went away before an answer began; it may cost as much as the `asking` says.
    lost: bool = False
    #: It was an error, and cost nothing.
    error: bool = False


class Spending(Event, frozen=True, kw_only=True, tag="budget"):
    """A share of the run's allowance is used; told once each."""

    percent: int
    #: US dollars and tokens so far.
    usd: str
    tokens: int


class TooFast(Event, frozen=True, kw_only=True, tag="burn"):
    """Money goes much faster than before. US dollars a minute: in the last 5 minutes, and usually."""

    recent: str
    before: str


class Reached(Event, frozen=True, kw_only=True, tag="egress"):
    """A decision about a connection out of the box."""

    #: HOST:PORT as it was asked for.
    target: str
    allowed: bool
    why: str = ""


class Left(Event, frozen=True, kw_only=True, tag="egress-end"):
    """A connection out of the box is over."""

    target: str
    #: Bytes out of the box and into it.
    sent: int
    received: int
    #: Seconds.
    lasted: float
    why: str = ""


class Limit(Event, frozen=True, kw_only=True, tag="limit"):
    """A limit of the run was reached."""

    last_words: ClassVar[bool] = True

    #: wall, silence, output, a bound of the box, or a condition of `judge.stall`: steps, turns, errors, repeats, ...
    limit: str
    why: str


class Warned(Event, frozen=True, kw_only=True, tag="warned"):
    """The agent is told that it goes in circles, or too far."""

    #: See `judge.stall.Condition`.
    condition: str
    why: str
    #: What it was about, such as the command.
    about: str = ""


class Changed(Event, frozen=True, kw_only=True, tag="changed"):
    """One step changed many files; told from where on that is worth a look, whatever the repo's limits are."""

    files: int


class MemoryNoted(Event, frozen=True, kw_only=True, tag="memory"):
    """The agent's notes have changed."""

    #: Entries that are sound.
    entries: int
    faults: tuple[str, ...] = ()


class ContextCut(Event, frozen=True, kw_only=True, tag="context-cut"):
    """The agent's CLI is about to sum its session up."""

    #: Its number, from 1.
    cut: int
    #: The copy of the session, and the ref of the work tree; empty where there is none.
    backup: str = ""
    checkpoint: str = ""
    #: What could not be kept.
    troubles: tuple[str, ...] = ()


class ContextRestored(Event, frozen=True, kw_only=True, tag="context-restored"):
    """What must not be lost is in the request to the model, at the start of a session (cut 0) or after a cut."""

    cut: int
    parts: int


class ContextLost(Event, frozen=True, kw_only=True, tag="context-lost"):
    """What must not be lost is missing there."""

    cut: int
    why: str


class ContextFull(Event, frozen=True, kw_only=True, tag="context-full"):
    """The context is nearly full: the agent is asked for a hand-over note."""

    #: What the last answer took, and what the context holds.
    tokens: int
    window: int


class Stepped(Event, frozen=True, kw_only=True, tag="step"):
    """A box of the runbook was ticked, and what was there then is committed."""

    #: `Step 3: Switch the cart over`
    step: str
    commit: str


class Deviated(Event, frozen=True, kw_only=True, tag="runbook"):
    """The runbook was not followed."""

    #: See `missions.runbook_versions.Kind`; or `not-committed`, or `let-go` when the agent is not sent back any more.
    what: str
    words: str


class SentBack(Event, frozen=True, kw_only=True, tag="sent-back"):
    """The agent would have ended its turn with boxes open, and goes on."""

    #: How often that happened in this run.
    times: int
    #: What it was told.
    words: str


class Stopping(Event, frozen=True, kw_only=True, tag="stopping"):
    """The warden ends the agent."""

    last_words: ClassVar[bool] = True

    why: str


class Ended(Event, frozen=True, kw_only=True, tag="ended"):
    """The run is over."""

    durable: ClassVar[bool] = True
    last_words: ClassVar[bool] = True

    end: str
    why: str
    failure: str | None = None


class Unreadable(Event, frozen=True, kw_only=True, tag="unreadable"):
    """A whole line that is no event: the machine went down over it, or a later version wrote it. Never written."""

    #: How it begins.
    line: str


AnyEvent = (
    Started | Launched | Resuming | Asked | Decided | Done | Heard | HookRefused | AgentSaid | Exchanged | Asking | Metered
    | Changed | MemoryNoted | ContextCut | ContextRestored | ContextLost | ContextFull | Spending | TooFast | Reached | Left | Limit | Warned | Stepped | Deviated | SentBack
    | Stopping | Ended | Unreadable
)  # fmt: skip
#: Puts an event on record. Raises OSError when it can't.
Record = Callable[[Event], None]

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def clean(text: str, most: int = MOST_TEXT, beyond: int = 0) -> str:
    """Fit to be kept: no control characters but tab and line feed, and not longer than `most` and a note.
    beyond: characters that were left out already."""
    kept, out = sanitised(text[:most]), max(0, len(text) - most) + beyond
    return kept if not out else f"{kept} … ({out} characters left out)"


class EventLog:
    """Appends events to a file, each with one `write`, so that only a machine that goes down or a full disk tears one.

    Raises OSError when the file can't be opened.
    """

    def __init__(self, path: Path, most: int = MOST_LOG, without: Callable[[str], str] = redacted) -> None:
        """without: takes secrets out of a text."""
        self._most, self._without = most, without
        self._seq = max((event.seq for event in read_events(path)), default=0)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size
        self._torn = self._size > 0 and os.pread(self._fd, 1, self._size - 1) != b"\n"
        _keep_name(path.parent)

    def write(self, event: Event) -> None:
        """Append. Raises OSError when it can't be written whole, or when the log is full (EFBIG).

        A durable event waits for the disk, and with it everything else in this process: nothing may overtake it.
        """
        if self._size > self._most and not event.last_words:
            raise OSError(errno.EFBIG, "the run's record is full")
        line = _ENCODER.encode(self._fit(event, self._seq + 1)) + b"\n"
        # What was torn before stays, as a line of its own.
        self._append(b"\n" + line if self._torn else line)
        self._seq += 1
        if event.durable:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Let go of the file. A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _fit(self, event: Event, seq: int) -> Event:
        changed: dict[str, Any] = {"seq": seq, "at": round(time.time(), 3)}
        for name in event.__struct_fields__:
            value = getattr(event, name)
            if type(value) is str:
                changed[name] = self._kept(value)
            elif type(value) is tuple:
                changed[name] = tuple(self._kept(str(part)) for part in value[:MOST_PARTS])  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] (every tuple of an event holds texts)
        return msgspec.structs.replace(event, **changed)

    def _kept(self, text: str) -> str:
        """Without secrets first: one that is cut in two is not recognised any more, nor one with colours in it."""
        return clean(self._without(sanitised(text[: 4 * MOST_TEXT])), beyond=max(0, len(text) - 4 * MOST_TEXT))

    def _append(self, line: bytes) -> None:
        self._torn = True
        written = os.write(self._fd, line)
        self._size += written
        if written != len(line):
            raise OSError(errno.ENOSPC, "the run's record could not be written whole")
        self._torn = False


def _keep_name(folder: Path) -> None:
    """A new file outlives a crash only with its folder's entry."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_events(path: Path, offset: int = 0) -> Iterator[AnyEvent]:
    """Whole events from an offset in bytes on; a last line without an end is not one yet. No file: no events."""
    for event, _ in follow_events(path, offset):
        yield event


def follow_events(path: Path, offset: int = 0) -> Iterator[tuple[AnyEvent, int]]:
    """As `read_events`, each with the offset behind it, from where a later call goes on."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield _read(line), offset


def _read(line: bytes) -> AnyEvent:
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Unreadable(line=clean(line[:200].decode(errors="replace").rstrip("\n")))
