"""The process that sends telemetry: `python -m overnight.telemetry_process`, kept by the daemon where an endpoint is set.

It reads what every reader may read, and nobody waits for it. It ends with its daemon, at any moment: what was not
remembered as sent is sent again, with the same ids.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from overnight.config import Settings, read_settings, state_home
from overnight.errors import ExtraMissing, OvernightError
from overnight.guard.redact import Redactor, known_secrets
from overnight.people.secret import filled
from overnight.service.logs import LogRules
from overnight.service.logs import kept as logged
from overnight.telemetry import kept
from overnight.telemetry.settings import EXTRA, LOG, missing
from overnight.telemetry.words import Words

#: How often it is looked whether the daemon still lives.
PARENT_S = 1.0


def main() -> int:
    """0 when there is nothing to send to, or the daemon is gone."""
    parent = os.getppid()
    try:
        settings = read_settings()
        if settings.telemetry.endpoint is None:
            return 0
        home = state_home(settings)
        with logged(home / LOG, LogRules.of(settings.logs)):
            follow(settings, home, os.environ, parent)
    except OvernightError as error:
        _say(str(error))
        return error.exit_code
    return 0


def follow(settings: Settings, home: Path, environ: Mapping[str, str], parent: int) -> None:
    """Send until the parent is gone. Raises ExtraMissing, BadInput where a header's secret is not there."""
    if missing():
        raise ExtraMissing(what="[telemetry] endpoint", extra=EXTRA)
    headers, secrets = headers_of(settings, environ)
    gone = threading.Event()
    threading.Thread(target=_until_gone, args=(parent, gone), daemon=True).start()
    held = _alone(home)
    try:
        from overnight.telemetry.follow import Follower, instance_of
        from overnight.telemetry.send import Sender

        telemetry = settings.telemetry
        without = Redactor((*known_secrets(environ), *secrets), settings.redact.patterns)
        sender = Sender(telemetry, headers, instance_of(home))
        try:
            words = Words(without, content=telemetry.content)
            follower = Follower(
                home, words, sender, batch=telemetry.batch, say=_say, traces=telemetry.traces, metrics=telemetry.metrics
            )
            follower.run(gone, float(telemetry.every))
        finally:
            sender.close()
    finally:
        os.close(held)


def headers_of(settings: Settings, environ: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The headers with their secrets in, and the secrets. Raises BadInput."""
    found, secrets = dict[str, str](), list[str]()
    for name, text in settings.telemetry.headers.items():
        found[name], known = filled(text, environ)
        secrets += known
    return found, tuple(secrets)


def _until_gone(parent: int, gone: threading.Event) -> None:
    """A new daemon starts its own: this one must not be in its way."""
    while not gone.wait(PARENT_S):
        if os.getppid() != parent:
            os._exit(0)


def _alone(home: Path) -> int:
    """One for a state folder: waits until another one has ended."""
    fd = os.open(home / kept.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _say(text: str) -> None:
    sys.stderr.write(f"overnight telemetry: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
