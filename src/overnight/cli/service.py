"""`overnight service`"""

from __future__ import annotations

import errno
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from overnight import __version__
from overnight.cli import home
from overnight.cli.paper import Paper, note, say, say_json
from overnight.errors import BadInput, OvernightError, Refused, StateNotWritable

if TYPE_CHECKING:
    from overnight.service.install import Done
    from overnight.service.managers import Ways
    from overnight.service.plan import Plan

_MANAGERS = click.Choice(["systemd", "launchd", "wsl"])
_FOR = click.option("--for", "manager", type=_MANAGERS, help="The service manager. Default: the one of this machine.")


@click.group
def service() -> None:
    """Have the machine's service manager start daemon and watchdog, and keep them running.

    systemd (units of your own user), launchd (agents), or in WSL the Task Scheduler of Windows. Nothing needs root.
    """


@service.command()
@_FOR
@click.option(
    "--write", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Only write the files, into this folder; no service manager hears of it.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print what would be written and carried out, and do nothing.")
@click.option("--force", is_flag=True, help="Replace files that somebody else changed or made; they stay as NAME.bak.")
def install(manager: str | None, write: Path | None, dry_run: bool, force: bool) -> None:
    """Write what the service manager needs, and start daemon and watchdog by it, now and at every login or boot.

    The same again brings the files up to date, after an upgrade for instance, and changes nothing otherwise. Logins and
    keys come from the file `environment` beside `config.toml`, with lines NAME=VALUE, which only you may read.
    """
    from overnight.service import install as rooms
    from overnight.service.files import put

    ways, plan = _ways(manager)
    if dry_run:
        _rehearse(ways, plan, write)
        return
    if write is not None:
        files = put(rooms.rendered(ways, plan, write), force=force)
        _told(rooms.Done(files={str(path): what for path, what in files.items()}))
        say("No service manager was told of it. They belong into ", (str(ways.folder), "bold"), ".")
        return
    _refuse_second()
    _forget_row()
    done = rooms.install(ways, plan, rooms.runs, force=force, told=_told)
    for line in done.ran:
        say(("ran  ", "dim"), line)
    _hints(ways)


def _rehearse(ways: Ways, plan: Plan, write: Path | None) -> None:
    from overnight.service.install import rendered
    from overnight.service.plan import PARTS

    for path, text in rendered(ways, plan, write or ways.folder).items():
        click.echo(f"==> {path}\n{text}")
    if write is None:
        for argv in ways.start({part: ways.folder / ways.names[part] for part in PARTS}):
            click.echo(f"$ {' '.join(argv)}")


@service.command()
@_FOR
@click.option("--force", is_flag=True, help="Remove also what you changed since it was written.")
def remove(manager: str | None, force: bool) -> None:
    """End what the service manager runs, and remove exactly what was installed.

    Runs under way go on to their end. Files that you changed stay, and so do state, logs and settings.
    """
    from overnight.service import install as rooms

    done = rooms.remove(_ways(manager)[0], rooms.runs, force=force)
    for line in done.ran:
        say(("ran  ", "dim"), line)
    _told(done)
    for line, words in done.failed.items():
        note(f"`{line}` failed: {words}. What it was to end may still run, or start again: carry it out yourself.")


@service.command()
@_FOR
def restart(manager: str | None) -> None:
    """Begin anew with daemon and watchdog, after an upgrade for instance. Runs under way go on and are taken up again."""
    from overnight.service.install import carried_out, runs

    _forget_row()
    for line in carried_out(_ways(manager)[0].restart, runs):
        say(("ran  ", "dim"), line)


@service.command()
@_FOR
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status(manager: str | None, as_json: bool) -> None:
    """What is installed, enabled and running, in which version, and where it writes its logs."""
    from overnight.cli.service_view import draw, view

    ways, plan = _ways(manager)
    found = view(ways, plan)
    if as_json:
        say_json(found)
    else:
        draw(found).print()


@service.command()
@click.argument("part", type=click.Choice(["daemon", "watchdog"]))
def run(part: str) -> None:
    """Be the daemon or the watchdog under a service manager. This is what its files call; it is not for typing.

    It takes logins and keys from the file `environment`, writes to its own log in the state folder, and after a crash
    it waits before it begins: 10 s, doubled with each in a row, 10 min at most, and not more often than
    `watchdog.restarts` within an hour.
    """
    from overnight.service.plan import KEEPER

    try:
        _daemon() if part == "daemon" else _watchdog()
    except OvernightError as error:
        # Managers other than systemd know no exit code that means "not again".
        if os.environ.get(KEEPER, "systemd") == "systemd" or error.exit_code not in (2, 3):
            raise
        note(str(error))


def _prepared(part: str) -> Path:
    """The state folder, once environment and log are what a service's are."""
    from overnight.service.logs import Log, LogRules
    from overnight.service.secrets import place, read_environment

    os.environ.update(read_environment(place(os.environ)))
    state = home.state_folder()
    log = state / f"{part}.log"
    try:
        Log(log, LogRules.of(home.settings().logs)).take()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):  # passes: the manager starts it again
            raise
        raise StateNotWritable(path=log, reason=error.strerror) from error
    return state


