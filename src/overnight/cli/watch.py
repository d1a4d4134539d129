"""`overnight watch`"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from threading import Thread

import click

from overnight.cli import home
from overnight.errors import BadInput


@click.command
@click.option("--light", is_flag=True, help="For a terminal with a light background; `l` changes it as well.")
def watch(light: bool) -> None:
    """The dashboard at the terminal: what needs you, what runs, every task's story; approve, answer, pause and stop.

    It only reads, and asks the daemon for all else. `?` shows the keys. It needs `pip install 'overnight[watch]'`.
    """
    if find_spec("textual") is None:
        raise BadInput(problem="`overnight watch` needs Textual: `pip install 'overnight[watch]'`.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput(problem="`overnight watch` needs a terminal. `overnight status` prints the same to a pipe.")
    from overnight.api.site import Site
    from overnight.watch.app import Watching
    from overnight.web_process import machine_of

    site = Site(machine_of(home.settings(), home.state_folder()))
    app = Watching(site, light=light)
    try:
        app.run()
    finally:
        # A daemon that hangs may hold this up for seconds; nobody who leaves waits for that.
        Thread(target=site.stop, daemon=True).start()
    if app.return_code:
        sys.exit(app.return_code)
