"""`overnight journal ...`"""

from __future__ import annotations

import click

from overnight.cli import home
from overnight.cli.paper import say
from overnight.durable.journal import verify_journal
from overnight.report.journal import JOURNAL


@click.group(no_args_is_help=True)
def journal() -> None:
    """The record of everything that happened."""


@journal.command
def verify() -> None:
    """Recompute the chain of digests over all events. A changed, missing or reordered event breaks it."""
    path = home.state_folder() / JOURNAL
    say(f"{path}: all {verify_journal(path)} events fit their chain.")
