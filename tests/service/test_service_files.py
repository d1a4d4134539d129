"""What service managers are given: each rendering against its reader, and nothing of a person's own is overwritten."""

from __future__ import annotations

import plistlib
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from overnight.errors import BadInput, Refused, Unavailable
from overnight.service.files import FileStanding, look, put, sealed, take_away
from overnight.service.install import install, lingers, remove, rendered, seen
from overnight.service.managers import Answer, Ways, launchd_heard, systemd_heard, ways_of, windows_heard
from overnight.service.plan import KEEPER, PARTS, Manager, Plan, manager_here, plan_of
from overnight.service.wsl import NAMESPACE

ODD = '/opt/a b/100%/$HOME/"q"/back\\slash'
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/home/me"}


def plan(**more: str) -> Plan:
    """A plan for an odd place."""
    environ = {"PATH": f"/usr/bin:relative::{ODD}/bin:/usr/bin", "WSL_DISTRO_NAME": "Debian 12", **more}
    return plan_of(environ, "1.2.3", stale=60.0, interpreter=f"{ODD}/python")


# -- what is rendered ---------------------------------------------------------------------------------------


def test_the_environment_is_absolute() -> None:
    """PATH keeps absolute folders, each once; state and settings are named as they are here; nothing else leaks in."""
    found = plan(OVERNIGHT_HOME="/s", OVERNIGHT_CONFIG="c.toml", ANTHROPIC_API_KEY="secret").environment
    assert found["PATH"] == f"/usr/bin:{ODD}/bin"
    assert (found["OVERNIGHT_HOME"], found["OVERNIGHT_CONFIG"]) == ("/s", str(Path.cwd() / "c.toml"))
    assert "ANTHROPIC_API_KEY" not in found
    with pytest.raises(BadInput, match="control character"):
        plan(OVERNIGHT_HOME="/s\n[Install]")


@pytest.mark.parametrize(
    ("environ", "platform", "release", "manager"),
    [
        ({}, "darwin", "", Manager.LAUNCHD),
        ({}, "linux", "6.1.0-28-amd64", Manager.SYSTEMD),
        ({}, "linux", "5.15.153.1-microsoft-standard-WSL2", Manager.WSL),
        ({"WSL_DISTRO_NAME": "Debian"}, "linux", "custom", Manager.WSL),
    ],
)
def test_the_manager_of_a_machine(
    tmp_path: Path, environ: dict[str, str], platform: str, release: str, manager: Manager
) -> None:
    """By the platform, and by the kernel that WSL runs."""
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text(release)
    assert manager_here(environ, platform, tmp_path) is manager


def keys(unit: str) -> list[tuple[str, str]]:
    """A unit's settings, in order."""
    return [(name, value) for line in unit.splitlines() if "=" in line and line[0] not in "#["
            for name, _, value in [line.partition("=")]]  # fmt: skip


def test_units_keep_wardens_and_boxes_alive() -> None:
    """Only the main process ends with a unit; a box's memory does not end the daemon; nothing that boxes can't bear is set."""
    ways = ways_of(Manager.SYSTEMD, ENV, 1000)
    for part, name in ways.names.items():
        found = dict(keys(ways.render(plan())[name]))
        assert (found["KillMode"], found["OOMPolicy"], found["UMask"], found["LimitCORE"]) == (
            "process",
            "continue",
            "0077",
            "0",
        )
        assert (found["Restart"], found["RestartPreventExitStatus"]) == ("on-failure", "2 3")
        assert found["WantedBy"] == "default.target"
        assert found["Type"] == {"daemon": "notify", "watchdog": "exec"}[part]
        assert not any(
            key.startswith(("Protect", "Private", "NoNew", "Restrict", "SystemCall", "Memory")) for key in found
        )


