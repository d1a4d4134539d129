"""A daemon and a watchdog as a service manager runs them: told when ready, alive and ending; logged; begun again later
each time."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from upgrade_lab import Site

from overnight.errors import BadInput, Refused
from overnight.service.plan import KEEPER
from overnight.service.restarts import (
    CAP_S,
    FLOOR_S,
    HOUR_S,
    WELL_S,
    Start,
    backoff,
    forget_starts,
    note_start,
    read_starts,
    wait_before,
)
from overnight.service.sdnotify import Teller
from overnight.service.secrets import place, read_environment
from overnight.watchdog.look import read_beat
from testkit.waiting import PATIENCE, soon


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site]:
    """A machine on which nothing runs yet."""
    site = Site(tmp_path)
    yield site
    site.close()


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.link.bind(address)
        self.link.settimeout(PATIENCE)

    def hears(self, word: str) -> str:
        """The next message with this word; others are passed over."""
        while True:
            said = self.link.recv(4096).decode()
            if word in said:
                return said


@pytest.fixture
def manager(tmp_path: Path) -> Generator[Manager]:
    """One that listens at `notify`."""
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.link.close()


# -- telling the manager ------------------------------------------------------------------------------------


def test_what_is_told(tmp_path: Path, manager: Manager) -> None:
    """systemd's lines, and the variables are gone from the environment that children get."""
    environ = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_PID": str(os.getpid()),
        "WATCHDOG_USEC": "1",
        KEEPER: "systemd",
    }
    teller = Teller.taken_from(environ)
    assert (environ, teller.keeper) == ({}, "systemd")
    teller.ready()
    assert manager.hears("READY=1").splitlines()[1] == f"MAINPID={os.getpid()}"
    teller.alive()
    assert manager.hears("WATCHDOG") == "WATCHDOG=1"
    teller.stopping()
    assert manager.hears("STOPPING=1")


def test_nobody_listens(tmp_path: Path) -> None:
    """No socket, a dead one, somebody else's variables, a bad address: nothing is told and nothing breaks."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as dead:
        dead.bind(str(tmp_path / "dead"))
    for environ in (
        {}, {"NOTIFY_SOCKET": str(tmp_path / "none")}, {"NOTIFY_SOCKET": str(tmp_path / "dead")},
        {"NOTIFY_SOCKET": "vsock:2:1234"}, {"NOTIFY_SOCKET": "@overnight-nobody-here"},
    ):  # fmt: skip
        Teller.taken_from(environ).ready()


def test_a_message_for_another_process_is_not_ours(tmp_path: Path, manager: Manager) -> None:
    """WATCHDOG_PID names who is meant."""
    Teller.taken_from({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_PID": "1"}).ready()
    assert not select.select([manager.link], [], [], 0)[0]


@pytest.mark.slow
def test_the_daemon_under_a_manager(site: Site, manager: Manager) -> None:
    """It says READY once it answers, lives, and STOPPING; its log is its own, mode 0600; its beat names its keeper; logins
    come from the file; runs get nothing of the manager's."""
    (site.folder / "environment").write_text("# logins\nMY_LOGIN='abc def'\n")
    (site.folder / "environment").chmod(0o600)
    child = site.service("daemon", NOTIFY_SOCKET=str(site.folder / "notify"), WATCHDOG_USEC="180000000")
    assert f"MAINPID={child.pid}" in manager.hears("READY=1")
    manager.hears("WATCHDOG=1")
    assert site.ping()["pid"] == child.pid
    beat = soon(lambda: read_beat(site.home / "daemon.beat"))
    assert beat.keeper == "systemd"
    assert site.run("service", "install", "--for", "systemd", "--dry-run").returncode == 0
    assert len(read_starts(site.home)) == 1
    site.add("one")
    warden = site.warden("one.1.1")
    environ = dict(pair.split("=", 1) for pair in Path(f"/proc/{warden.pid}/environ").read_text().split("\0") if pair)
    assert environ["MY_LOGIN"] == "abc def"
    assert not {KEEPER, "NOTIFY_SOCKET", "WATCHDOG_USEC"} & environ.keys()
    child.send_signal(signal.SIGTERM)
    manager.hears("STOPPING=1")
    assert child.wait(PATIENCE) == 0
    log = site.home / "daemon.log"
    assert "daemon.up" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    assert read_starts(site.home) == ()


@pytest.mark.slow
def test_a_service_that_must_not_be_started_again(site: Site) -> None:
    """Where it died too often it stays down: 3 for systemd, which is told so; 0 where a manager knows no such code."""
    now = time.time()
    note_start(site.home, [Start(now - 1, now - 1)] * 5)
    for keeper, code in (("systemd", 3), ("launchd", 0), ("wsl", 0)):
        child = site.service("daemon", **{KEEPER: keeper})
        assert child.wait(PATIENCE) == code
    assert (site.home / "daemon.log").read_text().count("it stays down") == 3
    forget_starts(site.home)
    daemon = site.daemon()
    assert site.service("daemon").wait(PATIENCE) == 3
    assert daemon.poll() is None


@pytest.mark.slow
def test_a_log_that_can_not_be_written(site: Site) -> None:
    """A link in the log's place: refused, not followed, with the file's name and no traceback."""
    site.home.mkdir()
    (site.home / "daemon.log").symlink_to("/dev/null")
    child = site.service("daemon")
    assert child.wait(PATIENCE) == 3
    assert not list(site.home.glob("crash-*"))


