"""`overnight watchdog`"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from overnight.cli import home
from overnight.cli.paper import say
from overnight.errors import BadInput

if TYPE_CHECKING:
    from overnight.config.watchdog import WatchdogSettings
    from overnight.watchdog.facts import Rules


@click.command
@click.option("--test", is_flag=True, help="Send one message by every way that is set, say what came of it, and end.")
def watchdog(test: bool) -> None:
    """Watch daemon, runs and machine from a process of its own, until Ctrl-C.

    It notices what hangs, died or is about to run out, kills what hangs, starts again what it killed itself, and tells
    you by the ways that `[watchdog]` in `config.toml` names: a command, a webhook, and a ping elsewhere that stops.
    """
    from overnight.watchdog.process import rules_to_json
    from overnight.watchdog.tell import VARIABLE

    rules, state = rules_of(home.settings().watchdog), home.state_folder()
    if test:
        _test(rules)
        return
    environ = {**os.environ, VARIABLE: rules_to_json(rules)}
    os.execve(  # noqa: S606 (its own program)
        sys.executable, [sys.executable, "-P", "-m", "overnight.watchdog", str(state)], environ
    )


def rules_of(settings: WatchdogSettings) -> Rules:
    """As the process takes them, which knows neither units nor settings."""
    from overnight.watchdog.facts import Rules

    return Rules(
        look=float(settings.look), stale=float(settings.stale), warden_stale=float(settings.warden_stale),
        idle=float(settings.idle), disk=int(settings.disk), memory=int(settings.memory), kill=settings.kill,
        restart=settings.restart, restarts=settings.restarts, command=settings.command,
        webhook=settings.webhook or "", ping=settings.ping or "", ping_every=float(settings.ping_every),
        remind=float(settings.remind),
    )  # fmt: skip


def _test(rules: Rules) -> None:
    from overnight.watchdog.facts import Severity, Tell
    from overnight.watchdog.tell import LIMIT_S, pinger, ways

    found = [*ways(rules, os.environ), *([pinger(rules, os.environ)] if rules.ping else [])]
    if not found:
        raise BadInput(
            problem="No way to tell you is set: `command`, `webhook` or `ping` in [watchdog] of config.toml."
        )
    until, failed = time.monotonic() + LIMIT_S + 5, False
    for way in found:
        way.say(Tell("test", Severity.NOTE, "this is a test of the watchdog's messages"))
    while any(way.ok is None for way in found) and time.monotonic() < until:
        for way in found:
            if way.ok is None:
                way.step()
        time.sleep(0.05)
    for way in found:
        say((way.name, "bold"), "  was accepted" if way.ok else "  failed")
        way.stop()
        failed |= not way.ok
    if failed:
        raise BadInput(problem="Not every way works. Look at [watchdog] of config.toml.")
