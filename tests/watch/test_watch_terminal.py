"""The real command in a real terminal: what it writes there, how it leaves it, and what it says where it can't work."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from watch_lab import HAPPENS_WITHIN_S, Lab

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-P", "-m", "overnight", "watch"]


class Terminal:
    """A pseudo-terminal of 100 by 30, and what was written to it."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        os.set_blocking(self.master, False)
        self.before = termios.tcgetattr(self.slave)
        self.written = b""

    def read(self) -> None:
        """Everything that is there."""
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self.master, 1 << 16):
                self.written += data

    def until(self, words: bytes) -> None:
        """Wait until it was written."""
        end = time.monotonic() + HAPPENS_WITHIN_S
        while words not in self.written:
            assert time.monotonic() < end, self.written[-3000:]
            time.sleep(0.02)
            self.read()

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)


@contextlib.contextmanager
def terminal() -> Generator[Terminal]:
    """One that is closed afterwards."""
    found = Terminal()
    try:
        yield found
    finally:
        os.close(found.master)
        os.close(found.slave)


def test_the_real_command_draws_takes_keys_and_restores_the_terminal(tmp_path: Path) -> None:
    """Its first screen has the task and the keys; `q` ends it with 0 and leaves the terminal as it was."""
    lab = Lab(tmp_path / "machine")
    lab.add("task-1", "Something to see")
    with terminal() as tty:
        process = subprocess.Popen(
            COMMAND, env=lab.env, cwd=lab.folder, stdin=tty.slave, stdout=tty.slave, stderr=tty.slave, close_fds=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            tty.until(b"Something")
            tty.until(b"Quit")
            tty.until(b"overnight up")
            assert b"\x1b[?1049h" in tty.written
            tty.type(b"?")
            tty.until(b"approve the commit that waits")
            tty.type(b"q")
            tty.type(b"q")
            end = time.monotonic() + HAPPENS_WITHIN_S
            while process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.02)
                tty.read()
            tty.read()
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0
        assert tty.written.rfind(b"\x1b[?1049l") > tty.written.rfind(b"\x1b[?1049h")
        assert tty.written.rfind(b"\x1b[?25h") > tty.written.rfind(b"\x1b[?25l")
        assert termios.tcgetattr(tty.slave) == tty.before


def test_a_pipe_is_no_terminal(tmp_path: Path) -> None:
    """It says what prints the same to a pipe, and ends with 2."""
    lab = Lab(tmp_path / "machine")
    done = subprocess.run(COMMAND, env=lab.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "overnight status" in done.stderr


def test_without_its_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """Where Textual is missing nothing but this command does; help and everything else never import it."""
    lab = Lab(tmp_path / "machine")
    code = "import sys; sys.modules['textual'] = None; sys.argv = ['overnight', *sys.argv[1:]]; from overnight.__main__ import main; main()"  # fmt: skip
    for words, code_of_exit, said in ((["watch"], 2, "pip install 'overnight[watch]'"), (["watch", "--help"], 0, "Usage"),
                                      (["status"], 0, "No daemon runs")):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *words], env=lab.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == code_of_exit, done.stderr
        assert said in done.stdout + done.stderr
