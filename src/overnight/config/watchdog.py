"""What the watchdog watches for, and whom it tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from overnight.config.shape import Problem, show
from overnight.missions.units import Duration, Size


class WatchdogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`overnight watchdog`."""

    #: Between two looks.
    look: Duration = Duration(5)
    #: A daemon without a sign of life for so long hangs, if its socket does not answer either.
    stale: Duration = Duration(60)
    #: The same for the warden of a run.
    warden_stale: Duration = Duration(120)
    #: Tasks that wait for so long while nothing is worked on are told.
    idle: Duration = Duration(7200)
    #: Less room than this on the disk of the state folder is told.
    disk: Size = Size(1 << 30)
    #: Less memory than this is told.
    memory: Size = Size(256 << 20)
    #: Kill what hangs. Otherwise it is only told.
    kill: bool = True
    #: Start a daemon again that the watchdog killed. Others are never started.
    restart: bool = True
    #: Starts within an hour, at most; after that it stays down.
    restarts: Annotated[int, Meta(ge=1, le=100)] = 5
    #: A program that tells you: it gets the message on its standard input and in OVERNIGHT_MESSAGE.
    command: tuple[str, ...] = ()
    #: An address that each message is posted to as JSON; none when absent.
    webhook: str | None = None
    #: An address elsewhere that is fetched as long as all is well, for a service that tells you when that stops.
    ping: str | None = None
    #: How often.
    ping_every: Duration = Duration(60)
    #: What lasts is told again after this time.
    remind: Duration = Duration(4 * 3600)


def watchdog_rules(settings: WatchdogSettings) -> Iterator[Problem]:
    """What no type says."""
    for name in ("webhook", "ping"):
        url = getattr(settings, name)
        if url is not None and re.fullmatch(r"https?://[^\s/]+(/\S*)?", url) is None:
            yield Problem(
                ("watchdog", name),
                f"`watchdog.{name}` must be an address such as https://example.org/x, not {show(url)}",
            )
    for name in ("look", "stale", "warden_stale", "ping_every"):
        if not getattr(settings, name) > 0:
            yield Problem(("watchdog", name), f"`watchdog.{name}` must be longer than nothing")
    if settings.command and not settings.command[0]:
        yield Problem(("watchdog", "command"), "`watchdog.command` begins with the program to run")
