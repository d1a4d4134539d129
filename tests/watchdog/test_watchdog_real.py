"""The watchdog on real processes: what hangs or dies is noticed, told by two ways, killed, and started again."""

from __future__ import annotations

import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from watchdog_lab import RULES, Machine

from overnight.durable.identity import is_alive
from testkit.waiting import PATIENCE, soon

pytestmark = pytest.mark.slow


def test_a_daemon_that_dies_is_told_and_not_started(machine: Machine) -> None:
    """kill -9 by somebody else: both ways tell, and nobody starts what the watchdog did not kill."""
    daemon = machine.daemon()
    watch = machine.watch()
    os.kill(daemon, signal.SIGKILL)
    told = machine.ear.hears("daemon-dead")
    assert told["severity"] == "alarm"
    assert f"process {daemon}) died without a word" in told["text"]
    soon(lambda: "daemon-dead alarm" in machine.told() or None)
    assert "died without a word" in machine.heard.read_text()
    assert machine.beat().pid == daemon
    watch.terminate()
    assert watch.wait(PATIENCE) == 0


def test_a_daemon_that_is_ended_in_order_is_no_alarm(machine: Machine) -> None:
    """`overnight down` is nobody's death: the watchdog goes on and says nothing, until one dies."""
    first = machine.daemon()
    machine.watch()
    os.kill(first, signal.SIGTERM)
    soon(lambda: (beat := machine.beat()) and beat.ended)
    second = machine.daemon()
    os.kill(second, signal.SIGKILL)
    assert str(second) in machine.ear.hears("daemon-dead")["text"]
    assert len([key for key in machine.told() if key.startswith("daemon-dead")]) <= 1


def test_a_stopped_daemon_is_killed_and_started_while_its_runs_go_on(machine: Machine) -> None:
    """SIGSTOP: told, killed, started again as it was; the run under way is the same one and lands."""
    daemon = machine.daemon()
    machine.add("one")
    warden = machine.warden("one.1.1")
    machine.watch()
    os.kill(daemon, signal.SIGSTOP)
    assert "is stopped by a signal" in machine.ear.hears("daemon-hangs")["text"]
    machine.ear.hears("daemon-started")
    again = soon(lambda: beat.pid if (beat := machine.beat()) and beat.pid != daemon and beat.turns else None)
    assert is_alive(warden)
    machine.let_go()
    soon(lambda: machine.phase("one") == "landed" or None)
    assert not (machine.home / "runs" / "one" / "1" / "2").exists()
    os.kill(again, signal.SIGTERM)
    soon(lambda: (beat := machine.beat()) and beat.ended)


def test_what_hangs_in_a_loop_is_killed(machine: Machine) -> None:
    """A process that beat once as the daemon does and then turns in circles: no pulse, no answer."""
    machine.home.mkdir()
    code = (
        "import sys; from pathlib import Path; from overnight.durable.beat import Beat; "
        "from overnight.durable.identity import identify; me = identify(); "
        "Beat(Path(sys.argv[1]), me.pid, me.started, me.boot).write({'turns': 1}); print('up', flush=True)\nwhile True: pass"
    )
    hung = subprocess.Popen([sys.executable, "-P", "-c", code, str(machine.home)], stdout=subprocess.PIPE)
    try:
        assert hung.stdout is not None
        assert hung.stdout.readline() == b"up\n"
        machine.watch(replace(RULES, restart=False))
        assert "hangs: no sign of life" in machine.ear.hears("daemon-hangs")["text"]
        assert hung.wait(PATIENCE) == -signal.SIGKILL
    finally:
        hung.kill()
        hung.communicate()


def test_a_stopped_warden_is_killed_with_its_tree(machine: Machine) -> None:
    """Nobody keeps that run within its limits: it ends, with the agent; the daemon goes on."""
    daemon = machine.daemon()
    machine.add("one")
    warden = machine.warden("one.1.1")
    soon(lambda: psutil.Process(warden.pid).children(recursive=True) or None)
    below = psutil.Process(warden.pid).children(recursive=True)
    machine.watch()
    os.kill(warden.pid, signal.SIGSTOP)
    told = machine.ear.hears("run one.1.1")
    assert "is stopped by a signal" in told["text"]
    soon(lambda: not is_alive(warden) or None)
    gone, alive = psutil.wait_procs(below, PATIENCE)
    assert gone
    assert not alive
    outcome = machine.home / "runs" / "one" / "1" / "1" / "outcome.json"
    soon(lambda: outcome.exists() or None)
    assert json.loads(outcome.read_text())["end"] == "lost"
    assert psutil.pid_exists(daemon)
    assert machine.beat().pid == daemon


