"""A process is known by more than its number."""

from __future__ import annotations

import os
import subprocess

import pytest

from overnight.durable.identity import Identity, boot_id, identify, is_alive
from overnight.missions.codec import decode, encode


def test_a_living_process_is_known_again() -> None:
    """Also by another process that reads its name from a file."""
    who = identify()
    assert who.pid == os.getpid()
    assert decode(encode(who), Identity) == who == identify(os.getpid())
    assert is_alive(who)


def test_other_starts_and_boots_are_other_processes() -> None:
    """The same number a tick later, or after a reboot, is not the same process."""
    who = identify()
    assert not is_alive(Identity(who.pid, who.started + 1, who.boot))
    assert not is_alive(Identity(who.pid, who.started - 1, who.boot))
    assert not is_alive(Identity(who.pid, who.started, f"{boot_id()}x"))


def test_a_zombie_is_dead() -> None:
    """A process that ended and was not waited for does not run, though its number is taken."""
    process = subprocess.Popen(["true"])
    who = identify(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(who)
    assert identify(process.pid) == who
    process.wait()
    assert not is_alive(who)
    with pytest.raises(ProcessLookupError):
        identify(process.pid)


def test_odd_names_do_not_confuse(tmp_path: os.PathLike[str]) -> None:
    """A program may be called `) R 1 (`: that is its name, not its state."""
    program = os.path.join(tmp_path, ") Z 1 (")  # noqa: PTH118
    os.symlink("/bin/sleep", program)  # noqa: PTH211
    process = subprocess.Popen([program, "600"])
    try:
        assert is_alive(identify(process.pid))
    finally:
        process.kill()
        process.wait()