def test_systemd_kills_later_than_the_watchdog() -> None:
    """Its own watchdog is a last resort: three times as patient as ours, and three minutes at least; it gives up starting
    later than Overnight itself does."""
    ways = ways_of(Manager.SYSTEMD, ENV, 1000)
    for stale, says in ((60.0, "180"), (10.0, "180"), (300.0, "900")):
        unit = ways.render(replace(plan(), stale=stale))["overnight.service"]
        assert dict(keys(unit))["WatchdogSec"] == says
        assert float(says) > 2 * stale
    found = dict(keys(ways.render(replace(plan(), restarts=50))["overnight.service"]))
    assert (found["StartLimitIntervalSec"], int(found["StartLimitBurst"]) > 50) == ("3600", True)
    assert "WatchdogSec" not in ways.render(plan())["overnight-watchdog.service"]


def test_units_say_odd_words_as_systemd_reads_them() -> None:
    """Blanks, quotes, backslashes, specifiers and variables reach the program as they are."""
    found = keys(ways_of(Manager.SYSTEMD, ENV, 1000).render(plan())["overnight.service"])
    start = next(value for name, value in found if name == "ExecStart")
    words = [word.replace("%%", "%") for word in shlex.split(start)]
    assert words == [f"{ODD}/python", "-P", "-m", "overnight", "service", "run", "daemon"]
    pairs = [shlex.split(value)[0].replace("%%", "%") for name, value in found if name == "Environment"]
    assert f"PATH=/usr/bin:{ODD}/bin" in pairs
    assert f"{KEEPER}=systemd" in pairs


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("odd", [False, True])
def test_systemd_finds_no_fault(tmp_path: Path, odd: bool) -> None:
    """`systemd-analyze verify` says nothing about the units, also where the interpreter lies in an odd place."""
    interpreter = Path(sys.executable)
    if odd:
        interpreter = tmp_path / "a b%$d" / "python"
        interpreter.parent.mkdir()
        interpreter.symlink_to(sys.executable)
    chosen = plan_of(
        {"PATH": "/usr/bin", "OVERNIGHT_HOME": f"{tmp_path}/s % x"}, "1", stale=60.0, interpreter=str(interpreter)
    )
    texts = rendered(ways_of(Manager.SYSTEMD, ENV, 1000), chosen, tmp_path / "units")
    put(texts, force=False)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", *map(str, texts)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_agents_are_property_lists() -> None:
    """What launchd reads: each file is called like its label, runs go on without the daemon, orderly ends stay ends."""
    ways = ways_of(Manager.LAUNCHD, ENV, 501)
    assert ways.folder == Path("/home/me/Library/LaunchAgents")
    for part, name in ways.names.items():
        text = sealed(name, ways.render(plan())[name], "1.2.3")
        found = plistlib.loads(text.encode())
        assert name == f"{found['Label']}.plist"
        assert found["ProgramArguments"] == [f"{ODD}/python", "-P", "-m", "overnight", "service", "run", part]
        assert found["EnvironmentVariables"] == {"PATH": f"/usr/bin:{ODD}/bin", KEEPER: "launchd"}
        assert (found["AbandonProcessGroup"], found["RunAtLoad"], found["KeepAlive"]) == (
            True,
            True,
            {"SuccessfulExit": False},
        )
        assert found["Umask"] == 0o077


#: What Microsoft's published schema of tasks lets stand below each element that is used.
SCHEMA = {
    "Task": {"RegistrationInfo", "Triggers", "Settings", "Data", "Principals", "Actions"},
    "RegistrationInfo": {"URI", "SecurityDescriptor", "Source", "Date", "Author", "Version", "Description", "Documentation"},
    "Triggers": {"BootTrigger", "LogonTrigger", "TimeTrigger", "CalendarTrigger", "IdleTrigger", "EventTrigger"},
    "LogonTrigger": {"Enabled", "StartBoundary", "EndBoundary", "Repetition", "ExecutionTimeLimit", "UserId", "Delay"},
    "Principals": {"Principal"},
    "Principal": {"UserId", "LogonType", "GroupId", "DisplayName", "RunLevel"},
    "Settings": {
        "AllowStartOnDemand", "RestartOnFailure", "MultipleInstancesPolicy", "DisallowStartIfOnBatteries",
        "StopIfGoingOnBatteries", "AllowHardTerminate", "StartWhenAvailable", "RunOnlyIfNetworkAvailable", "WakeToRun",
        "Enabled", "Hidden", "DeleteExpiredTaskAfter", "IdleSettings", "NetworkSettings", "ExecutionTimeLimit", "Priority",
        "RunOnlyIfIdle",
    },
    "RestartOnFailure": {"Interval", "Count"},
    "Actions": {"Exec"},
    "Exec": {"Command", "Arguments", "WorkingDirectory"},
}  # fmt: skip
#: Which of them have to come in this order: the schema's sequences. The others may come in any.
SEQUENCES = {"LogonTrigger": ["Enabled", "Delay"], "RestartOnFailure": ["Interval", "Count"]}


