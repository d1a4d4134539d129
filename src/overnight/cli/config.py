"""`overnight config ...`"""

from __future__ import annotations

import os
from typing import cast

import click

from overnight.cli import home
from overnight.cli.paper import Paper, say_json
from overnight.config import settings_path
from overnight.missions.codec import builtins


@click.group(no_args_is_help=True)
def config() -> None:
    """The settings of this machine."""


@config.command
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(as_json: bool) -> None:
    """The settings in force, with where they come from."""
    settings, path = home.settings(), settings_path()
    if as_json:
        say_json(settings)
        return
    paper = Paper()
    paper.line(f"# {path}" + ("" if path.exists() else " (not there: these are the defaults)"))
    source = "OVERNIGHT_HOME" if os.environ.get("OVERNIGHT_HOME") else "settings"
    paper.line(f"# state folder, from {source}: {home.state_folder()}")
    paper.grid(_flat(builtins(settings)))
    paper.print()


def _flat(value: object, name: str = "") -> list[tuple[str, str]]:
    """Dotted names and values, as one would look for them in the file."""
    if isinstance(value, dict) and value:
        items = cast("dict[str, object]", value).items()
        return [row for key, each in items for row in _flat(each, f"{name}.{key}" if name else key)]
    if isinstance(value, list | tuple):
        return [(name, ", ".join(str(each) for each in cast("list[object]", value)) or "none")]
    return [(name, "not set" if value is None else str(cast("object", value)))]
