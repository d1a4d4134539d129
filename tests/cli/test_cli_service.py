"""`overnight service`, as it is typed. `systemctl` and `loginctl` are stand-ins here: scripts that note what they are asked."""

from __future__ import annotations

import json
import os
import sys

import pytest
from cli_stage import Desktop

STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$HOME/asked"
case "$*" in
    *Linger*) echo no ;;
    *" show "*) printf 'ActiveState=active\\nSubState=running\\nUnitFileState=enabled\\nMainPID=42\\nNRestarts=0\\n' ;;
    *) [ ! -e "$HOME/no-bus" ] || { echo "Failed to connect to bus: No such file or directory" >&2; exit 1; } ;;
esac
"""


@pytest.fixture
def machine(desktop: Desktop) -> Desktop:
    """A machine whose service manager is a stand-in."""
    folder = desktop.folder / "bin"
    folder.mkdir()
    for name in ("systemctl", "loginctl"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    desktop.env["PATH"] = f"{folder}:{os.environ['PATH']}"
    return desktop


def units(machine: Desktop) -> list[str]:
    """What lies where systemd looks."""
    return sorted(path.name for path in (machine.folder / ".config/systemd/user").glob("*"))


def asked(machine: Desktop) -> list[str]:
    """What the manager was asked to do, in order; looks left out."""
    lines = (machine.folder / "asked").read_text().splitlines() if (machine.folder / "asked").exists() else []
    return [line.removeprefix("systemctl --user ") for line in lines if " show" not in line]


FOR = ("--for", "systemd")


def test_install_status_remove(machine: Desktop) -> None:
    """There, there again, looked at, and away: what is written is shown, and nothing else is touched."""
    said = machine.run("service", "install", *FOR)
    assert said.exit_code == 0, said.output
    assert units(machine) == ["overnight-watchdog.service", "overnight.service"]
    assert "written" in said.stdout
    assert "ran  systemctl --user enable --now overnight.service overnight-watchdog.service" in said.stdout
    assert "enable-linger" in said.stderr
    assert f"{machine.folder}/environment" in said.stderr.replace("\n", "")
    text = (machine.folder / ".config/systemd/user/overnight.service").read_text()
    assert f"OVERNIGHT_HOME={machine.home}" in text
    assert sys.executable in text
    assert machine.ok("service", "install", *FOR).count("unchanged") == 2
    view = machine.json("service", "status", *FOR)
    assert [(part["part"], part["standing"], part["enabled"], part["pid"]) for part in view["parts"]] == [
        ("daemon", "current", True, 42), ("watchdog", "current", True, 42),
    ]  # fmt: skip
    assert (view["manager"], view["lingers"], view["daemon"], view["has_environment"]) == (
        "systemd",
        False,
        None,
        False,
    )
    assert f"{machine.home}/daemon.log" in view["logs"]
    plain = machine.ok("service", "status", *FOR)
    assert "active (running)" in plain
    assert "it ends" in plain
    assert machine.ok("service", "remove", *FOR).count("removed") == 2
    assert units(machine) == []
    assert asked(machine)[-2:] == ["disable --now overnight.service overnight-watchdog.service", "daemon-reload"]
    assert "not installed" in machine.ok("service", "status", *FOR)
    assert not machine.home.exists()


def test_nothing_is_done_in_a_rehearsal(machine: Desktop) -> None:
    """`--dry-run` prints files and commands of any manager; `--write` writes them somewhere and tells nobody."""
    said = machine.ok("service", "install", *FOR, "--dry-run")
    assert "KillMode=process" in said
    assert "$ systemctl --user enable --now" in said
    assert "<key>RunAtLoad</key>" in machine.ok("service", "install", "--for", "launchd", "--dry-run")
    refused = machine.run("service", "install", "--for", "wsl", "--dry-run")
    assert (refused.exit_code, "WSL_DISTRO_NAME" in refused.stderr) == (2, True)
    machine.env["WSL_DISTRO_NAME"] = "Debian"
    said = machine.ok("service", "install", "--for", "wsl", "--write", "out")
    assert sorted(path.name for path in (machine.folder / "out").iterdir()) == [
        "overnight-daemon.xml",
        "overnight-watchdog.xml",
    ]
    assert "No service manager was told" in said
    assert units(machine) == []
    assert asked(machine) == []


def test_edited_files_stay(machine: Desktop) -> None:
    """Refused with what to do; `--force` keeps the edited one beside."""
    machine.ok("service", "install", *FOR)
    path = machine.folder / ".config/systemd/user/overnight.service"
    path.write_text(path.read_text() + "# mine\n")
    refused = machine.run("service", "install", *FOR)
    assert (refused.exit_code, "systemctl --user edit" in " ".join(refused.stderr.split())) == (3, True)
    assert "changed by you" in machine.ok("service", "status", *FOR)
    assert "replaced" in machine.ok("service", "install", *FOR, "--force")
    assert "# mine" in path.with_name("overnight.service.bak").read_text()
    path.write_text(path.read_text() + "# mine\n")
    machine.ok("service", "remove", *FOR)
    assert units(machine) == ["overnight.service", "overnight.service.bak"]


def test_no_manager_answers(machine: Desktop) -> None:
    """The files are there, what failed is said with exit code 4; removing works all the same."""
    (machine.folder / "no-bus").touch()
    failed = machine.run("service", "install", *FOR)
    assert (failed.exit_code, "Failed to connect to bus" in " ".join(failed.stderr.split())) == (4, True)
    assert len(units(machine)) == 2
    assert machine.ok("service", "remove", *FOR).count("removed") == 2
    assert machine.run("service", "restart", *FOR).exit_code == 4


def test_a_daemon_by_hand_goes_first(machine: Desktop) -> None:
    """Two daemons can't be: one that a terminal started is named, and nothing is installed."""
    started = machine.process("up", "--detach")
    assert started.returncode == 0, started.stderr
    try:
        refused = machine.run("service", "install", *FOR)
        assert (refused.exit_code, "overnight down" in " ".join(refused.stderr.split())) == (2, True)
        assert units(machine) == []
    finally:
        machine.ok("down")