def test_a_warden_that_dies_is_told(machine: Machine) -> None:
    """kill -9 of a warden: the person hears of it, whoever takes the task up again."""
    machine.daemon()
    machine.add("one")
    warden = machine.warden("one.1.1")
    machine.watch()
    os.kill(warden.pid, signal.SIGKILL)
    assert "died" in machine.ear.hears("run one.1.1")["text"]


def test_a_journal_that_was_written_over_is_told(machine: Machine) -> None:
    """Its beginning is garbage, or its end is cut off: told."""
    daemon = machine.daemon()
    os.kill(daemon, signal.SIGTERM)
    soon(lambda: (beat := machine.beat()) and beat.ended)
    machine.watch()
    journal = machine.home / "journal.db"
    with journal.open("r+b") as file:
        file.write(b"garbage!" * 16)
    assert "beginning was written over" in machine.ear.hears("journal")["text"]


def test_an_event_that_was_changed_is_told(machine: Machine) -> None:
    """The file is sound, one old event is not as it was written: told by both ways while the daemon goes on."""
    daemon = machine.daemon()
    machine.add("one")
    machine.warden("one.1.1")
    db = sqlite3.connect(machine.home / "journal.db", timeout=60)
    db.execute("DROP TRIGGER event_no_update")
    db.execute("UPDATE event SET why = 'something else' WHERE seq = 2")
    db.commit()
    db.close()
    machine.watch()
    assert "event 2 is not as it was written" in machine.ear.hears("journal")["text"]
    soon(lambda: "journal alarm" in machine.told() or None)
    assert machine.beat().pid == daemon


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_is_told_and_harms_nobody(tmp_path: Path) -> None:
    """The disk of the state folder is full: told within its time, told when it is over; the daemon lives through it."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(small)], check=False, capture_output=True
    ).returncode:
        pytest.skip("no disks can be mounted here")
    machine = Machine(tmp_path, small / "state")
    try:
        daemon = machine.daemon()
        machine.watch(replace(RULES, disk=4 << 20))
        filler = small / "filler"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            except OSError:
                pass
        assert "free on the disk" in machine.ear.hears("disk")["text"]
        n = machine.beat().n
        soon(lambda: (beat := machine.beat()) and beat.n > n + 3)  # beats go on where nothing can be written anew
        filler.unlink()
        assert "again" in machine.ear.hears("disk")["text"]
        assert machine.beat().pid == daemon
        assert not [key for key in machine.told() if key.startswith("daemon-")]
    finally:
        machine.close()
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_the_ping_stops_when_something_is_wrong(machine: Machine) -> None:
    """As long as all is well somebody elsewhere hears so; a dead daemon silences it."""
    daemon = machine.daemon()
    machine.watch(replace(RULES, ping=machine.ear.url("/ping"), ping_every=0.2))
    for _ in range(3):
        machine.ear.pings.get(timeout=PATIENCE)
    os.kill(daemon, signal.SIGKILL)
    machine.ear.hears("daemon-dead")
    while not silent(machine):  # one may have been under way
        pass
    assert machine.ear.pings.empty()


def silent(machine: Machine) -> bool:
    """Whether no ping comes any more, for many times as long as one took to come before."""
    try:
        machine.ear.pings.get(timeout=3)
    except queue.Empty:
        return True
    return False


def test_only_one_watches(machine: Machine) -> None:
    """A second watchdog of the same folder says so and ends."""
    machine.watch()
    second = machine.watch()
    assert second.wait(PATIENCE) == 3


def test_it_imports_nothing_that_can_hang() -> None:
    """Nothing but the standard library, psutil and its own modules is loaded in its process."""
    code = (
        "import sys; import overnight.watchdog.__main__, overnight.watchdog.post, overnight.watchdog.look, psutil; "
        "print(*sorted({m.partition('.')[0] for m in sys.modules} - sys.stdlib_module_names)); "
        "print(*sorted(m for m in sys.modules if m.startswith('overnight')))"
    )
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=env)
    outside, ours = done.stdout.splitlines()
    allowed = {"__main__", "overnight", "psutil", "_virtualenv", "sitecustomize", "usercustomize", "_distutils_hack"}
    assert {each for each in outside.split() if not each.startswith(("__editable__", "_editable"))} <= allowed, outside
    known = (
        "overnight.watchdog", "overnight.durable.beat", "overnight.durable.links", "overnight.service.logs",
        "overnight.service.restarts",
    )  # fmt: skip
    rooms = ("overnight", "overnight.durable", "overnight.service")
    assert [m for m in ours.split() if m not in rooms and not m.startswith(known)] == []
