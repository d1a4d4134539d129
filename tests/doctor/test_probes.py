"""What `overnight doctor` looks at, and what it makes of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from overnight.doctor import machine, programs, state
from overnight.doctor.findings import Level, Sighting, diagnosis, fail, ok, warn
from overnight.doctor.look import Look, examine
from overnight.doctor.probes import PROBES
from overnight.durable.client import Client
from overnight.durable.journal import Lock, connect
from overnight.errors import AgentUnavailable
from overnight.missions.policy import BoxLevel
from overnight.ports import Guarantees, Mechanism


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """A person's machine without settings, and a system's folders that hold nothing."""
    root = tmp_path / "root"
    root.mkdir()
    return Look({"HOME": str(tmp_path), "PATH": os.environ["PATH"], "OVERNIGHT_HOME": str(tmp_path / "state")}, root)


def configured(look: Look, text: str) -> Look:
    """With these settings."""
    path = Path(look.environ["HOME"]) / "config.toml"
    path.write_text(text)
    return Look({**look.environ, "OVERNIGHT_CONFIG": str(path)}, look.root)


def put(look: Look, path: str, text: str) -> None:
    """A file of the system."""
    where = look.root / path
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(text)


def test_a_probe_that_crashes_or_hangs_is_a_failed_line(look: Look) -> None:
    """Neither ends the others, and each says what happened; the order is kept."""
    forever = threading.Event()

    def hangs(_: Look) -> Sighting:
        forever.wait()
        raise AssertionError

    def crashes(_: Look) -> Sighting:
        raise ZeroDivisionError("by nought")

    def well(_: Look) -> Sighting:
        return ok("well", "all is")

    def refuses(_: Look) -> Sighting:
        raise AgentUnavailable(agent="claude", reason="it is away", install="Get it.")

    probes = (("hangs", hangs), ("crashes", crashes), ("refuses", refuses), ("well", well))
    lines = examine(look, probes, limit=0.2)
    forever.set()
    assert [(line.name, line.level) for line in lines] == [
        ("hangs", Level.FAIL), ("crashes", Level.FAIL), ("refuses", Level.FAIL), ("well", Level.OK),
    ]  # fmt: skip
    assert "no answer within 0.2 s" in lines[0].seen
    assert "ZeroDivisionError: by nought" in lines[1].seen
    assert "it is away" in lines[2].seen


def test_warnings_leave_it_fit_and_a_failure_does_not() -> None:
    """The sum follows the lines."""
    assert diagnosis((ok("a", "x"), warn("b", "x", "y"))).fit
    assert not diagnosis((ok("a", "x"), fail("b", "x", "y"))).fit


def test_every_probe_answers_here(look: Look) -> None:
    """On this machine each gives the line of its own name, and says what to do unless all is well."""
    lines = examine(Look(look.environ), PROBES, limit=30)
    assert [line.name for line in lines] == [name for name, _ in PROBES]
    assert all(line.seen for line in lines)
    assert all(bool(line.do) == (line.level is not Level.OK) for line in lines)


def test_broken_settings_fail_wherever_they_are_needed(look: Look) -> None:
    """The settings' own line names the file; nobody falls back to the defaults."""
    broken = configured(look, '[box]\nname = "bubblewarp"\n')
    lines = {line.name: line for line in examine(broken, PROBES, limit=30)}
    assert lines["settings"].level is Level.FAIL
    assert "bubblewarp" in lines["settings"].seen
    assert {name for name, line in lines.items() if line.level is Level.FAIL} >= {"settings", "claude", "login", "box"}


@pytest.mark.parametrize(
    ("environ", "settings", "level", "words"),
    [
        ({}, "", Level.FAIL, "is not set"),
        ({"ANTHROPIC_API_KEY": "sk-secret"}, "", Level.OK, "billed by use"),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "tok-secret"}, "", Level.OK, "a subscription's token is set"),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "tok-secret"}, '[agents.claude]\nroute = "gateway"\n', Level.FAIL, "ANTHROPIC_API_KEY"),
        ({"ANTHROPIC_API_KEY": "sk-secret"}, '[agents.claude]\nroute = "direct"\n', Level.FAIL, "CLAUDE_CODE_OAUTH_TOKEN"),
        ({}, '[agents.command]\nargv = ["true"]\n', Level.WARN, "is not set"),
    ],
)  # fmt: skip
def test_a_login_is_there_or_not(look: Look, environ: dict[str, str], settings: str, level: Level, words: str) -> None:
    """Presence and who pays, by the route; never the secret itself."""
    there = configured(look, settings)
    line = programs.login(Look({**there.environ, **environ}, look.root))
    assert (line.level, words in line.seen) == (level, True), line
    assert "secret" not in line.seen + line.do