def test_tasks_have_the_published_shape(tmp_path: Path) -> None:
    """Windows' schema of tasks: only elements that it knows, each once, sequences in order, in UTF-16."""
    ways = ways_of(Manager.WSL, ENV, 1000)
    for path in put(rendered(ways, plan(), tmp_path), force=False):
        assert path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
        root = ET.fromstring(path.read_bytes())
        for each in root.iter():
            name = each.tag.removeprefix(f"{{{NAMESPACE}}}")
            children = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in each]
            assert set(children) <= SCHEMA.get(name, set()), name
            assert len(children) == len(set(children))
            assert children == SEQUENCES.get(name, children)
        arguments = root.findtext(f".//{{{NAMESPACE}}}Arguments") or ""
        assert arguments.startswith('--distribution "Debian 12" --cd / --exec /usr/bin/env ')
        assert f'"PATH=/usr/bin:{ODD[:11]}' in arguments
        assert root.findtext(f".//{{{NAMESPACE}}}ExecutionTimeLimit") == "PT0S"
    with pytest.raises(BadInput, match="WSL_DISTRO_NAME"):
        ways.render(replace(plan(), distro=""))


# -- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.service", "a.plist", "a.xml"])
def test_the_same_again_changes_nothing(tmp_path: Path, name: str) -> None:
    """A file that is there as it would be written is not touched; one of another version is brought up to date."""
    text = '<?xml version="1.0"?>\n<a/>\n' if name != "a.service" else "[Unit]\n"
    path = tmp_path / "deep" / name
    assert put({path: sealed(name, text, "1")}, force=False) == {path: "written"}
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert put({path: sealed(name, text, "1")}, force=False) == {path: "unchanged"}
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert look(path, sealed(name, text, "2")).standing is FileStanding.OUTDATED
    assert look(path).version == "1"
    assert put({path: sealed(name, text + "\n", "2")}, force=False) == {path: "brought up to date"}
    assert take_away([path], force=False) == {path: "removed"}
    assert take_away([path], force=False) == {path: "not there"}
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["a.service", "a.plist", "a.xml"])
def test_what_a_person_changed_stays(tmp_path: Path, name: str) -> None:
    """One edited file keeps all from being written; with force it is kept beside; remove leaves it."""
    path, other = tmp_path / name, tmp_path / f"other-{name}"
    sound = sealed(name, "<?xml?>\n<a/>\n", "1")
    put({path: sound}, force=False)
    encoding = "utf-16" if name == "a.xml" else "utf-8"
    path.write_bytes((sound + "<!-- mine -->\n").encode(encoding))
    edited = path.read_bytes()
    assert look(path, sound).standing is FileStanding.EDITED
    with pytest.raises(Refused, match="Nothing was written"):
        put({other: sound, path: sound}, force=False)
    assert not other.exists()
    assert take_away([path], force=False)[path].startswith("kept: you changed it")
    assert path.read_bytes() == edited
    assert put({path: sound}, force=True) == {path: "replaced"}
    assert (tmp_path / f"{name}.bak").read_bytes() == edited
    path.write_bytes(edited + b"again")
    put({path: sound}, force=True)
    assert (tmp_path / f"{name}.bak").read_bytes() == edited
    assert (tmp_path / f"{name}.bak-1").read_bytes() == edited + b"again"
    assert look(path, sound).standing is FileStanding.CURRENT


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """A unit of the same name that somebody else made, or a link, is neither replaced nor removed."""
    for path in (tmp_path / "made.service", tmp_path / "linked.service"):
        if path.name == "made.service":
            path.write_text("[Unit]\n")
        else:
            path.symlink_to("/nowhere")
        with pytest.raises(Refused):
            put({path: sealed(path.name, "x", "1")}, force=False)
        assert take_away([path], force=True)[path] == "kept: it is not Overnight's"
        assert path.is_symlink() or path.exists()


