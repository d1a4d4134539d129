"""What the canary passed with. What has changed since then has not been proved."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight import __version__
from overnight.agents.claude_binary import locate
from overnight.boxes.engine import candidates
from overnight.config import Settings
from overnight.doctor.findings import Sighting
from overnight.errors import AgentUnavailable
from overnight.fleet.local import write_atomically
from overnight.missions.codec import decode, encode
from overnight.ports import Guarantees

#: The agent whose calls a guard decides. Others are held by the box alone.
HOOKED = "claude"


#: Settings that bound nothing that a canary shows.
_NO_BOUNDS = ("home", "work", "keep", "canary", "routing", "budget", "prices")


class Fingerprint(Struct, frozen=True, kw_only=True):
    """What a pass stands on. Cheap to take: files are looked at, not read."""

    #: The agent's program: path, size, time of change, inode.
    cli: str
    #: SHA-256 of everything in the settings that bounds an agent.
    policy: str
    #: The box: its name, its program as above, the kernel.
    box: str
    overnight: str


class Pass(Struct, frozen=True, kw_only=True):
    """A canary that passed; `canary/AGENT.json` in the state folder."""

    agent: str
    fingerprint: Fingerprint
    #: The CLI's version; empty for an agent that has none.
    version: str
    #: SHA-256 of the CLI's program; empty for an agent that is several.
    digest: str
    #: What the box was seen to hold.
    guarantees: Guarantees
    #: Epoch seconds.
    at: float
    lines: tuple[Sighting, ...] = ()


def fingerprint(agent: str, settings: Settings, environ: Mapping[str, str]) -> Fingerprint:
    """Of an agent on this machine, as it is now."""
    return Fingerprint(
        cli=_cli(agent, settings, environ),
        policy=hashlib.sha256(encode(_bounds(agent, settings))).hexdigest(),
        box=f"{settings.box.name} {_programs(candidates())} {os.uname().release}",
        overnight=__version__,
    )


def changes(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Names of what is not as it was, for a person."""
    named = {"cli": "the agent's CLI", "policy": "the settings", "box": "the box", "overnight": "Overnight"}
    return [words for field, words in named.items() if getattr(before, field) != getattr(now, field)]


def last_pass(home: Path, agent: str) -> Pass | None:
    """The newest pass of an agent; None when there is none that can be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return decode(_path(home, agent).read_bytes(), Pass)
    return None


def keep_pass(home: Path, made: Pass) -> None:
    """Raises OSError."""
    path = _path(home, made.agent)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, encode(made))


def drop_pass(home: Path, agent: str) -> None:
    """A canary that failed takes the earlier pass with it: what held once does not hold now."""
    _path(home, agent).unlink(missing_ok=True)


def digest(path: str) -> str:
    """SHA-256 of a file, in hex. Takes about a second for an agent's CLI."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _path(home: Path, agent: str) -> Path:
    return home / "canary" / f"{agent}.json"


def _cli(agent: str, settings: Settings, environ: Mapping[str, str]) -> str:
    """An agent that is not there has a fingerprint too: one that no pass was made with."""
    if agent != HOOKED:
        return " ".join(settings.agents.command.argv)
    try:
        return _programs((str(locate(settings.agents.claude.path, environ)),))
    except AgentUnavailable as error:
        return str(error)


def _bounds(agent: str, settings: Settings) -> dict[str, object]:
    """The part of the settings that says what an agent may do: all but how much is done at once, and for how long."""
    whole = {name: getattr(settings, name) for name in settings.__struct_fields__ if name not in _NO_BOUNDS}
    return {**whole, "agents": getattr(settings.agents, agent, None)}


def _programs(paths: tuple[str, ...]) -> str:
    return "; ".join(_program(path) for path in paths)


def _program(path: str) -> str:
    try:
        stat = Path(path).stat()
    except OSError as error:
        return f"{path} {error.strerror}"
    return f"{path} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
