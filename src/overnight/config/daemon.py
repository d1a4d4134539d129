"""What the daemon does to its machine, and how long its processes' logs stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from overnight.config.shape import Problem
from overnight.missions.units import Duration, Size


class DaemonSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The daemon's own."""

    #: Keep the machine from going to sleep while tasks are worked on.
    inhibit_sleep: bool = True
    #: What keeps it awake instead of `systemd-inhibit` or `caffeinate`: a program with its arguments, which holds until its
    #: standard input ends.
    inhibitor: tuple[str, ...] = ()


class LogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The logs of daemon, watchdog and dashboard."""

    #: A log that has become bigger begins anew; the old one stays for a while.
    size: Size = Size(10 << 20)
    #: The same for one that began so long ago.
    age: Duration = Duration(7 * 86400)
    #: Old ones that stay, of each log.
    keep: Annotated[int, Meta(ge=1, le=1000)] = 5
    #: Days that an old one stays after its last line.
    days: Annotated[int, Meta(ge=1, le=36500)] = 30


def daemon_rules(settings: DaemonSettings) -> Iterator[Problem]:
    """What no type says."""
    if settings.inhibitor and not settings.inhibitor[0]:
        yield Problem(("daemon", "inhibitor"), "`daemon.inhibitor` begins with the program to run")


def log_rules(settings: LogSettings) -> Iterator[Problem]:
    """What no type says."""
    if settings.size < 1 << 12:
        yield Problem(("logs", "size"), "`logs.size` must be 4KiB at least: no log fits into less")
    if settings.age < 60:
        yield Problem(("logs", "age"), "`logs.age` must be a minute at least")
