"""`overnight backup` and `overnight restore`"""

from __future__ import annotations

from pathlib import Path

import click

from overnight.cli import home
from overnight.cli.paper import say
from overnight.cli.words import clock, count


@click.command
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write a backup of the state folder and of the settings to FILE, also while everything runs.

    It holds the journal, the audit, the keys, evidence, reports and the index of usage; not the runs' folders and
    worktrees. It is proved before it is written. Whoever can read it has your keys.
    """
    from overnight.config import settings_path
    from overnight.service.backup import make_backup

    kept = make_backup(home.state_folder(), settings_path(), file)
    events, audit = count(kept.proved.events, "event"), count(kept.proved.audit.lines, "line")
    say(f"{file}: {events}, {audit} of audit, {count(len(kept.manifest.files), 'file')}, all of it whole.")
    say("It holds your keys: keep it where only you can read it.")


@click.command
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--into",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="An empty or new folder. Default: the state folder.",
)
def restore(file: Path, into: Path | None) -> None:
    """Put a backup back, where no daemon runs and nothing is.

    Every digest, the journal's chain and the audit are verified first; then it appears as a whole, or not at all.
    """
    from overnight.service.backup import restore as put
    from overnight.service.staging import SETTINGS
    from overnight.service.takeup import begun

    target = into or home.state_folder()
    kept = put(file, target)
    made = f"made {clock(kept.manifest.made)} by Overnight {kept.manifest.version}"
    say(f"{target}: {count(kept.proved.events, 'event')} and all keys are back as they were ({made}).")
    if SETTINGS in kept.manifest.files:
        say(f"The settings of that time are in {target / SETTINGS}; nothing reads them there.")
    if under_way := begun(target):
        say(f"{count(len(under_way), 'task')} of it was under way ({', '.join(under_way[:5])}): the next daemon takes it up "
            "again; its run counts as lost.")  # fmt: skip
    if into is not None:
        say(f"OVERNIGHT_HOME={target} makes it the state folder.")
