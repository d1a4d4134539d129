"""Telling a person, over ways that know nothing of one another: a command, a webhook, the state folder's spool.

Each message goes out by a process of its own with a limit, so that a way that hangs hangs alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from overnight.watchdog.facts import Rules, Severity, Tell

#: Seconds that one delivery may take, and until what failed is tried again, each time; the last for ever.
LIMIT_S = 30.0
AGAIN_S = (10.0, 30.0, 120.0, 300.0, 900.0)
#: A message that nobody took for so long is given up.
OLD_S = 86400.0
#: Messages that are yet to be delivered, by way.
OUTBOX = "watchdog-outbox.json"
#: Seconds until a file that could not be written is tried again.
SHELF_AGAIN_S = 5.0
#: Messages of one way that wait; of more the oldest go.
MOST = 100
#: What was told, for the daemon to take over into the journal; bytes after which it begins anew.
SPOOL, MOST_SPOOL = "watchdog.ndjson", 4 << 20
#: Where the settings are handed over: whoever is started by us need not know them.
VARIABLE = "OVERNIGHT_WATCHDOG"
_POST = (sys.executable, "-P", "-m", "overnight.watchdog.post")


class Message(NamedTuple):
    """What is told, and since when."""

    what: Tell
    #: Epoch seconds.
    at: float


class Way:
    """One way to a person: one message at a time, in order, each tried until it is a day old."""

    def __init__(
        self, name: str, argv: Sequence[str], body: Callable[[Tell], tuple[bytes, dict[str, str]]],
        environ: Mapping[str, str], clock: Callable[[], float] = time.time, again: Sequence[float] = AGAIN_S,
    ) -> None:  # fmt: skip
        """body: what the program gets on its standard input, and what is added to its environment. again: seconds until
        what failed is tried again, each time; never, when there are none."""
        self._clock, self._again = clock, again
        self.name, self._argv, self._body = name, list(argv), body
        self._environ = {key: value for key, value in environ.items() if key != VARIABLE}
        self._waiting: deque[Message] = deque(maxlen=MOST)
        self._going: subprocess.Popen[bytes] | None = None
        self._until, self._next, self._tries = 0.0, 0.0, 0
        #: What the last delivery came to; None before the first has ended.
        self.ok: bool | None = None

    def say(self, what: Tell, at: float | None = None) -> None:
        """Put a message in. at: epoch seconds at which it was to be told first, if that was before."""
        self._waiting.append(Message(what, self._clock() if at is None else at))

    @property
    def waiting(self) -> tuple[Message, ...]:
        """What is not delivered yet, in order; the first may be under way."""
        return tuple(self._waiting)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is under way."""
        return not self._waiting and self._going is None

    def step(self) -> None:
        """Look after the delivery under way, or begin the next one; never waits."""
        now = time.monotonic()
        if self._going is not None:
            code = self._going.poll()
            if code is None and now < self._until:
                return
            if code is None:
                end(self._going)
            self._ended(code == 0, now)
        if self._going is None and self._waiting and now >= self._next:
            self._begin(now)

    def stop(self) -> None:
        """End what is under way."""
        if self._going is not None:
            end(self._going)
            self._going = None

    def _begin(self, now: float) -> None:
        data, more = self._body(self._waiting[0].what)
        try:
            self._going = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**self._environ, **more}, cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            sys.stderr.write(f"overnight watchdog: {self.name}: {error}\n")
            self._ended(False, now)
            return
        self._until = now + LIMIT_S
        assert self._going.stdin is not None
        with contextlib.suppress(OSError):  # less than a pipe holds, so that writing never waits
            self._going.stdin.write(data)
        with contextlib.suppress(OSError):
            self._going.stdin.close()

    def _ended(self, ok: bool, now: float) -> None:
        self._going, self.ok = None, ok
        if not self._waiting:
            return
        if not ok and self._again and self._clock() - self._waiting[0].at > OLD_S:
            sys.stderr.write(f"overnight watchdog: {self.name}: given up: {self._waiting[0].what.words}\n")
            ok = True
        if ok or not self._again:
            self._waiting.popleft()
            self._tries = 0
        else:
            self._next = now + self._again[min(self._tries, len(self._again) - 1)]
            self._tries += 1


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that we started, with its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ways(rules: Rules, environ: Mapping[str, str]) -> tuple[Way, ...]:
    """Those that the settings name."""
    found: list[Way] = []
    if rules.command:
        found.append(Way("command", rules.command, _words, environ))
    if rules.webhook:
        found.append(Way("webhook", _POST, lambda what: (_post(rules.webhook, what), {}), environ))
    return tuple(found)