# -- managers -----------------------------------------------------------------------------------------------


class Scripted:
    """Answers commands from a table, and remembers them."""

    def __init__(self, answers: dict[str, tuple[int, str]] | None = None) -> None:
        self.answers, self.asked = answers or {}, list[str]()

    def __call__(self, argv: Sequence[str]) -> tuple[int, str]:
        line = " ".join(argv)
        self.asked.append(line)
        return next((answer for start, answer in self.answers.items() if line.startswith(start)), (0, ""))


@pytest.fixture
def systemd(tmp_path: Path) -> Ways:
    """systemd's ways in a home of its own."""
    return ways_of(Manager.SYSTEMD, {"HOME": str(tmp_path)}, 1000)


def test_installed_and_removed(tmp_path: Path, systemd: Ways) -> None:
    """Files first, then the manager; the way back removes exactly these files, also beside others."""
    run = Scripted()
    told = install(systemd, plan(), run, force=False, told=lambda done: run.asked.append("told"))
    assert run.asked == [
        "told",
        "systemctl --user daemon-reload",
        "systemctl --user reset-failed overnight.service overnight-watchdog.service",
        "systemctl --user enable --now overnight.service overnight-watchdog.service",
    ]
    folder = tmp_path / ".config/systemd/user"
    assert {Path(path) for path in told.files} == set(folder.iterdir())
    (folder / "mine.service").write_text("")
    (folder / "overnight-watchdog.service").write_text("edited")
    run = Scripted()
    remove(systemd, run, force=False)
    assert run.asked == ["systemctl --user disable --now overnight.service", "systemctl --user daemon-reload"]
    assert {path.name for path in folder.iterdir()} == {"mine.service", "overnight-watchdog.service"}
    run = Scripted()
    assert remove(systemd, run, force=False).ran == ()
    assert run.asked == []


def test_a_manager_that_does_not_answer(systemd: Ways) -> None:
    """The files stay and it is said; what may fail does not end it; a removal goes on without it."""
    run = Scripted({"systemctl --user daemon-reload": (1, "Failed to connect to bus: No such file or directory\n")})
    with pytest.raises(Unavailable, match="Failed to connect to bus"):
        install(systemd, plan(), run, force=False, told=lambda done: None)
    assert len(run.asked) == 1
    run = Scripted({"systemctl --user reset-failed": (1, "not loaded")})
    install(systemd, plan(), run, force=False, told=lambda done: None)
    gone = remove(systemd, Scripted({"systemctl": (1, "no bus")}), force=False)
    assert (set(gone.files.values()), gone.ran) == ({"removed"}, ())
    assert gone.failed == {
        "systemctl --user disable --now overnight.service overnight-watchdog.service": "no bus",
        "systemctl --user daemon-reload": "no bus",
    }


def test_what_windows_does_not_remove_is_said(tmp_path: Path) -> None:
    """A task that stays behind is named with Windows' words; one that did not run is no failure."""
    wsl = ways_of(Manager.WSL, {"HOME": str(tmp_path)}, 1000)
    put(rendered(wsl, plan(), wsl.folder), force=False)
    denied = "ERROR: Access is denied.\r\n"
    gone = remove(wsl, Scripted({"schtasks.exe /Delete": (1, denied), "schtasks.exe /End": (1, denied)}), force=False)
    assert gone.failed == {f"schtasks.exe /Delete /TN Overnight {part} /F": denied.strip() for part in PARTS}


