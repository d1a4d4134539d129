"""The client: asks the daemon, or takes the lock and does it itself where no daemon runs."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overnight.durable.desk import Desk, Verbs
from overnight.durable.inside import run_above
from overnight.durable.journal import Journal
from overnight.durable.wire import MAX_LINE, NAME, error_from_json, short_path
from overnight.errors import AlreadyRunning, BadInput, DaemonSilent, DaemonUnreachable, InsideRun, StateNotWritable

TIMEOUT_S = 10.0
#: How often the way in is tried while another process starts or ends.
RETRY_S = 0.02


class NobodyAnswers(ConnectionError):
    """No daemon was reached: nothing was asked, asking again is harmless."""


class LockTaken(Exception):
    """Neither does a daemon answer, nor is the journal's lock free: another process starts, ends or writes."""


class Client:
    """Verbs of the desk, from another process. `actor` goes into the record."""

    def __init__(self, home: Path, actor: str = "cli", more: Callable[[Journal], Verbs] | None = None) -> None:
        """more: verbs besides the desk's own, for where no daemon runs."""
        self.home, self._actor, self._more = home, actor, more

    def call(self, verb: str, **arguments: Any) -> Any:
        """Raises whatever the verb raises; DaemonUnreachable when a process holds the lock but can't be asked.

        A daemon that ends or hangs while it is asked is not asked again: nobody knows whether it does it. That is
        DaemonSilent.
        """
        arguments["actor"] = self._actor
        if (run := run_above(os.getpid(), self.home)) is not None:
            raise InsideRun(run=run)
        try:
            return self._ask_or_do(verb, arguments)
        except LockTaken:
            return self._keep_trying(verb, arguments)
        except OSError as error:
            raise DaemonSilent(path=self.home / NAME) from error

    def running(self) -> dict[str, Any] | None:
        """What the daemon says of itself; None when none answers."""
        try:
            return self._ask("ping", {"actor": self._actor})
        except OSError:
            return None

    def daemon(self, verb: str, **arguments: Any) -> Any:
        """A verb that only a living daemon can do. Raises DaemonUnreachable; DaemonSilent when it may have done it."""
        try:
            return self._ask(verb, {**arguments, "actor": self._actor})
        except NobodyAnswers as error:
            raise DaemonUnreachable(path=self.home / NAME) from error
        except OSError as error:
            raise DaemonSilent(path=self.home / NAME) from error

    def _ask_or_do(self, verb: str, arguments: dict[str, Any]) -> Any:
        """Raises LockTaken."""
        try:
            return self._ask(verb, arguments)
        except NobodyAnswers:
            pass
        try:
            journal = Journal(self.home)
        except AlreadyRunning as error:
            raise LockTaken from error
        try:
            return Desk(journal, more=self._more(journal) if self._more else None).call(verb, arguments)
        finally:
            journal.close()

    def _keep_trying(self, verb: str, arguments: dict[str, Any]) -> Any:
        from time import monotonic, sleep

        until = monotonic() + TIMEOUT_S
        while monotonic() < until:
            sleep(RETRY_S)
            try:
                return self._ask_or_do(verb, arguments)
            except LockTaken:
                continue
            except OSError as error:
                raise DaemonSilent(path=self.home / NAME) from error
        raise DaemonUnreachable(path=self.home / NAME)

    def _ask(self, verb: str, arguments: dict[str, Any]) -> Any:
        """Raises NobodyAnswers before anything was sent, another OSError when the answer did not come."""
        line = json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n"
        if len(line) > MAX_LINE:
            raise BadInput(problem=f"This is larger than the {MAX_LINE >> 20} MiB that may be handed over at once.")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(TIMEOUT_S)
            try:
                with short_path(self.home) as path:
                    link.connect(path)
            except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
                raise NobodyAnswers(self.home) from error
            except PermissionError as error:
                raise StateNotWritable(path=self.home, reason=error.strerror) from error
            link.sendall(line)
            with link.makefile("rb") as answers:
                answer = answers.readline()
        if not answer.endswith(b"\n"):
            raise ConnectionResetError("the daemon ended while it was asked")
        return _open(json.loads(answer))


def _open(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise error_from_json(answer)
    return answer["ok"]
