"""Logs: bounded in size, age and number, readable by their owner alone, and no line is lost, whoever is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from overnight.config import parse_settings
from overnight.errors import SettingsInvalid
from overnight.service.logs import DAY_S, Log, LogRules, from_environment, to_environment

RULES = LogRules(size=1000, age=3600.0, keep=3, stay=10 * DAY_S)


class Writer:
    """A process's descriptors, in this one: what is written goes where they lead."""

    def __init__(self, path: Path, rules: LogRules = RULES) -> None:
        self.fd = os.open(os.devnull, os.O_WRONLY)
        self.log = Log(path, rules, (self.fd,))
        self.log.take()

    def write(self, line: str) -> None:
        os.write(self.fd, f"{line}\n".encode())

    def close(self) -> None:
        os.close(self.fd)


def lines(path: Path) -> list[str]:
    """All lines of all logs, the oldest log first, without those that say when it began."""
    logs = [*Log(path, RULES).old(), path]  # a kill may come just before the new one is made
    return [
        line for log in logs if log.exists() for line in log.read_text().splitlines() if not line.startswith("# begun ")
    ]


def test_it_begins_anew_by_size(tmp_path: Path) -> None:
    """Past the bound; every line is in exactly one file, in order, and all files are the owner's alone."""
    before = os.umask(0)
    writer = Writer(tmp_path / "a.log", RULES._replace(keep=100))
    try:
        now = time.time()
        for n in range(100):
            writer.write(f"{n} {'x' * 90}")
            writer.log.look(now)
    finally:
        os.umask(before)
        writer.close()
    logs = [*writer.log.old(), tmp_path / "a.log"]
    assert len(logs) == 10
    assert [line.split()[0] for line in lines(tmp_path / "a.log")] == [str(n) for n in range(100)]
    assert max(path.stat().st_size for path in logs) < 1000 + 200
    assert {path.stat().st_mode & 0o777 for path in logs} == {0o600}


def test_it_begins_anew_by_age(tmp_path: Path) -> None:
    """By its first line, also over a restart of the process; one that does not say when it began is old."""
    path = tmp_path / "a.log"
    begun = time.time()
    for after, logs in ((0.0, 1), (3500.0, 1), (3700.0, 2)):
        writer = Writer(path)
        writer.write("x")
        writer.log.look(begun + after)
        writer.close()
        assert len([*writer.log.old(), path]) == logs
    path.write_text("of an older version\n")
    writer = Writer(path)
    writer.log.look(time.time())
    writer.close()
    assert "of an older version" in lines(path)
    assert "of an older version" not in path.read_text()


def test_old_ones_go(tmp_path: Path) -> None:
    """More than so many, or older than so long; the newest lines never, nor what only looks alike."""
    path = tmp_path / "a.log"
    (tmp_path / "a.log.bak").write_text("mine")
    (tmp_path / "a.log.20200101T000000Z.gz").write_text("mine")
    writer = Writer(path)
    now = time.time()
    for n in range(10):
        writer.write(f"{n} {'x' * 1000}")
        writer.log.look(now + n)
        for m, old in enumerate(writer.log.old()):  # as if they were written one after the other
            os.utime(old, (now + n - 100 + m, now + n - 100 + m))
    assert [line.split()[0] for line in lines(path)] == ["7", "8", "9"]
    writer.write("the newest")
    writer.log.look(now + 100 * DAY_S)
    writer.log.look(now + 200 * DAY_S)
    writer.close()
    assert lines(path) == ["the newest"]
    assert {"a.log.bak", "a.log.20200101T000000Z.gz"} <= {each.name for each in tmp_path.iterdir()}


def test_two_processes_write_one_log(tmp_path: Path) -> None:
    """An old daemon that ends and a new one that starts: whoever begins it anew, the other follows; no line is lost."""
    path = tmp_path / "a.log"
    one, two = (Writer(path, RULES._replace(keep=100)) for _ in range(2))
    now = time.time()
    for n in range(60):
        for writer in (one, two):
            writer.write(f"{n} {'x' * 50}")
            writer.log.look(now)
    one.close()
    two.close()
    assert len(one.log.old()) > 3
    assert sorted(int(line.split()[0]) for line in lines(path)) == sorted([*range(60)] * 2)


