"""`init`, `up`, `down` and everything after them, with the real daemon, box, git and an agent that is a shell script."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_stage import Desktop, git, make_repo

from overnight.config import read_policy
from overnight.durable.client import Client
from overnight.durable.identity import identify, is_alive
from overnight.durable.journal import Lock
from overnight.report.status import repos
from overnight.report.watch import Watch

AGENT = """[agents.command]
argv = ["sh", "-c", "echo 'I begin \\u001b[2J'; echo two >> a.txt; git commit -qam 'Say two'; echo done"]
"""


@pytest.fixture
def working(desktop: Desktop) -> Iterator[Desktop]:
    """A machine with an agent and a registered repository; whatever daemon is left is ended."""
    (desktop.folder / "config.toml").write_text(AGENT)
    desktop.shop()
    yield desktop
    desktop.ok("down")


def wait_for(desktop: Desktop, task: str) -> str:
    """Follow the task to its end; everything that was said."""
    done = desktop.process("log", task, "--follow")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def detached(desktop: Desktop) -> str:
    """Start a daemon in the background; what was said."""
    done = desktop.process("up", "--detach")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_task_lands_while_nobody_looks(working: Desktop) -> None:
    """`up --detach`, `add`, `log --follow`, `status`, `show`, `diff`, `down`: one task's way on a real machine."""
    before = detached(working)
    assert "runs already" in detached(working)
    task = working.ok("add", "Say two", "--repo", "shop").strip()
    said = wait_for(working, task)
    assert "has landed" in said
    assert "I begin" in said
    assert "\x1b" not in said
    pid = working.json("status")["daemon"]["pid"]
    assert str(pid) in before
    assert f"landed     {task}" in working.ok("status")
    told = working.ok("show", task)
    assert "run 1 begins: command (version unknown)" in told
    assert "test passed (exit 0" in told
    assert "+two" in working.ok("diff", task)
    shop = working.folder / "shop"
    assert (shop / "a.txt").read_text() == "one\ntwo\n"
    trailers = git(shop, "log", "--format=%(trailers:key=Overnight-Task,valueonly)")
    assert trailers.split() == [task]
    daemon = identify(pid)
    assert is_alive(daemon)
    assert f"process {pid}" in working.ok("down")
    assert not is_alive(daemon)
    assert "No daemon runs" in working.ok("down")
    assert re.search(r"all \d+ events fit", working.ok("journal", "verify"))


def test_a_pause_made_by_hand_and_taken_back_by_hand(working: Desktop) -> None:
    """`touch PAUSED` keeps a living daemon from starting anything; removing the file is enough for it to go on."""
    detached(working)
    paused = working.home / "PAUSED"
    paused.touch()
    task = working.ok("add", "Say two", "--repo", "shop").strip()
    assert "Everything is paused" in working.ok("status")
    assert "queued" in working.ok("show", task)
    paused.unlink()
    assert "has landed" in wait_for(working, task)
    assert "paused" not in working.ok("status")