def test_the_commands_of_the_others(tmp_path: Path) -> None:
    """launchd is handed files; Windows is handed names of its own for them."""
    mac = ways_of(Manager.LAUNCHD, {"HOME": str(tmp_path)}, 501)
    run = Scripted({"launchctl bootout": (3, "no such process")})
    install(mac, plan(), run, force=False, told=lambda done: None)
    assert run.asked[-2].startswith("launchctl bootstrap gui/501 ")
    assert mac.restart[0] == ["launchctl", "kickstart", "-k", "gui/501/local.overnight.daemon"]
    wsl = ways_of(Manager.WSL, {"HOME": str(tmp_path)}, 1000, lambda path: f"\\\\wsl$\\{path.name}")
    run = Scripted()
    install(wsl, plan(), run, force=False, told=lambda done: None)
    assert run.asked[0] == r"schtasks.exe /Create /F /TN Overnight daemon /XML \\wsl$\overnight-daemon.xml"
    run = Scripted()
    remove(wsl, run, force=False)
    assert "schtasks.exe /Delete /TN Overnight watchdog /F" in run.asked


SHOWN = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=42\nNRestarts=3\nResult=success\n"


@pytest.mark.parametrize(
    ("heard", "answer"),
    [
        (systemd_heard(0, SHOWN), Answer(True, True, 42, "active (running), started again 3 times")),
        (systemd_heard(0, "LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nMainPID=0\n"),
         Answer(False, False, None, "inactive (dead)")),
        (systemd_heard(0, "ActiveState=failed\nSubState=failed\nUnitFileState=enabled\nMainPID=0\nResult=start-limit-hit\n"),
         Answer(True, False, None, "failed (failed), last result: start-limit-hit")),
        (systemd_heard(1, "Failed to connect to bus: No medium found\n"), Answer(said="Failed to connect to bus: No medium found")),
        (launchd_heard(0, "x = {\n\tstate = running\n\tpid = 77\n}"), Answer(True, True, 77, "running")),
        (launchd_heard(0, "x = {\n\tstate = not running\n}"), Answer(True, False, None, "not running")),
        (launchd_heard(113, "Could not find service"), Answer(False, False, None, "not loaded")),
        (windows_heard(0, '"\\Overnight daemon","N/A","Running"\r\n'), Answer(True, None, None, "Running")),
        (windows_heard(1, "ERROR: The system cannot find the file specified.\r\n"),
         Answer(False, False, None, "ERROR: The system cannot find the file specified.")),
        *((windows_heard(code, "no answer"), Answer(said="no answer")) for code in (124, 126, 127)),
    ],
)  # fmt: skip
def test_what_managers_answer(heard: Answer, answer: Answer) -> None:
    """Their words mean enabled and running, or that nobody knows; unknown is never no."""
    assert heard == answer


def test_status_of_the_parts(systemd: Ways) -> None:
    """Each part with its file and the manager's answer."""
    put(rendered(systemd, plan(), systemd.folder), force=False)
    (systemd.folder / "overnight-watchdog.service").write_text("mine")
    run = Scripted({"systemctl --user show overnight.service": (0, SHOWN), "systemctl --user show": (1, "no bus")})
    daemon, watchdog = seen(systemd, plan(), run)
    assert (daemon.standing, daemon.version, daemon.enabled, daemon.pid) == (FileStanding.CURRENT, "1.2.3", True, 42)
    assert (watchdog.standing, watchdog.enabled, watchdog.running) == (FileStanding.FOREIGN, None, None)


def test_lingering(systemd: Ways) -> None:
    """Only systemd's own yes and no count."""
    for answer, means in (((0, "yes\n"), True), ((0, "no\n"), False), ((0, ""), None), ((1, "no"), None)):
        assert lingers(systemd, "me", Scripted({"loginctl": answer})) is means
    assert lingers(ways_of(Manager.LAUNCHD, ENV, 501), "me", Scripted({"loginctl": (0, "yes")})) is None
