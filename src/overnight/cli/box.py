"""`overnight box ...`"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from overnight.cli import home
from overnight.cli.paper import say


@click.group(no_args_is_help=True)
def box() -> None:
    """The box that runs and checks live in."""


@box.command
@click.option(
    "--tar", type=click.Path(dir_okay=False, path_type=Path), help="Keep the files here; use them when they are there."
)
def image(tar: Path | None) -> None:
    """Make the image for `box.name = "container"`: a small Debian with git and Python.

    Needs debootstrap and root, and fetches some 100 MB of Debian's packages; with a `--tar` that is there already,
    neither. The engine and the image's name are those of [box] in your settings.
    """
    from overnight.boxes.image import archive, load

    settings = home.settings().box
    with tempfile.TemporaryDirectory(prefix="overnight-image-") as folder:
        path = tar or Path(folder, "image.tar")
        if not path.exists():
            say("Unpacking Debian; this takes about a minute.")
            archive(path)
        load(path, settings)
    say(f"{settings.engine} has the image {settings.image!r}.")