def test_in_the_foreground_piped_it_logs_changes(working: Desktop) -> None:
    """One line per change, no colours; SIGINT ends it well; a second daemon is refused."""
    task = working.add("Say two")
    command = [sys.executable, "-m", "overnight", "up"]
    with subprocess.Popen(
        command, env=working.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child, killing(child):  # fmt: skip
        assert child.stdout is not None
        lines = list[str]()
        for line in child.stdout:
            lines.append(line)
            if f"{task} task.ended" in line:
                break
        second = working.process("up", "--plain")
        assert (second.returncode, "Another Overnight" in second.stderr) == (3, True)
        child.send_signal(signal.SIGINT)
        rest, complaints = child.communicate()
    assert (child.returncode, complaints) == (0, "")
    words = [re.sub(r"^\d\d:\d\d:\d\d ", "", line).split(" ")[:3] for line in (*lines, *rest.splitlines())]
    assert words[0] == ["daemon.up\n"]
    phases = [each[2].strip() for each in words if each[:2] == [task, "task.phase"]]
    assert phases == ["preparing", "running", "checking", "judging", "landing"]
    assert "\x1b" not in "".join(lines) + rest


def test_in_a_terminal_it_shows_a_table(working: Desktop) -> None:
    """The picture of `status`, redrawn as it changes; Ctrl-C ends it, and the last picture says that it did."""
    task = working.add("Say two")
    with in_terminal(working, "up") as screen:
        screen.until(f"landed.*{task}")
        screen.type(b"\x03")
        assert screen.ended() == 0
    assert re.search(r"\x1b\[\d*m", screen.text)
    assert "Ctrl-C ends the daemon" in screen.text
    assert "No daemon runs" in screen.text.rsplit("Ctrl-C", 1)[1]
    assert "\x1b]" not in screen.text


def test_a_terminal_gets_colour_and_no_strangers_escapes(working: Desktop) -> None:
    """Status, story, log and diff in a terminal: our colours only, whatever the agent wrote."""
    (working.folder / "config.toml").write_text(AGENT.replace("echo two", "printf 't\\\\033]0;own\\\\007wo\\\\n'"))
    detached(working)
    task = working.add("Say \x1b[8m two")
    wait_for(working, task)
    assert b"\x1b" in (working.folder / "shop" / "a.txt").read_bytes()
    for words in (["status"], ["show", task], ["log", task], ["log", task, "--raw"], ["diff", task]):
        with in_terminal(working, *words) as screen:
            assert screen.ended() == 0
        found = set(re.findall(r"\x1b(?:\[[\d;]*[a-zA-Z]|.)", screen.text))
        assert all(re.fullmatch(r"\x1b\[[\d;]*m", each) for each in found), (words, found)
        assert "\x1b[8m" not in found
        assert "\x07" not in screen.text


def test_without_colour_when_asked(working: Desktop) -> None:
    """NO_COLOR is heeded."""
    working.env["NO_COLOR"] = "1"
    with in_terminal(working, "status") as screen:
        assert screen.ended() == 0
    assert not re.search(r"\x1b\[3\dm", screen.text)


def test_a_daemon_that_can_not_start_says_why(working: Desktop) -> None:
    """`up --detach` with bad settings, and with a state folder that is a file."""
    (working.folder / "config.toml").write_text("[box]\nname = 'nnone'\n")
    result = working.run("up", "--detach")
    assert (result.exit_code, "config.toml:2:" in result.stderr) == (2, True)
    (working.folder / "config.toml").write_text(AGENT)
    (working.folder / "file").write_text("")
    working.env["OVERNIGHT_HOME"] = str(working.folder / "file")
    assert working.process("up", "--plain").returncode == 3
    working.env["OVERNIGHT_HOME"] = str(working.home)


def test_init_proposes_tries_writes_and_registers(desktop: Desktop) -> None:
    """What it found and why, how the checks went, the file, the next step; then a task can be added."""
    path = make_repo(desktop.folder / "shop", policy=None)
    (path / "Makefile").write_text("test:\n\t@echo all fine\n")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "make")
    said = desktop.ok("init", at=path)
    assert re.search(r"test +make test +.*Makefile", said)
    assert re.search(r"test +passed +exit 0, .*all fine", said)
    assert "git add overnight.toml && git commit" in said
    text = (path / "overnight.toml").read_bytes()
    assert read_policy(text, "t").checks["test"].run == "make test"
    assert [repo.name for repo in repos(desktop.home)] == ["shop"]
    result = desktop.run("add", "x", at=path)
    assert (result.exit_code, "git add overnight.toml && git commit" in result.stderr) == (2, True)
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "policy")
    desktop.ok("add", "x", at=path)


def test_init_never_overwrites(desktop: Desktop) -> None:
    """A file that is there stays, byte for byte, unless `--force` is said; a dangling link counts as there."""
    path = make_repo(desktop.folder / "shop")
    before = (path / "overnight.toml").read_bytes()
    result = desktop.run("init", at=path)
    assert (result.exit_code, "--force" in result.stderr) == (2, True)
    assert (path / "overnight.toml").read_bytes() == before
    desktop.ok("init", "--force", "--no-try", "--no-register", at=path)
    assert (path / "overnight.toml").read_bytes() != before
    assert not desktop.home.exists()
    (path / "overnight.toml").unlink()
    (path / "overnight.toml").symlink_to("nowhere")
    assert desktop.run("init", at=path).exit_code == 2