def test_a_restart_forgets_the_row(machine: Desktop) -> None:
    """Who asks for a start gets one at once, whatever crashed before."""
    machine.home.mkdir()
    row = machine.home / "daemon.starts"
    row.write_text(json.dumps([[1.0, 1.0]]))
    machine.ok("service", "restart", *FOR)
    assert not row.exists()
    assert asked(machine)[-1] == "restart overnight.service overnight-watchdog.service"


def test_without_systemctl(desktop: Desktop) -> None:
    """Said as such; what is installed is still told."""
    (desktop.folder / "empty").mkdir()
    desktop.env["PATH"] = str(desktop.folder / "empty")
    failed = desktop.run("service", "install", *FOR)
    assert (failed.exit_code, "systemctl is not there" in " ".join(failed.stderr.split())) == (4, True)
    parts = desktop.json("service", "status", *FOR)["parts"]
    assert [(part["standing"], part["enabled"], part["running"]) for part in parts] == [("current", None, None)] * 2


def test_logs_of_a_detached_daemon_begin_anew(desktop: Desktop) -> None:
    """`up --detach` writes its log by the same rules, also what an older version left there."""
    (desktop.folder / "config.toml").write_text('[logs]\nsize = "4KiB"\nkeep = 2\n')
    desktop.home.mkdir(mode=0o700)
    log = desktop.home / "daemon.log"
    log.write_text("old\n" * 2000)
    started = desktop.process("up", "--detach")
    try:
        assert started.returncode == 0, started.stderr
    finally:
        desktop.ok("down")  # by then it has looked
    (old,) = desktop.home.glob("daemon.log.*")
    assert old.read_text().startswith("old\n" * 2000)
    assert log.read_text().startswith("# begun ")
    assert log.stat().st_mode & 0o777 == 0o600
