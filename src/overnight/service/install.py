"""Putting daemon and watchdog under the care of the machine's service manager, taking them out, and looking."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from overnight.errors import Unavailable
from overnight.service.files import FileStanding, look, put, sealed, take_away
from overnight.service.managers import Argv, Ways, last_of, may_fail
from overnight.service.plan import PARTS, Manager, Plan

#: Seconds that a manager may take to answer. Ending a daemon in order is part of some answers.
PATIENCE_S = 150.0
#: Runs a command: exit code, output and complaints. `NOT_ASKED`: it did not answer, could not be run, is not there.
Runner = Callable[[Sequence[str]], tuple[int, str]]


class Done(Struct, frozen=True, kw_only=True):
    """What an installation or a removal came to."""

    #: Path -> what was done with it.
    files: dict[str, str]
    #: Commands that were carried out, as a person types them.
    ran: tuple[str, ...] = ()
    #: Commands of a removal that failed, and what was said.
    failed: dict[str, str] = {}


class PartView(Struct, frozen=True, kw_only=True):
    """A part of the service, as `overnight service status` shows it."""

    part: str
    file: str
    #: `missing`, `current`, `outdated`, `edited` or `foreign`.
    standing: FileStanding
    #: Of the Overnight that wrote the file; empty where none did.
    version: str
    #: It starts by itself; null where nobody knows.
    enabled: bool | None
    running: bool | None
    pid: int | None
    #: What the manager says of it, in its own words.
    said: str


def runs(argv: Sequence[str]) -> tuple[int, str]:
    """Run a command of the machine's, without input."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False, cwd="/"
        )
    except FileNotFoundError:
        return 127, f"{argv[0]} is not there"
    except OSError as error:
        return 126, f"{argv[0]}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return 124, f"{argv[0]} did not answer within {PATIENCE_S:g} s"
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace").replace("\0", "")


def rendered(ways: Ways, plan: Plan, folder: Path) -> dict[Path, str]:
    """What belongs where: path -> sealed text. Raises BadInput."""
    return {folder / name: sealed(name, text, plan.version) for name, text in ways.render(plan).items()}


def install(ways: Ways, plan: Plan, run: Runner, *, force: bool, told: Callable[[Done], None]) -> Done:
    """Write the files to where they belong, and have the manager take them up; the same again changes nothing.

    told: hears of the files before the manager is asked. Raises BadInput, Refused, StateNotWritable, and Unavailable
    where the manager does not do it.
    """
    files = rendered(ways, plan, ways.folder)
    done = Done(files={str(path): what for path, what in put(files, force=force).items()})
    told(done)
    commands = ways.start({part: ways.folder / ways.names[part] for part in PARTS})
    return Done(files=done.files, ran=carried_out(commands, run))


def remove(ways: Ways, run: Runner, *, force: bool) -> Done:
    """End and forget what was installed; files that Overnight did not write as they are now stay.

    A manager that does not answer keeps nothing from being removed; what it did not do is in `failed`.
    """
    paths = {part: ways.folder / ways.names[part] for part in PARTS}
    ours = [part for part, path in paths.items() if _ours(path, force=force)]
    failed: dict[str, str] = {}
    ended = _carried_out_as_far(ways.stop(ours) if ours else [], run, failed)
    files = {str(path): what for path, what in take_away(list(paths.values()), force=force).items()}
    after = _carried_out_as_far(ways.after if ours else [], run, failed)
    return Done(files=files, ran=(*ended, *after), failed=failed)


def _carried_out_as_far(commands: Sequence[Argv], run: Runner, failed: dict[str, str]) -> tuple[str, ...]:
    done = list[str]()
    for argv in commands:
        code, said = run(argv)
        if not code:
            done.append(" ".join(argv))
        elif not may_fail(argv):
            failed[" ".join(argv)] = last_of(said)
    return tuple(done)


def _ours(path: Path, *, force: bool) -> bool:
    standing = look(path).standing
    return standing in (FileStanding.CURRENT, FileStanding.OUTDATED) or (force and standing is FileStanding.EDITED)


def carried_out(commands: Sequence[Argv], run: Runner) -> tuple[str, ...]:
    """Raises Unavailable with what the first one that failed says."""
    for argv in commands:
        code, said = run(argv)
        if code and not may_fail(argv):
            problem = (
                f"`{' '.join(argv)}` failed ({code}): {last_of(said)}. "
                "The files are there; once the service manager answers, `overnight service install` goes on."
            )
            raise Unavailable(problem=problem)
    return tuple(" ".join(argv) for argv in commands)


def seen(ways: Ways, plan: Plan, run: Runner) -> tuple[PartView, ...]:
    """Every part, as its file and the manager show it."""
    wanted = rendered(ways, plan, ways.folder)
    return tuple(_part(ways, part, wanted, run) for part in PARTS)


def _part(ways: Ways, part: str, wanted: Mapping[Path, str], run: Runner) -> PartView:
    path = ways.folder / ways.names[part]
    file = look(path, wanted[path])
    answer = ways.heard(*run(ways.ask(part)))
    return PartView(
        part=part, file=str(path), standing=file.standing, version=file.version, enabled=answer.enabled,
        running=answer.running, pid=answer.pid, said=answer.said,
    )  # fmt: skip


def lingers(ways: Ways, user: str, run: Runner) -> bool | None:
    """Whether systemd keeps this person's services while they are logged out; None where nobody knows."""
    if ways.manager is not Manager.SYSTEMD:
        return None
    code, said = run(["loginctl", "show-user", user, "--property=Linger", "--value"])
    return None if code or said.strip() not in ("yes", "no") else said.strip() == "yes"