def _daemon() -> None:
    from overnight.cli.live import Log
    from overnight.daemon import run as be
    from overnight.service.restarts import Start, forget_starts, note_start, read_starts, wait_before

    state, settings = _prepared("daemon"), home.settings()
    starts, asked = read_starts(state), time.time()
    wait = wait_before(starts, asked, settings.watchdog.restarts, random.random())
    if wait is None:
        raise Refused(
            problem=f"The daemon was started {settings.watchdog.restarts} times within an hour and died each time: it "
            f"stays down. {state / 'daemon.log'} says more; `overnight service restart` starts it again."
        )
    if wait:
        note(f"The daemon died; it begins again in {wait:.0f} s.")
        time.sleep(wait)
    note_start(state, (*starts, Start(asked, time.time())))
    with Log(state) as view:
        be(settings, state, view.start)
    forget_starts(state)


def _watchdog() -> None:
    from overnight.cli.watchdog import rules_of
    from overnight.service.logs import VARIABLE as LOG
    from overnight.service.logs import LogRules, to_environment
    from overnight.watchdog.process import lock, rules_to_json
    from overnight.watchdog.tell import VARIABLE

    state, settings = _prepared("watchdog"), home.settings()
    held = lock(state)
    if held is None:
        raise Refused(problem=f"Another watchdog watches {state} already. End it, and this one takes its place.")
    os.close(held)
    environ = {
        **os.environ, VARIABLE: rules_to_json(rules_of(settings.watchdog)),
        LOG: to_environment(state / "watchdog.log", LogRules.of(settings.logs)),
    }  # fmt: skip
    argv = [sys.executable, "-P", "-m", "overnight.watchdog", str(state)]
    os.execve(sys.executable, argv, environ)  # noqa: S606 (its own program)


# -- what the commands share --------------------------------------------------------------------------------


def _ways(named: str | None) -> tuple[Ways, Plan]:
    from overnight.service.install import runs
    from overnight.service.managers import ways_of
    from overnight.service.plan import Manager, manager_here, plan_of

    def windows(path: Path) -> str:
        code, said = runs(["wslpath", "-w", str(path)])
        return str(path) if code else said.strip()

    manager = Manager(named) if named else manager_here(os.environ)
    watched = home.settings().watchdog
    plan = plan_of(os.environ, __version__, stale=float(watched.stale), restarts=watched.restarts)
    return ways_of(manager, os.environ, os.getuid(), windows), plan


def _refuse_second() -> None:
    """Raises BadInput where a daemon runs that the service manager does not know of."""
    from overnight.service.plan import KEEPER
    from overnight.watchdog.look import read_beat

    running, beat = home.daemon(), read_beat(home.state_folder() / "daemon.beat")
    if running is not None and not (beat is not None and beat.pid == running.pid and beat.keeper):
        raise BadInput(
            problem=f"A daemon runs already (process {running.pid}) that no service manager keeps ({KEEPER} is not in its "
            "environment). End it with `overnight down`, runs under way go on, and then install."
        )


def _forget_row() -> None:
    """A person asks for it: crashes before count no more."""
    from overnight.service.restarts import forget_starts

    forget_starts(home.state_folder())


def _told(done: Done) -> None:
    Paper().grid([(what, path) for path, what in done.files.items()]).print()


def _hints(ways: Ways) -> None:
    from overnight.service.install import lingers, runs
    from overnight.service.secrets import place

    user = home.user()
    if lingers(ways, user, runs) is False:
        note(
            f"It ends when you log out, and starts when you log in. `loginctl enable-linger {user}` makes it start at boot."
        )
    secrets = place(os.environ)
    if not secrets.exists():
        note(f"It has no logins or keys of your terminal: put them into {secrets} as NAME=VALUE, and `chmod 600` it.")
