"""A box that never begins."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from overnight.boxes.child import Pidfd
from overnight.boxes.engine import find_engine
from overnight.boxes.orphans import end_orphans
from overnight.errors import BoxUnavailable


def engine() -> str:
    """bwrap's path."""
    try:
        return asyncio.run(find_engine(None)).path
    except BoxUnavailable as error:
        pytest.skip(str(error))


def begins(gate: int, **env: str) -> tuple[subprocess.Popen[bytes], int]:
    """bwrap, halted after it made the first process and before it releases it; that process."""
    heard, info = os.pipe()
    words = (
        "--unshare-user",
        "--unshare-pid",
        "--die-with-parent",
        "--ro-bind",
        "/",
        "/",
        "--userns-block-fd",
        str(gate),
    )
    command = [engine(), *words, "--info-fd", str(info), "--", "/bin/true"]
    process = subprocess.Popen(command, pass_fds=(gate, info), env=env)
    os.close(info)
    with open(heard, "rb") as told:  # noqa: PTH123 (a descriptor)
        said = b""
        while b"}" not in said:
            more = told.read1(4096)
            assert more, f"bwrap makes no box here: {process.wait()}"
            said += more
    return process, json.loads(said)["child-pid"]


def _skip_unless_seen(pid: int) -> None:
    """Where a user may not look into processes that are not below his own, nothing can be known of it."""
    try:
        Path(f"/proc/{pid}/syscall").read_text()
    except PermissionError as error:
        pytest.skip(str(error))


def test_what_another_program_left_waiting_is_left_alone() -> None:
    """Others have bwrap make boxes too, and begin it with an environment; ours are ended beside theirs."""
    gate, opens = os.pipe()
    theirs, left = begins(gate, HOME="/")
    ours, orphan = begins(gate)
    other, first = Pidfd(left), Pidfd(orphan)
    with theirs, ours:
        try:
            for each in (theirs, ours):
                each.kill()
                each.wait()
            _skip_unless_seen(orphan)
            while not first.ended_within(0.0):
                end_orphans()
            end_orphans()
            assert not other.ended_within(0.0)
        finally:
            for each in (other, first):
                each.send(signal.SIGKILL)
                each.close()
            os.close(opens)
            os.close(gate)


def test_what_a_killed_bwrap_left_waiting_is_ended() -> None:
    """Its first process would wait for ever; one whose bwrap lives is left alone, and begins."""
    gate, opens = os.pipe()
    outer, orphan = begins(gate)
    other, waiting = begins(gate)
    first = Pidfd(orphan)
    with outer, other:
        try:
            outer.kill()
            outer.wait()
            _skip_unless_seen(orphan)
            while not first.ended_within(0.0):  # it may not have come to its wait yet
                end_orphans()
            assert other.poll() is None
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"{os.getuid()} {os.getuid()} 1"),
                ("gid_map", f"{os.getgid()} {os.getgid()} 1"),
            ):
                Path(f"/proc/{waiting}/{name}").write_text(text)
            os.write(opens, b"x")
            assert other.wait() == 0
        finally:
            other.kill()
            first.send(signal.SIGKILL)
            first.close()
            os.close(opens)
            os.close(gate)
