"""Where the program begins: `overnight guard hook` by the short way, everything else through `app`."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """The program `overnight`."""
    if sys.argv[1:] == ["guard", "hook"]:
        # This process lives for one call: what it would collect is not worth the time, a tenth of its life.
        gc.disable()
        from overnight.cli.guard_hook import run

        # Nothing that happens while the interpreter ends may change the code: any but 0 and 2 would let the call through.
        os._exit(run())
    from overnight.cli.app import app

    app.main()