def test_what_a_box_holds_is_told_by_name() -> None:
    """Also what it does not hold, and by which means bounds are kept."""
    held = Guarantees(level=BoxLevel.OS, name="b", files=True, network=False, memory=Mechanism.CGROUP1)
    holds, lacks = programs.told(held)
    assert holds == ["files", "memory (cgroup1)"]
    assert {"network", "pids"} <= set(lacks)


def test_no_box_is_a_warning(look: Look) -> None:
    """It was chosen, and it holds nothing."""
    line = programs.box(configured(look, '[box]\nname = "none"\ni_know = true\n'))
    assert line.level is Level.WARN
    assert "whatever you can do" in line.seen


@pytest.mark.parametrize(("free", "level"), [(0, Level.FAIL), (2 << 30, Level.WARN), (50 << 30, Level.OK)])
def test_room(free: int, level: Level) -> None:
    """Too little fails, little warns."""
    assert machine.judge_disk(free, "/state").level is level


@pytest.mark.parametrize(
    ("most", "free", "level"),
    [(0, 0, Level.OK), (10**6, 10, Level.FAIL), (10**6, 10**5, Level.WARN), (10**7, 10**6, Level.OK)],
)
def test_room_for_files(most: int, free: int, level: Level) -> None:
    """A file system that does not count them has enough."""
    assert machine.judge_inodes(most, free).level is level


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("now", "last", "synchronised", "level"),
    [
        (0.0, None, True, Level.FAIL),
        (NOW, NOW + 3600, True, Level.FAIL),
        (NOW, NOW - 3600, True, Level.OK),
        (NOW, None, False, Level.WARN),
        (NOW, None, None, Level.OK),
    ],
)
def test_the_clock(now: float, last: float | None, synchronised: bool | None, level: Level) -> None:
    """Absurd or behind the journal fails; left alone warns."""
    assert machine.judge_clock(now, last, synchronised).level is level


@pytest.mark.parametrize(
    ("files", "level", "words"),
    [
        ({}, Level.OK, "no systemd"),
        ({"run/systemd/system/x": ""}, Level.OK, "does not put"),
        ({"run/systemd/system/x": "", "proc/acpi/button/lid/LID0/state": "open"}, Level.WARN, "lid is closed"),
        (
            {
                "run/systemd/system/x": "",
                "proc/acpi/button/lid/LID0/state": "open",
                "etc/systemd/logind.conf": "[Login]\nHandleLidSwitch=suspend\n",
                "etc/systemd/logind.conf.d/50.conf": "[Login]\nHandleLidSwitch=ignore\n",
            },
            Level.OK,
            "does not put",
        ),
        ({"run/systemd/system/x": "", "etc/systemd/logind.conf": "[Login]\nIdleAction=suspend\n"}, Level.WARN, "idle"),
    ],
)
def test_sleep(look: Look, files: dict[str, str], level: Level, words: str) -> None:
    """logind's configuration with its drop-ins, where there is a logind, and the tool that would overrule it is missing."""
    for path, text in files.items():
        put(look, path, text)
    look = Look({**look.environ, "PATH": "/nowhere"}, look.root)
    line = machine.sleep(look)
    assert (line.level, words in line.seen) == (level, True), line
    assert ("systemd-inhibit is not there" in line.seen) == bool(files)


@pytest.mark.parametrize(
    ("answer", "settings", "level", "words"),
    [
        ("exit 0", "", Level.OK, "keeps the machine awake"),
        ("echo Access denied >&2; exit 1", "", Level.WARN, "can't keep it awake: Access denied"),
        ("exit 0", "inhibit_sleep = false", Level.WARN, "it is switched off"),
        ("exit 1", 'inhibitor = ["sh"]', Level.OK, "sh keeps the machine awake"),
        ("exit 0", 'inhibitor = ["nowhere-to-be-found"]', Level.WARN, "nothing keeps"),
    ],
)
def test_whether_it_can_be_kept_awake(look: Look, answer: str, settings: str, level: Level, words: str) -> None:
    """The tool is really asked, with the daemon's arguments: a machine that would sleep is no trouble where it is granted."""
    put(look, "run/systemd/system/x", "")
    put(look, "etc/systemd/logind.conf", "[Login]\nIdleAction=suspend\n")
    put(look, "bin/systemd-inhibit", f'#!/bin/sh\n[ "$1" = --what=sleep:idle:handle-lid-switch ] || exit 9\n{answer}\n')
    (look.root / "bin/systemd-inhibit").chmod(0o755)
    look = configured(look, f"[daemon]\n{settings}\n")
    look = Look({**look.environ, "PATH": f"{look.root}/bin:{os.environ['PATH']}"}, look.root)
    line = machine.sleep(look)
    assert (line.level, words in line.seen) == (level, True), line


