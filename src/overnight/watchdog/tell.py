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

from overnight.watchdog.facts import Rules, Tell

#: Seconds that one delivery may take, and until what failed is tried again, each time.
LIMIT_S = 30.0
AGAIN_S = (10.0, 30.0, 120.0, 300.0, 900.0)
#: Messages of one way that wait; of more the oldest go.
MOST = 100
#: What was told, for the daemon to take over into the journal; bytes after which it begins anew.
SPOOL, MOST_SPOOL = "watchdog.ndjson", 4 << 20
#: Where the settings are handed over: whoever is started by us need not know them.
VARIABLE = "OVERNIGHT_WATCHDOG"
_POST = (sys.executable, "-P", "-m", "overnight.watchdog.post")


class Way:
    """One way to a person: one message at a time, in order, each tried a few times."""

    def __init__(
        self, name: str, argv: Sequence[str], body: Callable[[Tell], tuple[bytes, dict[str, str]]],
        environ: Mapping[str, str],
    ) -> None:  # fmt: skip
        """body: what the program gets on its standard input, and what is added to its environment."""
        self.name, self._argv, self._body = name, list(argv), body
        self._environ = {key: value for key, value in environ.items() if key != VARIABLE}
        self._waiting: deque[Tell] = deque(maxlen=MOST)
        self._going: subprocess.Popen[bytes] | None = None
        self._until, self._next, self._tries = 0.0, 0.0, 0
        #: What the last delivery came to; None before the first has ended.
        self.ok: bool | None = None

    def say(self, what: Tell) -> None:
        """Put a message in."""
        self._waiting.append(what)

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
        data, more = self._body(self._waiting[0])
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
        if ok or self._tries >= len(AGAIN_S):
            self._waiting.popleft()
            self._tries = 0
        else:
            self._next = now + AGAIN_S[self._tries]
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
    return Way("ping", _POST, lambda _what: (order, {}), environ)


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
