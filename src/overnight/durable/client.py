"""The client: asks the daemon, or takes the lock and does it itself where no daemon runs."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from overnight.durable.desk import Desk
from overnight.durable.journal import Journal
from overnight.durable.wire import NAME, error_from_json, short_path
from overnight.errors import AlreadyRunning, DaemonUnreachable

TIMEOUT_S = 10.0


class Client:
    """Verbs of the desk, from another process. `actor` goes into the record."""

    def __init__(self, home: Path, actor: str = "cli") -> None:
        self.home, self._actor = home, actor

    def call(self, verb: str, **arguments: Any) -> Any:
        """Raises whatever the verb raises; DaemonUnreachable when a daemon holds the lock but does not answer."""
        arguments["actor"] = self._actor
        try:
            return self._ask(verb, arguments)
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        try:
            journal = Journal(self.home)
        except AlreadyRunning as running:
            return self._once_more(verb, arguments, running)
        try:
            return Desk(journal).call(verb, arguments)
        finally:
            journal.close()

    def running(self) -> dict[str, Any] | None:
        """What the daemon says of itself; None when none answers."""
        try:
            return self._ask("ping", {"actor": self._actor})
        except OSError:
            return None

    def daemon(self, verb: str, **arguments: Any) -> Any:
        """A verb that only a living daemon can do. Raises DaemonUnreachable."""
        try:
            return self._ask(verb, {**arguments, "actor": self._actor})
        except OSError as error:
            raise DaemonUnreachable(path=self.home / NAME) from error

    def _once_more(self, verb: str, arguments: dict[str, Any], running: AlreadyRunning) -> Any:
        """Somebody took the lock between the two looks: a daemon that starts, or another client that is soon done."""
        from time import monotonic, sleep

        until = monotonic() + TIMEOUT_S
        while monotonic() < until:
            try:
                return self._ask(verb, arguments)
            except (FileNotFoundError, ConnectionRefusedError):
                sleep(0.02)
            try:
                journal = Journal(self.home)
            except AlreadyRunning:
                continue
            try:
                return Desk(journal).call(verb, arguments)
            finally:
                journal.close()
        raise DaemonUnreachable(path=self.home / NAME) from running

    def _ask(self, verb: str, arguments: dict[str, Any]) -> Any:
        if not self.home.is_dir():
            raise FileNotFoundError(self.home)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(TIMEOUT_S)
            with short_path(self.home) as path:
                link.connect(path)
            link.sendall(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
            with link.makefile("rb") as answers:
                line = answers.readline()
        if not line:
            raise ConnectionRefusedError("the daemon ended while it was asked")
        answer = json.loads(line)
        if "error" in answer:
            raise error_from_json(answer)
        return answer["ok"]
