"""Programs that a night needs: Python, git, the agent's CLI, the box."""

from __future__ import annotations

import asyncio
import platform
import re
import shutil
import subprocess
import sys

import msgspec

from overnight.agents.claude import LOGIN_VARIABLE
from overnight.agents.claude_binary import OLDEST, find
from overnight.doctor.findings import Sighting, fail, ok, warn
from overnight.doctor.look import Look
from overnight.doctor.record import last_pass
from overnight.errors import AgentUnavailable
from overnight.landing.private import EMAIL, NAME
from overnight.missions.policy import BoxLevel
from overnight.ports import Guarantees, Mechanism
from overnight.wiring import box_for

#: The first git whose merges need no checkout.
OLDEST_GIT = (2, 38)
OLDEST_PYTHON = (3, 11)
_NEEDED = ("git", "sh")
_ASK_S = 4.0


def python(_: Look) -> Sighting:
    """The Python that this runs on."""
    seen = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        return fail("python", seen, f"install Python {_dotted(OLDEST_PYTHON)} or newer")
    return ok("python", seen)


def programs(look: Look) -> Sighting:
    """What must be on the PATH."""
    path = look.environ.get("PATH", "")
    missing = [name for name in _NEEDED if shutil.which(name, path=path) is None]
    if missing:
        return fail("programs", f"not on the PATH: {', '.join(missing)}", "install them, or mend the PATH")
    return ok("programs", f"{', '.join(_NEEDED)} are on the PATH")


def git(look: Look) -> Sighting:
    """Its version."""
    said = _said(look, "git", "version")
    found = re.search(r"(\d+)\.(\d+)[\d.]*", said)
    if found is None:
        return fail("git", f"`git version` says {said!r}", "install git")
    if (int(found[1]), int(found[2])) < OLDEST_GIT:
        return fail("git", found[0], f"install git {_dotted(OLDEST_GIT)} or newer: merges are made without a checkout")
    return ok("git", found[0])


def identity(look: Look) -> Sighting:
    """Who commits. Overnight's own commits carry its own name, so a missing one does no harm."""
    name, mail = (_said(look, "git", "config", "--global", f"user.{each}") for each in ("name", "email"))
    yours = f"yours is {name} <{mail}>" if name and mail else "yours is not set, and not needed"
    return ok("identity", f"agents commit as {NAME} <{EMAIL}>; {yours}")


def claude(look: Look) -> Sighting:
    """The agent's CLI, against the oldest that fails closed and the last one that was proved here."""
    settings = look.settings
    try:
        found = find(settings.agents.claude.path, look.environ)
    except AgentUnavailable as error:
        if settings.agents.command.argv:
            return warn("claude", f"{error.fields['reason']}; the agent `command` is there", error.fields["install"])
        return fail("claude", str(error.fields["reason"]), str(error.fields["install"]))
    seen = f"{found.version} ({found.path}), {_dotted(OLDEST)} or newer is needed"
    known = last_pass(look.home, "claude")
    if known is None:
        return ok("claude", seen)
    same = "which is the last one that passed" if known.version == found.version else f"last passed: {known.version}"
    return ok("claude", f"{seen}; {same} the canary" if same.startswith("which") else f"{seen}; {same}")


def login(look: Look) -> Sighting:
    """Whether there is one, and who pays. What it is, is not looked at."""
    settings = look.settings
    mine = settings.agents.claude
    subscription, key = bool(look.environ.get(LOGIN_VARIABLE)), bool(look.environ.get(mine.key_variable))
    kind = ("direct" if subscription else "gateway") if mine.route == "auto" else mine.route
    here = "in this environment; the daemon has the one that it was started in"
    if kind == "direct" and subscription:
        return ok("login", f"a subscription's token is set ({LOGIN_VARIABLE}); nothing is billed by use; {here}")
    if kind == "gateway" and key:
        return ok("login", f"an API key is set ({mine.key_variable}); billed by use; {here}")
    wanted = LOGIN_VARIABLE if kind == "direct" else f"{LOGIN_VARIABLE} or {mine.key_variable}"
    wanted = mine.key_variable if mine.route == "gateway" else wanted
    seen = f"{wanted} is not set, with the route {mine.route!r}"
    do = f"`claude setup-token` gives a subscription's token; or set {mine.key_variable} to an API key"
    return warn("login", seen, do) if settings.agents.command.argv else fail("login", seen, do)


def box(look: Look) -> Sighting:
    """The box is started and tried."""
    settings = look.settings
    held = asyncio.run(box_for(settings, BoxLevel.NONE).probe())
    if held.level is BoxLevel.NONE:
        return warn(
            "box", f"{held.name}: agents may do whatever you can do here", "leave `box.name` out of the settings"
        )
    holds, lacks = told(held)
    seen = f"{held.name}, level {held.level.value}; holds {', '.join(holds)}"
    if lacks:
        return warn("box", f"{seen}; not {', '.join(lacks)}", "docs/install.md says what a box needs")
    return ok("box", seen)


def told(held: Guarantees) -> tuple[list[str], list[str]]:
    """What a box was seen to hold, and what it was not."""
    holds: list[str] = []
    lacks: list[str] = []
    for name, value in msgspec.structs.asdict(held).items():
        if isinstance(value, bool):
            (holds if value else lacks).append(name)
        elif isinstance(value, Mechanism):
            lacks.append(name) if value is Mechanism.NONE else holds.append(f"{name} ({value.value})")
    return holds, lacks


def _said(look: Look, *argv: str) -> str:
    """What a program says. Empty when it fails."""
    env = {name: look.environ[name] for name in ("PATH", "HOME", "XDG_CONFIG_HOME") if name in look.environ}
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=_ASK_S, check=False)
    return done.stdout.strip()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
