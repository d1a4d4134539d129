"""`python -P -m overnight.watchdog HOME`, with its settings in the environment. `overnight watchdog` starts it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from overnight.service.logs import VARIABLE as LOG
from overnight.service.logs import Keeping, Log, from_environment
from overnight.watchdog.process import Watchdog, lock, rules_from_json
from overnight.watchdog.tell import VARIABLE


def main() -> int:
    """0 once it was asked to end; 3 when another watchdog watches already."""
    home = Path(sys.argv[1])
    rules = rules_from_json(os.environ.pop(VARIABLE, "") or "{}")
    log = from_environment(os.environ.pop(LOG, ""))
    held = lock(home)
    if held is None:
        sys.stderr.write(f"error: another watchdog watches {home} already.\n")
        return 3
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    os.chdir("/")
    sys.stderr.write(f"overnight watchdog: watches {home}\n")
    keeping = Keeping(Log(*log)) if log is not None else None  # a thread that the watchdog does not wait for
    Watchdog(home, rules, os.environ).run(stop)
    del keeping
    return 0


if __name__ == "__main__":
    sys.exit(main())
