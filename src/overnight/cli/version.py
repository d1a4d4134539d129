"""`overnight version`"""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import subprocess
from collections.abc import Callable

import click

from overnight import __version__
from overnight.cli import home
from overnight.cli.paper import Paper, say_json
from overnight.errors import OvernightError


@click.command
@click.option("--verbose", is_flag=True, help="Also the programs it uses; starts each to ask.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def version(verbose: bool, as_json: bool) -> None:
    """Versions of Overnight and of what it uses."""
    facts = {"overnight": __version__}
    if verbose:
        facts |= {name: _said(ask) for name, ask in _USED.items()}
    if as_json:
        say_json(facts)
    else:
        Paper().grid(list(facts.items())).print()


def _git() -> str:
    return subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()


def _claude() -> str:
    from overnight.agents.claude_binary import find

    found = find(home.settings().agents.claude.path, os.environ)
    return f"{found.version} ({found.path})"


def _box() -> str:
    from overnight.boxes.choose import choose
    from overnight.missions.policy import BoxLevel

    mine = home.settings().box
    return asyncio.run(choose(BoxLevel.NONE, mine.name, mine.i_know, mine).probe()).name


def _said(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except (OvernightError, OSError, subprocess.SubprocessError) as error:
        return f"none: {error}"


_USED: dict[str, Callable[[], str]] = {
    "python": platform.python_version,
    "system": platform.platform,
    "sqlite": lambda: sqlite3.sqlite_version,
    "git": _git,
    "claude": _claude,
    "box": _box,
    "state": lambda: str(home.state_folder()),
}