def test_init_where_it_can_not_be(desktop: Desktop) -> None:
    """No repository, a bare one, one without a commit: the next step is said, nothing is written."""
    make_repo(desktop.folder / "shop")
    git(desktop.folder, "clone", "-q", "--bare", "shop", "bare")
    git(desktop.folder, "init", "-q", "empty")
    (desktop.folder / "plain").mkdir()
    for name, says in (("bare", "in a clone"), ("empty", "has no commit yet"), ("plain", "git init")):
        result = desktop.run("init", name)
        assert (result.exit_code, says in result.stderr) == (2, True), result.stderr
        assert not (desktop.folder / name / "overnight.toml").exists()


def test_init_goes_on_when_checks_can_not_be_tried(desktop: Desktop) -> None:
    """A machine whose box does not start is told, and the file is written all the same."""
    path = make_repo(desktop.folder / "shop", policy=None)
    (path / "Makefile").write_text("test:\n\ttrue\n")
    (desktop.folder / "bin").mkdir()
    for name in ("git", "python3", "make"):
        found = shutil.which(name)
        assert found
        (desktop.folder / "bin" / name).symlink_to(found)
    bwrap = desktop.folder / "bin" / "bwrap"
    bwrap.write_text("#!/bin/sh\nexit 1\n")
    bwrap.chmod(0o755)
    (desktop.folder / "config.toml").write_text(f"[box]\ntools = ['{desktop.folder}/missing']\n")
    desktop.env["PATH"] = str(desktop.folder / "bin")
    said = desktop.ok("init", at=path)
    assert "They could not be run" in said
    assert (path / "overnight.toml").exists()


def test_a_held_lock_without_an_answer_is_told(desktop: Desktop) -> None:
    """A process that holds the journal and does not answer is no `No daemon runs`."""
    lock = Lock(desktop.home)
    try:
        assert Client(desktop.home).running() is None
        done = desktop.process("down")
        assert (done.returncode, f"process {os.getpid()}" in done.stderr) == (3, True)
    finally:
        lock.release()


def test_a_watch_wakes_for_changes_and_calls(tmp_path: Path) -> None:
    """A write in a watched folder or a call from another thread wakes it."""
    with Watch(at_least=3600) as watch:
        watch.folder(tmp_path)
        watch.folder(tmp_path / "nowhere")
        for wake in (lambda: (tmp_path / "file").write_text("x"), watch.wake):
            thread = threading.Thread(target=watch.wait)
            thread.start()
            wake()
            thread.join(60)
            assert not thread.is_alive()


# -- terminals ----------------------------------------------------------------------------------------------


@contextmanager
def killing(child: subprocess.Popen[str], after: float = 90) -> Generator[None]:
    """A test that hangs ends."""
    timer = threading.Timer(after, child.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Screen:
    """A command in a terminal of its own."""

    def __init__(self, desktop: Desktop, words: tuple[str, ...]) -> None:
        self.text = ""
        self._fd, inside = pty.openpty()
        env = {**desktop.env, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "60", "PAGER": "cat"}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "overnight", *words], cwd=desktop.folder, env=env,
            stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
        )  # fmt: skip
        os.close(inside)
        self._patience = time.monotonic() + 90

    def _read(self) -> bool:
        left = max(0.0, self._patience - time.monotonic())
        ready, _, _ = select.select([self._fd], [], [], left)
        assert ready, f"nothing more came after\n{self.text}"
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # the other end is closed
            data = b""
        self.text += data.decode(errors="replace")
        return bool(data)

    def until(self, pattern: str) -> None:
        """Read until this is on the screen."""
        while not re.search(pattern, self.text):
            assert self._read(), f"it ended with\n{self.text}"

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._fd, keys)

    def ended(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self._child.wait(30)

    def close(self) -> None:
        """End it if it has not."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        os.close(self._fd)


@contextmanager
def in_terminal(desktop: Desktop, *words: str) -> Generator[Screen]:
    """The command, its terminal as long as the block lasts."""
    screen = Screen(desktop, words)
    try:
        yield screen
    finally:
        screen.close()
