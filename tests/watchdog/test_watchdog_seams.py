"""A machine that slept, one that runs out of memory, and a watchdog that is restarted: through real files and real ways."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from watchdog_lab import RULES, Ear, Machine

from overnight.durable.identity import is_alive
from overnight.watchdog.facts import Severity, Tell
from overnight.watchdog.look import Clocks, Looker, free_memory
from overnight.watchdog.process import Watchdog
from overnight.watchdog.tell import OLD_S, OUTBOX, Way, packed, unpack
from testkit.waiting import PATIENCE, soon

MIB = 1 << 20


def put(root: Path, **files: str) -> None:
    """Files of a system; `__` in a name is a folder's end."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("MAX", "memory.max").replace("NOW", "memory.current")
        path = path.with_name(path.name.replace("STAT", "memory.stat"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"proc__meminfo": "MemTotal: 9 kB\nMemAvailable:  2048 kB\n"}, 2 * MIB),
        ({"proc__meminfo": "MemAvailable: 4096 kB\n", "sys__fs__cgroup__a__b__MAX": "max"}, 4 * MIB),
        ({"proc__meminfo": "MemAvailable: 9999999 kB\n", "sys__fs__cgroup__a__b__MAX": f"{8 * MIB}",
          "sys__fs__cgroup__a__b__NOW": f"{5 * MIB}"}, 3 * MIB),
        ({"proc__meminfo": "MemAvailable: 9999999 kB\n", "sys__fs__cgroup__a__b__MAX": f"{8 * MIB}",
          "sys__fs__cgroup__a__b__NOW": f"{8 * MIB}", "sys__fs__cgroup__a__b__STAT": f"inactive_file {2 * MIB}\n"}, 2 * MIB),
        ({"proc__meminfo": "MemAvailable: 9999999 kB\n", "sys__fs__cgroup__a__MAX": f"{4 * MIB}",
          "sys__fs__cgroup__a__NOW": f"{3 * MIB}", "sys__fs__cgroup__a__b__MAX": "max"}, MIB),
        ({"proc__meminfo": "MemAvailable: 1024 kB\n", "sys__fs__cgroup__a__b__MAX": "garbage"}, MIB),
    ],
)  # fmt: skip
def test_memory_is_what_the_tightest_limit_leaves(tmp_path: Path, files: dict[str, str], free: int) -> None:
    """The machine's, or a control group's above the process; a cache that can be had back counts as free."""
    put(tmp_path, proc__7__cgroup="0::/a/b\n", **files)
    assert free_memory(tmp_path, 7) == free


def test_memory_of_this_machine_is_known(tmp_path: Path) -> None:
    """With the real system's files, and with psutil where there are none."""
    for root in (Path("/"), tmp_path):
        found = free_memory(root, 1)
        assert found is not None
        assert 0 < found <= psutil.virtual_memory().total


class Times:
    """Clocks of the test's own."""

    def __init__(self) -> None:
        self.mono, self.boot, self.wall = 1000.0, 5000.0, 1_800_000_000.0

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.mono, lambda: self.boot, lambda: self.wall)

    def go(self, seconds: float, slept: float = 0.0) -> None:
        self.mono += seconds
        self.boot += seconds + slept
        self.wall += seconds + slept


def test_sleep_and_low_memory_are_really_told(tmp_path: Path) -> None:
    """From the clocks and the system's files to a command and a webhook: each of them hears of both, and of their end."""
    ear, heard, root, times = Ear(), tmp_path / "heard", tmp_path / "root", Times()
    put(root, proc__meminfo=f"MemAvailable: {1024 * MIB} kB\n")
    home = tmp_path / "state"
    home.mkdir()
    rules = replace(
        RULES,
        memory=64 * MIB,
        webhook=ear.url("/hook"),
        command=("sh", "-c", f'cat >> {heard}; echo "$OVERNIGHT_KEY" >> {heard}'),
    )
    watchdog = Watchdog(home, rules, {"PATH": "/usr/bin:/bin"}, Looker(home, clocks=times.clocks(), root=root))
    stop = threading.Event()

    def turned() -> None:
        """One look, and whatever is told of it delivered by both ways."""
        watchdog.turn()
        soon(lambda: watchdog.step() or (all(way.idle for way in watchdog._ways) or None))

    turned()
    times.go(5, slept=8 * 3600)
    put(root, proc__meminfo="MemAvailable: 2048 kB\n")
    turned()
    times.go(5)
    put(root, proc__meminfo=f"MemAvailable: {1024 * MIB} kB\n")
    turned()
    assert "slept for 8 h" in ear.hears("slept")["text"]
    assert "2 MiB of memory left" in ear.hears("memory")["text"]
    assert "memory left again" in ear.hears("memory")["text"]
    assert [line for line in heard.read_text().splitlines() if line in ("slept", "memory")] == [
        "slept",
        "memory",
        "memory",
    ]
    stop.set()
    watchdog.run(stop)
    ear.close()