def test_somebody_moves_it_away(tmp_path: Path) -> None:
    """By hand or by another program: it is made again."""
    writer = Writer(tmp_path / "a.log")
    (tmp_path / "a.log").rename(tmp_path / "b.log")
    writer.write("still to b")
    writer.log.look(time.time())
    writer.write("to a")
    writer.close()
    assert "still to b" in (tmp_path / "b.log").read_text()
    assert lines(tmp_path / "a.log") == ["to a"]


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """A folder that is gone, a link in the log's place: the process writes on where it wrote, and nothing is raised."""
    folder = tmp_path / "state"
    writer = Writer(folder / "a.log")
    (folder / "a.log").rename(tmp_path / "kept")
    (folder / "a.log").symlink_to(tmp_path / "elsewhere")
    writer.log.look(time.time())
    writer.write("on")
    (folder / "a.log").unlink()
    folder.rmdir()
    writer.log.look(time.time())
    writer.write("and on")
    writer.close()
    assert (tmp_path / "kept").read_text().splitlines()[1:] == ["on", "and on"]
    assert not (tmp_path / "elsewhere").exists()


FLOOD = """
import sys, threading
from pathlib import Path
from overnight.service.logs import Keeping, Log, LogRules
log = Log(Path(sys.argv[1]), LogRules(size=20_000, keep=1000))
out = open(3, "w", buffering=1)
log.take()
Keeping(log, every=0.001)
for n in range(10**9):
    print(n, "x" * 80, file=sys.stderr)
    if n % 100 == 0:
        print(n, file=out)
"""


@pytest.mark.slow
def test_a_kill_loses_no_line(tmp_path: Path) -> None:
    """kill -9 in the middle of a flood, with its log begun anew all the time: every line up to the last is there, once."""
    path = tmp_path / "a.log"
    read, write = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", f"import os; os.dup2({write}, 3)\n{FLOOD}", str(path)], pass_fds=[write],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            os.close(write)
            with os.fdopen(os.dup(read)) as said:
                last = 0
                while last < 5000:
                    last = int(said.readline())
            child.send_signal(signal.SIGKILL)
        finally:
            child.kill()
            child.wait()
    finally:
        os.close(read)
    numbers = [int(found[0]) for line in lines(path) if (found := re.match(r"\d+", line))]
    assert len(Log(path, RULES).old()) > 3
    assert numbers == list(range(len(numbers)))
    assert numbers[-1] >= last


def test_a_terminal_is_nobodys_log(tmp_path: Path) -> None:
    """Only what the process itself has open at that path is looked after."""
    assert not Log(tmp_path / "daemon.log", RULES).is_ours()
    writer = Writer(tmp_path / "daemon.log")
    assert writer.log.is_ours()
    writer.close()


OPENED = """
import sys
from pathlib import Path
from overnight.service.logs import LogRules, kept
with kept(Path(sys.argv[1]), LogRules()):
    print("a line", flush=True)
"""


def test_one_that_another_opened(tmp_path: Path) -> None:
    """A log that was opened for a process says when it began, and is not taken for an old one."""
    path = tmp_path / "web.log"
    for _ in range(2):
        with path.open("ab") as log:
            subprocess.run([sys.executable, "-P", "-c", OPENED, str(path)], stdout=log, stderr=log, check=True)
    assert path.read_text().startswith("# begun ")
    assert lines(path) == ["a line"] * 2
    assert Log(path, RULES).old() == []


def test_rules_are_settings() -> None:
    """With units; they reach processes that know no settings."""
    settings = parse_settings(b'[logs]\nsize = "64KiB"\nage = "1h"\nkeep = 2\ndays = 3\n', "t").logs
    rules = LogRules.of(settings)
    assert rules == LogRules(65536, 3600.0, 2, 3 * DAY_S)
    assert from_environment(to_environment(Path("/a b"), rules)) == (Path("/a b"), rules)
    assert from_environment("") is None
    assert LogRules.of(parse_settings(b"", "t").logs) == LogRules()
    for bad in ('size = "1B"', 'age = "1s"', "keep = 0", "size = 5"):
        with pytest.raises(SettingsInvalid):
            parse_settings(f"[logs]\n{bad}\n".encode(), "t")
