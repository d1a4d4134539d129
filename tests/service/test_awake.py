"""The machine is kept awake while, and only while, something is worked on; what can't be had is said once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from upgrade_lab import Site

from overnight.config import parse_settings
from overnight.service.awake import HELD_S, Awake, tools
from testkit.waiting import PATIENCE, soon

#: Speaks systemd-inhibit's arguments: notes what it is asked for, takes the lock where it may, and runs the program.
TOOL = """#!/bin/sh
[ "$1" = "--what=$MAY" ] || { echo "Failed to inhibit: Access denied" >&2; exit 1; }
echo "$@" >> "$NOTES"
shift 4
trap 'echo over >> "$NOTES"' EXIT
"$@"
"""


class Desk:
    """A folder with such a tool in it."""

    def __init__(self, folder: Path, may: str) -> None:
        self.notes, self.said, self.now = folder / "notes", list[str](), 0.0
        tool = folder / "bin" / "systemd-inhibit"
        tool.parent.mkdir()
        tool.write_text(TOOL)
        tool.chmod(0o755)
        self.env = {"PATH": f"{tool.parent}:/usr/bin:/bin", "NOTES": str(self.notes), "MAY": may}
        self.awake = Awake(self.said.append, self.env, tools("linux", booted(folder)), lambda: self.now)

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []


def booted(folder: Path) -> Path:
    """A root on which systemd runs."""
    (folder / "run/systemd/system").mkdir(parents=True, exist_ok=True)
    return folder


FULL = "--what=sleep:idle:handle-lid-switch --who=Overnight --why=Coding tasks are being worked on --mode=block cat"


def test_held_and_let_go(tmp_path: Path) -> None:
    """It holds from the first task on, once, and ends with the last; again with the next."""
    desk = Desk(tmp_path, "sleep:idle:handle-lid-switch")
    desk.awake.hold(False)
    assert not desk.awake.held
    for turn in (1, 2):
        desk.awake.hold(True)
        soon(lambda turn=turn: desk.noted().count(FULL) == turn)
        desk.awake.hold(True)
        assert desk.awake.held
        desk.awake.hold(False)
        assert not desk.awake.held
        assert desk.noted() == [FULL, "over"] * turn
    assert desk.said == []


def test_less_is_taken_and_said(tmp_path: Path) -> None:
    """Who may keep it from idling only does so, and it is said; once, however often."""
    desk = Desk(tmp_path, "idle")
    for _ in range(2):
        soon(lambda: desk.awake.hold(True) or desk.notes.exists() or None)
        desk.awake.close()
        desk.notes.unlink()
    assert len(desk.said) == 1
    assert "Access denied" in desk.said[0]
    assert "trying `systemd-inhibit --what=idle`" in desk.said[0]


def test_nothing_can_be_had(tmp_path: Path) -> None:
    """Every way refused: said, and not tried for ever."""
    desk = Desk(tmp_path, "nothing")
    soon(lambda: desk.awake.hold(True) or len(desk.said) == 2 or None)
    for _ in range(3):
        desk.awake.hold(True)
    assert not desk.awake.held
    assert len(desk.said) == 2
    assert "the machine may go to sleep" in desk.said[1]
    missing = Awake(desk.said.append, {"PATH": "/nowhere"}, tools("linux", tmp_path))
    missing.hold(True)
    missing.hold(True)
    assert [line for line in desk.said[2:] if "is not there" in line] == desk.said[2:]
    assert len(desk.said) == 4
    missing.close()


def test_one_that_is_ended_by_another_is_started_again(tmp_path: Path) -> None:
    """After it held for a while, an end is no refusal."""
    desk = Desk(tmp_path, "sleep:idle:handle-lid-switch")
    desk.awake.hold(True)
    soon(lambda: desk.noted() == [FULL])
    desk.now = HELD_S + 1
    assert desk.awake._child is not None
    os.killpg(desk.awake._child.pid, signal.SIGKILL)
    desk.awake._child.wait()
    desk.awake.hold(True)
    soon(lambda: desk.noted() == [FULL, FULL])
    desk.awake.close()
    assert desk.said == []


def test_what_a_tool_leaves_behind_holds_nobody_up(tmp_path: Path) -> None:
    """A tool that was killed while its own child lives on and has its output open: it is not waited for."""
    script = (
        "import os, subprocess; print(subprocess.Popen(['cat']).pid, file=open('%s', 'w')); os.kill(os.getpid(), 9)"
    )
    desk = Desk(tmp_path, "")
    awake = Awake(desk.said.append, desk.env, [(sys.executable, "-c", script % (tmp_path / "child"))])
    awake.hold(True)
    assert awake._child is not None
    stdin = os.dup(awake._child.stdin.fileno()) if awake._child.stdin else -1  # so its child reads on
    awake._child.wait()
    awake.hold(True)
    assert desk.said
    os.kill(int((tmp_path / "child").read_text()), 0)
    os.close(stdin)


def test_where_there_is_nobody_to_ask(tmp_path: Path) -> None:
    """No systemd that runs, as in a container: nothing is tried and nothing said. On macOS it is caffeinate."""
    assert tools("linux", tmp_path) == ()
    said = list[str]()
    Awake(said.append, {}, ()).hold(True)
    assert said == []
    assert tools("darwin", tmp_path) == (("caffeinate", "-i", "-s", "cat"),)


HOLDER = """
import os, sys
from overnight.service.awake import Awake, tools
from pathlib import Path
Awake(print, os.environ, tools("linux", Path(sys.argv[1]))).hold(True)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_it_ends_with_us_however_we_end(tmp_path: Path) -> None:
    """kill -9 of who holds it: the tool ends by itself, and so lets the machine sleep."""
    desk = Desk(tmp_path, "sleep:idle:handle-lid-switch")
    env = {**desk.env, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", HOLDER, str(tmp_path)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        soon(lambda: desk.noted() == [FULL])
        child.kill()
    soon(lambda: desk.noted() == [FULL, "over"])


@pytest.mark.skipif(shutil.which("systemd-inhibit") is None, reason="systemd-inhibit is not on this machine")
def test_the_real_tool_knows_our_arguments(tmp_path: Path) -> None:
    """It either holds, or refuses for want of a login manager; never for an argument that it does not know."""
    said = list[str]()
    awake = Awake(
        said.append,
        {"PATH": os.environ["PATH"], "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"},
        tools("linux", booted(tmp_path)),
    )
    soon(lambda: awake.hold(True) or len(said) == 2 or None)
    awake.close()
    assert all("Failed to connect" in line for line in said), said


def test_settings() -> None:
    """On unless it is turned off."""
    assert parse_settings(b"", "t").daemon.inhibit_sleep
    assert not parse_settings(b"[daemon]\ninhibit_sleep = false\n", "t").daemon.inhibit_sleep


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site]:
    """A machine on which nothing runs yet."""
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.mark.slow
def test_the_daemon_holds_it(site: Site, tmp_path: Path) -> None:
    """By the tool that its settings name: while a run goes on, not before and not after; not at all when it is off."""
    notes = tmp_path / "notes"
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\necho $1 >> {notes}; cat; echo over >> {notes}\n")
    tool.chmod(0o755)
    config = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(f'{config}[daemon]\ninhibitor = ["{tool}", "holds"]\n')
    daemon = site.daemon()
    site.add("one")
    site.warden("one.1.1")
    soon(lambda: notes.exists() and notes.read_text() == "holds\n")
    site.let_go()
    site.lands("one")
    soon(lambda: notes.read_text() == "holds\nover\n")
    daemon.kill()
    daemon.wait(PATIENCE)
    (tmp_path / "config.toml").write_text(f'{config}[daemon]\ninhibit_sleep = false\ninhibitor = ["{tool}", "again"]\n')
    site.daemon()
    site.add("two")
    site.warden("two.1.1")
    site.let_go()
    site.lands("two")
    assert notes.read_text() == "holds\nover\n"
