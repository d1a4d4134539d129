"""A warden's process: takes the run's lock, says who it is, keeps the run, says how it ended.

Started as `python -m overnight.warden_process RUN_DIRECTORY`. The lock is taken before anything heavy is imported.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from overnight.missions.run import RunOutcome, RunSpec

#: Whoever looks whether a warden lives holds the lock for an instant.
LOCK_TRIES, LOCK_WAIT_S = 40, 0.025
LOCKED_BY_ANOTHER = 75


def main() -> int:
    """Exit code 0 once `outcome.json` is there; 75 when another warden keeps this run."""
    folder = Path(sys.argv[1])
    # A stop that comes before the run has begun is found in the run's directory.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    lock = os.open(folder / "warden.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _take(lock):
        return LOCKED_BY_ANOTHER
    from overnight.fleet.local import read_outcome

    # A warden was here before and is dead: its run is over, and it is not for a second one to say so.
    if read_outcome(folder) is not None or (folder / "warden.json").exists():
        return 0
    _keep(folder)
    return 0


def _take(lock: int) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_WAIT_S)
        else:
            return True
    return False


def _keep(folder: Path) -> None:
    import asyncio
    import traceback

    from overnight.durable.identity import identify
    from overnight.fleet.local import write_atomically, write_outcome
    from overnight.missions.codec import decode, encode
    from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec

    write_atomically(folder / "warden.json", encode(identify()))
    spec = decode((folder / "spec.json").read_bytes(), RunSpec)

    try:
        outcome = asyncio.run(_run(folder, spec))
    except Exception as error:  # said as the run's outcome, or nobody would look into the log
        traceback.print_exc()
        why = f"the warden failed: {type(error).__name__}: {error} (see {folder}/warden.log)"
        outcome = RunOutcome(run=spec.id, end=End.FAILED, failure=FailureClass.LAUNCH, why=why, ended=time.time())
    write_outcome(folder, outcome)


async def _run(folder: Path, spec: RunSpec) -> RunOutcome:
    import asyncio

    from overnight.wiring import keep

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return await keep(folder, spec, stop)


if __name__ == "__main__":
    sys.exit(main())