def pinger(rules: Rules, environ: Mapping[str, str]) -> Way:
    """The way to whoever waits for a sign of life."""
    order = json.dumps({"url": rules.ping}).encode()
    return Way("ping", _POST, lambda _what: (order, {}), environ, again=())  # the next one comes soon enough


# -- what outlives the watchdog -----------------------------------------------------------------------------


class Shelf:
    """Keeps the latest of a text in a file, by a thread that nobody waits for: the disk may hang."""

    def __init__(self, path: Path) -> None:
        self._path, self._text, self._written = path, "", ""
        self._wake, self._done = threading.Event(), threading.Event()
        threading.Thread(target=self._keep, daemon=True).start()

    def put(self, text: str) -> None:
        """Have this written, if it is new."""
        if text != self._text:
            self._done.clear()
            self._text = text
            self._wake.set()

    def settle(self, seconds: float) -> None:
        """Wait until it is written, at most so long."""
        if self._text != self._written:
            self._done.wait(seconds)

    def _keep(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            text, part = self._text, self._path.with_suffix(".part")
            try:
                part.write_text(text)
                part.chmod(0o600)
                part.replace(self._path)
            except OSError:  # a full disk: tried again, for what is to be told may outlive it
                time.sleep(SHELF_AGAIN_S)
                self._wake.set()
                continue
            self._written = text
            if text == self._text:
                self._done.set()


def packed(found: Sequence[Way]) -> str:
    """What is yet to be delivered by each way."""
    return json.dumps({way.name: [[*each.what, each.at] for each in way.waiting] for way in found})


def unpack(text: str, found: Sequence[Way]) -> None:
    """Put what an earlier watchdog did not deliver into the same ways again, with the time that it is of."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        kept = json.loads(text)
        for way in found:
            for key, severity, words, at in kept.get(way.name, []):
                way.say(Tell(str(key), Severity(severity), _of(str(words), float(at))), float(at))


def _of(words: str, at: float) -> str:
    return words if words.startswith("(of ") else f"(of {time.strftime('%a %H:%M', time.localtime(at))}) {words}"


def title(what: Tell) -> str:
    """`Overnight alarm on HOST`"""
    return f"Overnight {what.severity.value} on {os.uname().nodename}"


def _words(what: Tell) -> tuple[bytes, dict[str, str]]:
    more = {
        "OVERNIGHT_TITLE": title(what), "OVERNIGHT_MESSAGE": what.words, "OVERNIGHT_SEVERITY": what.severity.value,
        "OVERNIGHT_KEY": what.key,
    }  # fmt: skip
    return f"{title(what)}: {what.words}\n".encode(), more


def _post(url: str, what: Tell) -> bytes:
    """`text` and `content` are what the usual chats read."""
    words = f"{title(what)}: {what.words}"
    body = {"title": title(what), "text": words, "content": words, "key": what.key, "severity": what.severity.value}
    return json.dumps({"url": url, "body": body}).encode()


def spool(home: Path, what: Tell, at: float) -> None:
    """Leave a message for the daemon, which puts it on record when it lives; by a thread that nobody waits for."""
    threading.Thread(target=_spool, args=(home / SPOOL, what, at), daemon=True).start()


def _spool(path: Path, what: Tell, at: float) -> None:
    line = (
        json.dumps({"at": at, "key": what.key, "severity": what.severity.value, "words": what.words}).encode() + b"\n"
    )
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size > MOST_SPOOL:
                path.replace(path.with_suffix(".old"))
            os.write(fd, line)
        finally:
            os.close(fd)
