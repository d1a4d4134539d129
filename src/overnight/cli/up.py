"""`overnight up` and `overnight down`"""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path

import click

from overnight.cli import home
from overnight.cli.paper import say, terminal
from overnight.durable.client import Client
from overnight.durable.journal import Lock

#: A daemon that was asked to end lets go of its steps first; runs go on.
ENDS_WITHIN_S = 60.0


@click.command
@click.option("--detach", is_flag=True, help="Start it in the background and return.")
@click.option("--plain", is_flag=True, help="No table: log what happens, one line each.")
def up(detach: bool, plain: bool) -> None:
    """Start the daemon, which carries the tasks.

    In the foreground it shows what goes on; piped, or with `--plain`, it logs that line by line. Ctrl-C ends it; runs
    under way go on in their own processes and are taken up again by the next `overnight up`.
    """
    settings, state = home.settings(), home.state_folder()
    if detach:
        running = home.daemon()
        if running is not None:
            say(f"The daemon runs already (process {running.pid}).")
            return
        from overnight.daemon import detach as start

        say(
            f"The daemon runs (process {start(state)}). `overnight status` shows what it does; `overnight down` ends it."
        )
        return
    from overnight.cli.live import Log, Table
    from overnight.daemon import run

    with Table(state) if terminal() and not plain else Log(state) as view:
        run(settings, state, view.start)


@click.command
def down() -> None:
    """End the daemon. Runs under way go on; the next `overnight up` takes them up again."""
    state = home.state_folder()
    if home.daemon() is None:
        _refuse_if_locked(state)
        say("No daemon runs.")
        return
    pid = int(Client(state).daemon("shutdown"))
    if not _ended(pid):
        say(f"The daemon (process {pid}) was asked to end and is still finishing a step.")
        return
    say(f"The daemon (process {pid}) has ended. Runs under way go on; `overnight up` takes them up again.")


def _refuse_if_locked(state: Path) -> None:
    """Raises AlreadyRunning when a process holds the journal and does not answer."""
    if state.is_dir():
        Lock(state).release()


def _ended(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            return bool(select.select([fd], [], [], ENDS_WITHIN_S)[0])
        finally:
            os.close(fd)
    return True
