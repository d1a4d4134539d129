"""A delivery's own process: one message to one target, then it ends.

Started as `python -P -m overnight.people.deliver FOLDER`, with the errand in that folder. It writes what became of it
beside it. Apprise is imported here and nowhere else. It holds the folder's lock for life and is ended by the kernel when
its time is over, whatever it hangs in.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from overnight.errors import BadInput
from overnight.guard.redact import Redactor, sanitised
from overnight.missions.notice import Message, Priority
from overnight.people.errand import ERRAND, SAID, Errand, lock, write
from overnight.people.outbox import Result
from overnight.people.secret import filled
from overnight.people.settings import Kind

#: Characters of a reason.
_WHY = 300
#: Apprise's words for how much it matters.
_TYPES = {Priority.URGENT: "failure", Priority.HIGH: "warning", Priority.NORMAL: "info", Priority.LOW: "info"}


def main() -> int:
    """Exit code 0 when what became of it was written, 1 when nothing was to be done, 2 for a wrong call."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -P -m overnight.people.deliver FOLDER\n")
        return 2
    folder = Path(sys.argv[1])
    held = lock(folder)
    if held is None or not (folder / ERRAND).exists():  # another one does it, or it was taken back
        return 1
    errand = msgspec.json.decode((folder / ERRAND).read_bytes(), type=Errand)
    signal.setitimer(signal.ITIMER_REAL, errand.limit)  # nobody handles it: the kernel ends the process
    write(folder / SAID, deliver(errand, os.environ))
    return 0


def deliver(errand: Errand, environ: Mapping[str, str]) -> Result:
    """Send it. Whatever goes wrong is in the result."""
    secrets: list[str] = []
    try:
        match errand.target.kind:
            case Kind.APPRISE:
                url, secrets[:] = _filled(errand.target.url or "", environ)
                result = _by_apprise(url, errand.message, errand.limit)
            case Kind.NTFY:
                from overnight.people.channels import ntfy

                channel, secrets[:] = ntfy.channel(errand.target, environ)
                result = asyncio.run(channel.send(errand))
            case Kind.TELEGRAM:
                from overnight.people.channels import telegram

                bot, secrets[:] = telegram.channel(errand.target, environ)
                result = asyncio.run(bot.send(errand))
    except BadInput as error:
        result = Result(ok=False, why=str(error))
    except OSError as error:
        result = Result(ok=False, why=f"{type(error).__name__}: {error.strerror or error}")
    return msgspec.structs.replace(result, why=cleaned(result.why, secrets))


def cleaned(why: str, secrets: Sequence[str]) -> str:
    """A reason without secrets, on one line, cut."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:  # also one that is too short for a redactor: here it is known to be one
            why = why.replace(secret, "[redacted]")
    return " ".join(Redactor(secrets)(sanitised(why)).split())[:_WHY]


def _filled(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    value, secrets = filled(text, environ, url=True)
    return value, [*secrets, value]  # apprise's URLs may hold what is secret anywhere


def _by_apprise(url: str, message: Message, limit: float) -> Result:
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

    asset = AppriseAsset(app_id="Overnight", app_desc="Overnight", async_mode=False, secure_logging=True,
                         storage_mode="memory", service_timeout=limit, allow_templates=False)  # fmt: skip
    service: Any = Apprise(asset=asset)  # its methods are typed in part only
    if not service.add(url):
        return Result(ok=False, why="Apprise does not understand its URL. `overnight notify` says which it is.")
    told = service.notify(
        body=message.text,
        title=message.title,
        notify_type=NotifyType(_TYPES[message.priority]),
        body_format=NotifyFormat.TEXT,
    )
    if told:
        return Result(ok=True)
    said = "; ".join(dict.fromkeys(entry.message for entry in told.logs()))
    return Result(ok=False, why=said or "the service did not take it")


if __name__ == "__main__":
    sys.exit(main())