def test_windows_decides_in_wsl(look: Look) -> None:
    """Nothing inside WSL keeps Windows awake."""
    put(look, "proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2\n")
    assert "Windows decides" in machine.sleep(look).seen


def test_a_masked_sleep_target_is_no_sleep(look: Look) -> None:
    """Whatever logind would do."""
    put(look, "run/systemd/system/x", "")
    put(look, "etc/systemd/logind.conf", "[Login]\nIdleAction=suspend\n")
    unit = look.root / "etc/systemd/system/sleep.target"
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/dev/null")
    assert machine.sleep(look).level is Level.OK


@pytest.mark.parametrize(
    ("said", "level"),
    [
        (" sleep                0\n", Level.OK),
        (" sleep                10 (prevented)\n", Level.WARN),
        ("?", Level.WARN),
    ],
)
def test_pmset(said: str, level: Level) -> None:
    """Minutes until sleep; 0 is never, and what can't be read is not taken for that."""
    assert machine.judge_pmset(said, held=False).level is level
    assert machine.judge_pmset(" sleep 10\n", held=True).level is Level.OK


@pytest.mark.parametrize(
    ("status", "level"), [("Discharging", Level.WARN), ("Charging", Level.OK), ("Full", Level.OK), (None, Level.OK)]
)
def test_power(look: Look, status: str | None, level: Level) -> None:
    """A battery that is being used up; a mouse's own does not count."""
    put(look, "sys/class/power_supply/hid/type", "Battery\n")
    put(look, "sys/class/power_supply/hid/scope", "Device\n")
    put(look, "sys/class/power_supply/hid/status", "Discharging\n")
    if status is not None:
        put(look, "sys/class/power_supply/BAT0/type", "Battery\n")
        put(look, "sys/class/power_supply/BAT0/status", f"{status}\n")
        put(look, "sys/class/power_supply/BAT0/capacity", "80\n")
    assert machine.power(look).level is level


@pytest.mark.parametrize(("actions", "level"), [("kill_process errno allow", Level.OK), ("", Level.FAIL)])
def test_seccomp(look: Look, actions: str, level: Level) -> None:
    """What the kernel says it can."""
    put(look, "proc/sys/kernel/seccomp/actions_avail", actions)
    assert machine.seccomp(look).level is level


def test_the_journal_is_looked_at(look: Look) -> None:
    """None is well, a whole one is well, a changed and a cut one are not."""
    assert state.journal(look).level is Level.OK
    for n in range(5):
        Client(look.home).call("put", kind="note", key=f"n{n}", value=n)
    assert "last 5 events" in state.journal(look).seen
    path = look.home / "journal.db"
    db = connect(path)
    for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {row['name']}")
    db.execute("UPDATE event SET why = 'another' WHERE seq = 3")
    assert "event 3" in state.journal(look).seen
    db.execute("UPDATE event SET why = 'n2' WHERE seq = 3")
    assert state.journal(look).level is Level.OK
    db.execute("DELETE FROM event WHERE seq = 5")
    db.close()
    line = state.journal(look)
    assert (line.level, "event 5" in line.seen) == (Level.FAIL, True)


def test_a_journal_that_is_none_fails(look: Look) -> None:
    """Whatever lies there under its name."""
    look.home.mkdir()
    (look.home / "journal.db").write_text("no database, and long enough to be read as one" * 99)
    assert state.journal(look).level is Level.FAIL


def test_a_silent_holder_of_the_journal_is_no_daemon(look: Look) -> None:
    """None is a warning; a process that holds the lock and does not answer is a failure."""
    assert state.daemon(look).level is Level.WARN
    lock = Lock(look.home)
    try:
        line = state.daemon(look)
    finally:
        lock.release()
    assert (line.level, str(os.getpid()) in line.seen) == (Level.FAIL, True)


def test_programs_that_are_missing_are_named(look: Look, tmp_path: Path) -> None:
    """An empty PATH has none of them."""
    line = programs.programs(Look({"PATH": str(tmp_path)}, look.root))
    assert (line.level, "git" in line.seen) == (Level.FAIL, True)
