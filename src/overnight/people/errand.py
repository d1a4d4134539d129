"""What a delivery's process is given, and what it says: files in a folder of its own, so that both outlive either side."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight.missions.notice import Message
from overnight.people.outbox import Result
from overnight.people.settings import Target

#: Files of the folder: what to do, who does it, what became of it.
ERRAND, LOCK, SAID = "errand.json", "lock", "said.json"


class Button(Struct, frozen=True, kw_only=True):
    """One thing that can be decided from a phone."""

    label: str
    #: The ticket that a press sends back.
    token: str


class Errand(Struct, frozen=True, kw_only=True):
    """One message to one target."""

    name: str
    target: Target
    message: Message
    buttons: tuple[Button, ...] = ()
    #: The task whose question a reply to the message answers.
    answers: str = ""
    #: The page where it can be looked at and decided; empty where there is none.
    link: str = ""
    #: Seconds.
    limit: float


def lock(folder: Path) -> int | None:
    """Hold the folder; None while another process does. Raises OSError."""
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    return fd


def write(path: Path, value: Struct) -> None:
    """All or nothing, readable by its owner alone, and on disk when it returns. Raises OSError."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(value))
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def read_result(folder: Path) -> Result | None:
    """What became of it, as the process said; None when it said nothing."""
    try:
        return msgspec.json.decode((folder / SAID).read_bytes(), type=Result)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