def test_runs_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    """Fifty runs, of which half ended; once retention has removed their folders nothing is remembered of them."""
    home, looker = tmp_path / "state", Looker(tmp_path / "state")
    who = {"pid": 1, "started": 0.0, "boot": "another"}
    put(home, **{f"runs__t{n}__1__1__warden.json": json.dumps(who) for n in range(50)})
    put(home, **{f"runs__t{n}__1__1__outcome.json": '{"end": "completed"}' for n in range(25)})
    assert len(looker.look(ask=False).wardens) == 50
    assert len(looker.look(ask=False).wardens) == 25, "those that ended are not read again"
    assert (len(looker._over), len(looker._spent)) == (25, 25)
    shutil.rmtree(home / "runs")
    assert looker.look(ask=False).wardens == ()
    assert (len(looker._over), len(looker._spent)) == (0, 0)


# -- messages that outlive the watchdog ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_not_delivered_is_delivered_by_the_next_watchdog(machine: Machine, number: signal.Signals) -> None:
    """A webhook that refuses, and the watchdog ends: the next one tells it there, with its time, and by no way twice."""
    machine.ear.refuses = True
    daemon = machine.daemon()
    watch = machine.watch()
    psutil.Process(daemon).kill()
    soon(lambda: "daemon-dead alarm" in machine.told() or None)
    soon(lambda: not machine.ear.refused.empty() or None)
    outbox = machine.home / OUTBOX
    soon(lambda: "daemon-dead" in outbox.read_text() if outbox.exists() else None)
    soon(lambda: json.loads(outbox.read_text())["command"] == [] or None)
    watch.send_signal(number)
    watch.wait(PATIENCE)
    machine.ear.refuses = False
    machine.watch()
    said = machine.ear.hears("daemon-dead")
    assert "(of " in said["text"]
    assert "died without a word" in said["text"]
    soon(lambda: json.loads(outbox.read_text())["webhook"] == [] or None)
    assert [line for line in machine.told() if line.startswith("daemon-dead")].count("daemon-dead alarm") <= 2


def way(code: int, clock: float) -> Way:
    return Way(
        "command", ["sh", "-c", f"exit {code}"], lambda _what: (b"", {}), {"PATH": "/usr/bin:/bin"}, lambda: clock
    )


def test_messages_keep_their_order_and_their_time() -> None:
    """Packed and unpacked, also twice; what is none is passed over, and what is for a way that is gone too."""
    one, again, third = way(0, 5000.0), way(0, 9000.0), way(0, 9999.0)
    for n in range(3):
        one.say(Tell(f"k{n}", Severity.ALARM, f"words {n}"))
    unpack(packed([one]), [again])
    unpack(packed([again]), [third])
    assert [(each.what.key, each.at) for each in third.waiting] == [("k0", 5000.0), ("k1", 5000.0), ("k2", 5000.0)]
    assert third.waiting[0].what.words.count("(of ") == 1
    for text in ("", "[]", "{}", '{"command": [[1]]}', '{"command": 7}', '{"other": []}'):
        unpack(text, [third])
    assert len(third.waiting) == 3


def test_what_nobody_takes_for_a_day_is_given_up() -> None:
    """An older message goes, a younger one stays and is tried again."""
    for age, left in ((OLD_S + 60, 0), (60.0, 1)):
        tried = way(1, 1_000_000.0)
        tried.say(Tell("k", Severity.ALARM, "w"), 1_000_000.0 - age)
        tried.step()
        soon(lambda tried=tried: tried.step() or (tried.ok is False or None))
        assert len(tried.waiting) == left
        tried.stop()


# -- limits that a warden does not keep ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["wall", "spend"])
def test_a_run_beyond_its_limits_is_ended_with_its_tree(machine: Machine, limit: str) -> None:
    """Its records say that it ran or spent too much and its warden does nothing: told by both ways, killed with all that
    it started, no ping meanwhile; the daemon goes on, and nothing but it is started."""
    daemon = machine.daemon()
    machine.add("one")
    warden = machine.warden("one.1.1")
    below = soon(lambda: psutil.Process(warden.pid).children(recursive=True) or None)
    folder = machine.home / "runs" / "one" / "1" / "1"
    spec = json.loads((folder / "spec.json").read_text())
    if limit == "wall":
        spec["limits"]["wall"] = 0.001
    else:
        spec["allowance"] = {"usd": "0.01"}
        line = json.dumps({"kind": "usage", "seq": 10_000, "at": 1.0, "n": 1, "cost": "3.5"})
        with (folder / "events.ndjson").open("a") as file:
            file.write(line + "\n")
    part = folder / "spec.part"
    part.write_text(json.dumps(spec))
    part.replace(folder / "spec.json")
    machine.watch(replace(RULES, wall_slack=0.0, spend_slack=0.0, ping=machine.ear.url("/ping"), ping_every=0.2))
    words = "lets it run for" if limit == "wall" else "let it spend 3.50 USD, 0.01 USD are allowed"
    assert words in machine.ear.hears("run one.1.1")["text"]
    soon(lambda: "run one.1.1 alarm" in machine.told() or None)
    soon(lambda: not is_alive(warden) or None)
    _, alive = psutil.wait_procs(below, PATIENCE)
    assert not alive
    assert psutil.pid_exists(daemon)
    assert machine.beat().pid == daemon
    assert not [line for line in machine.told() if line.startswith("daemon")]