@pytest.mark.slow
def test_the_watchdog_under_a_manager(site: Site) -> None:
    """It stays the process that the manager started, logs to its own file, and a second one is refused."""
    child = site.service("watchdog")
    log = site.home / "watchdog.log"
    soon(lambda: log.exists() and f"watches {site.home}" in log.read_text())
    assert Path(f"/proc/{child.pid}/cmdline").read_bytes().split(b"\0")[3] == b"overnight.watchdog"
    assert site.service("watchdog").wait(PATIENCE) == 3
    assert site.service("watchdog", **{KEEPER: "launchd"}).wait(PATIENCE) == 0
    child.terminate()
    assert child.wait(PATIENCE) == 0


# -- beginning again ----------------------------------------------------------------------------------------


def starts(*lifetimes: float, now: float = 1e9) -> tuple[Start, ...]:
    """Starts of daemons that lived so long, one after the other, the last one died just now."""
    found: list[Start] = []
    at = now
    for lived in reversed(lifetimes):
        found.append(Start(at - lived, at - lived))
        at -= lived + 1
    return tuple(reversed(found))


@pytest.mark.parametrize(
    ("lives", "chance", "wait"),
    [
        ((), 0.5, 0.0),  # the first
        ((1,), 0.5, 10.0),
        ((1, 1), 0.5, 20.0),
        ((1, 1, 1), 0.5, 40.0),
        ((1,), 0.0, 10.0),  # a quarter less, but for the floor
        ((1,), 1.0, 12.5),
        ((1, 1), 0.0, 15.0),
        ((1, 1), 1.0, 25.0),
        ((1, 1, WELL_S), 0.5, 0.0),  # it was well: it begins at once
        ((1, WELL_S, 1), 0.5, 10.0),
        ((WELL_S - 2,) * 4, 0.5, 80.0),
    ],
)
def test_how_long_it_waits(lives: tuple[float, ...], chance: float, wait: float) -> None:
    """Ten seconds, doubled with each in a row, a quarter more or less; none after a healthy life."""
    assert wait_before(starts(*lives), 1e9, 100, chance) == wait


def test_bounds_of_the_wait() -> None:
    """Never below ten seconds, never above ten minutes."""
    assert {backoff(n, c) for n in range(30) for c in (0.0, 1.0)} <= {
        *(backoff(n, c) for n in range(7) for c in (0.0, 1.0)),
        CAP_S,
    }
    assert all(FLOOR_S <= backoff(n, c) <= CAP_S for n in range(2000) for c in (0.0, 0.5, 1.0))


def test_a_limit_per_hour() -> None:
    """The sixth start within an hour is none; starts of another hour, or of a clock that was set back, do not count."""
    now = 1e9
    row = tuple(Start(now - 10 * n, now - 10 * n) for n in range(5, 0, -1))
    assert wait_before(row, now, 5, 0.5) is None
    assert wait_before(row, now, 6, 0.5) is not None
    assert wait_before(row, now + HOUR_S, 5, 0.5) == 0.0
    assert wait_before(row, now - 100, 5, 0.5) == 0.0


def test_starts_are_remembered(tmp_path: Path) -> None:
    """Over processes; a file that is damaged or can't be written makes the row short and stops nothing."""
    assert read_starts(tmp_path) == ()
    note_start(tmp_path, [Start(1.0, 2.0)])
    assert read_starts(tmp_path) == (Start(1.0, 2.0),)
    (tmp_path / "daemon.starts").write_text("{")
    assert read_starts(tmp_path) == ()
    (tmp_path / "daemon.starts").unlink()
    (tmp_path / "daemon.starts").mkdir()
    note_start(tmp_path, [Start(1.0, 2.0)])
    assert read_starts(tmp_path) == ()


# -- logins and keys ----------------------------------------------------------------------------------------


def test_the_environment_file(tmp_path: Path) -> None:
    """Lines NAME=VALUE, comments, quotes around a value; it lies beside the settings."""
    path = place({"OVERNIGHT_CONFIG": str(tmp_path / "config.toml")})
    assert path == tmp_path / "environment"
    assert read_environment(path) == {}
    path.write_text('# keys\n\n A=1\nB="two words"\nC=\'x="y"\'\nD=\nE=$A # not a comment\n')
    path.chmod(0o600)
    assert read_environment(path) == {"A": "1", "B": "two words", "C": 'x="y"', "D": "", "E": "$A # not a comment"}


def test_an_environment_file_that_is_refused(tmp_path: Path) -> None:
    """One that others may read, one that is no file, one with a line that is none; a value is never shown."""
    path = tmp_path / "environment"
    path.write_text("A=1\n")
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(Refused, match="chmod 600"):
            read_environment(path)
    path.chmod(0o600)
    path.write_text("A=1\nexport sk-secret\n")
    with pytest.raises(BadInput) as said:
        read_environment(path)
    assert ":2 is no line" in str(said.value)
    assert "sk-secret" not in str(said.value)
    path.write_text(f"A={'x' * (1 << 20)}\n")  # cut, it would be another secret
    with pytest.raises(BadInput, match="larger than 1 MiB"):
        read_environment(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Refused):
        read_environment(path)
