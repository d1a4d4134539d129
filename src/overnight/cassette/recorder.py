"""Writes a run's cassette. The work is done in a thread of its own, after an exchange is over: nobody waits for it.

A cassette is for looking back, so what keeps it from being written does not end the run: it says that it is incomplete,
and why, in itself and in the run's outcome.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight.audit.chained import ChainedFile
from overnight.cassette.entries import Called, Closed, Incomplete, Opened, Recorded, pack, pack_json
from overnight.cassette.packing import Change, Packer, changed
from overnight.cassette.streams import rewritten
from overnight.guard.verdict import Call, Verdict
from overnight.missions.run import Tape
from overnight.missions.units import Size

#: Bytes of exchanges that wait to be written. The disk is slower than the model then, by far.
MOST_WAITING = 128 << 20
#: Bytes of one answer.
MOST_ANSWER = 32 << 20
#: Request headers that are kept: what an API is asked for, never who asks.
_ASKED = ("anthropic-", "openai-beta", "content-type", "user-agent", "x-app", "x-goog-api-client", "x-claude-code-")
#: Headers of an answer that are not kept: they are about a connection, or about who asked.
_DROPPED = frozenset(
    ["set-cookie", "connection", "keep-alive", "transfer-encoding", "content-length", "www-authenticate"]
)
_BROKEN = "it could not be written"


class CassetteSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is recorded of the model traffic of runs."""

    #: Record it, for `overnight replay`. Only what passes through the gateway can be recorded.
    record: bool = True
    #: Bytes of one run's cassette, compressed. One that is full says so and records no more; the run goes on.
    most: Size = Size(64 << 20)


class Hearing:
    """One exchange as it passes, from its request on."""

    def __init__(
        self, recorder: Recorder, n: int, method: str, target: str, asked: dict[str, str], body: bytes
    ) -> None:
        self.n, self.method, self.target, self.asked, self.body = n, method, target, asked, body
        self.began, self._since = time.time(), time.monotonic()
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.pieces: list[tuple[float, bytes]] = []
        self.size = 0
        self.whole = self.left = False
        self._recorder = recorder

    def begun(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the answer."""
        self.status = status
        self.headers = {name: value for name, value in headers.items() if name not in _DROPPED}

    def feed(self, piece: bytes) -> None:
        """A piece of its body."""
        self.size += len(piece)
        if self.size <= MOST_ANSWER:
            self.pieces.append((round((time.monotonic() - self._since) * 1000, 1), piece))

    def over(self, *, whole: bool, left: bool) -> None:
        """The end."""
        self.whole, self.left = whole, left
        self._recorder.take(self)


class Recorder:
    """Records one run. Used from one thread; raises nothing once it is made but in `close`."""

    def __init__(self, path: Path, opened: Opened, without: Change, most: int) -> None:
        """without: takes secrets out of a text. The file must not be there yet. Raises OSError."""
        self._without, self._most, self._path = without, most, path
        self._packer = Packer(without)
        self._file = ChainedFile(path, chain_name(opened.run), new=True, durable=False)
        self._file.append(opened)
        #: Requests that were heard, and what of them and of the calls was written.
        self._heard = self._exchanges = self._calls = 0
        self._missing = ""
        self._waiting, self._lock = 0, threading.Lock()
        self._queue: queue.SimpleQueue[Hearing | tuple[Call, Verdict] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = threading.Thread(target=self._work, name="cassette", daemon=True)
        self._thread.start()

    def hear(self, method: str, target: str, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Hearing:
        """A request is about to be answered."""
        self._heard += 1
        asked = {
            key: value.decode("latin-1")
            for name, value in headers
            if (key := name.decode("latin-1")).startswith(_ASKED)
        }
        return Hearing(self, self._heard, method, target, asked, body)

    def called(self, call: Call, verdict: Verdict) -> None:
        """A tool call was decided."""
        self._queue.put((call, verdict))

    def take(self, hearing: Hearing) -> None:
        """An exchange is over."""
        size = len(hearing.body) + hearing.size
        with self._lock:
            full = self._waiting + size > MOST_WAITING
            self._waiting += 0 if full else size
        if full:
            hearing.body, hearing.pieces = b"", []
            hearing.size = MOST_ANSWER + 1
        self._queue.put(hearing)

    def close(self) -> Tape:
        """Write what waits and the last line; what the cassette came to. A second call says the same."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
            self._end()
        head = self._file.head
        return Tape(lines=head.lines, digest=head.digest, exchanges=self._exchanges, missing=self._missing)

    def _end(self) -> None:
        try:
            if not self._missing.startswith(_BROKEN):
                self._file.append(Closed(exchanges=self._exchanges, calls=self._calls), last=True)
        except OSError as error:
            self._missing = f"{_BROKEN}: {error.strerror}"
        finally:
            self._file.close()

    # -- in the thread --------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if not self._missing:
                try:
                    self._write(item)
                except OSError as error:
                    self._missing = f"{_BROKEN}: {error.strerror}"
                except (ValueError, RecursionError, msgspec.MsgspecError) as error:
                    self._stop(f"an exchange could not be packed: {type(error).__name__}")
            if isinstance(item, Hearing):
                with self._lock:
                    self._waiting -= len(item.body) + sum(len(piece) for _, piece in item.pieces)

    def _write(self, item: Hearing | tuple[Call, Verdict]) -> None:
        if isinstance(item, Hearing):
            if item.size > MOST_ANSWER:
                self._stop(f"exchange {item.n} was too large, or came faster than it could be written")
                return
            line = self._recorded(item)
        else:
            line = self._called(*item)
        more = len(msgspec.json.encode(line))
        if os.stat(self._path).st_size + more > self._most:  # noqa: PTH116 (a number is all that is wanted)
            self._stop(f"it would be larger than {self._most} bytes (`cassette.most`)")
            return
        self._file.append(line)
        if isinstance(line, Recorded):
            self._exchanges += 1
        else:
            self._calls += 1

    def _stop(self, why: str) -> None:
        self._missing = why
        try:
            self._file.append(Incomplete(why=why))
        except OSError as error:
            self._missing = f"{_BROKEN}: {error.strerror}"

    def _recorded(self, heard: Hearing) -> Recorded:
        whole = b"".join(piece for _, piece in heard.pieces)
        kind = heard.headers.get("content-type", "")
        answer, redacted = rewritten(whole, kind, self._without)
        pieces = tuple((at, len(piece)) for at, piece in heard.pieces)
        if len(answer) != len(whole):
            pieces = ((pieces[-1][0], len(answer)),)  # where they were cut is not to be had any more
        return Recorded(
            n=heard.n, began=round(heard.began, 3), method=heard.method, target=self._without(heard.target),
            asked={name: self._without(value) for name, value in heard.asked.items()},
            request=pack_json(self._packer.packed(heard.body)), status=heard.status,
            headers={name: self._without(value) for name, value in heard.headers.items()},
            pieces=pieces, answer=pack(answer), whole=heard.whole, left=heard.left, redacted=redacted,
        )  # fmt: skip

    def _called(self, call: Call, verdict: Verdict) -> Called:
        given = dict(call.input)
        kept = changed(given, self._without)
        return Called(
            call=call.id, tool=call.tool, cwd=call.cwd, input=pack_json(kept), decision=verdict.decision,
            rule=verdict.rule, reason=self._without(verdict.reason), redacted=kept != given,
        )  # fmt: skip


def chain_name(run: str) -> str:
    """What the chain of a run's cassette begins with: another run's does not fit."""
    return f"cassette {run}"
