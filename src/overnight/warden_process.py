"""A warden's process: takes the run's lock, says who it is, keeps the run, says how it ended.

Started as `python -P -m overnight.warden_process RUN_DIRECTORY`. The lock is taken before anything heavy is imported.
"""

from __future__ import annotations

import contextlib
import errno
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
#: Between two tries to write the outcome to a full disk.
FULL_WAIT_S = 0.5


def main() -> int:
    """Exit code 0 once `outcome.json` is there; 75 when another warden keeps this run."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -P -m overnight.warden_process RUN_DIRECTORY\n")
        return 2
    folder = Path(sys.argv[1]).absolute()
    os.chdir("/")  # whoever started it may be in a folder that goes away
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
    from overnight.fleet.local import write_atomically
    from overnight.missions.codec import decode, encode
    from overnight.missions.run import RunSpec

    spec = decode((folder / "spec.json").read_bytes(), RunSpec)
    # Who knows it may ask it to end at once. Until that can be heeded, and once the end is on its way, it waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    write_atomically(folder / "warden.json", encode(identify()))
    started = time.time()
    try:
        outcome = asyncio.run(_run(folder, spec))
    except Exception as error:  # said as the run's outcome, or nobody would look into the log
        with contextlib.suppress(OSError):
            traceback.print_exc()
        outcome = _failed(folder, spec, error, started)
    _say(folder, outcome)


async def _run(folder: Path, spec: RunSpec) -> RunOutcome:
    import asyncio

    from overnight.wiring import keep

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        return await keep(folder, spec, stop)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _failed(folder: Path, spec: RunSpec, error: Exception, started: float) -> RunOutcome:
    """What the warden itself could not do. Once an agent was let loose, it is no failed launch any more."""
    from overnight.missions.run import End, FailureClass, RunOutcome

    launched = isinstance(error, OSError) or (folder / "launch.json").exists()
    failure = FailureClass.MACHINE if launched else FailureClass.LAUNCH
    why = f"the warden failed: {type(error).__name__}: {error} (see {folder}/warden.log)"
    return RunOutcome(run=spec.id, end=End.FAILED, failure=failure, why=why, started=started, ended=time.time())


def _say(folder: Path, outcome: RunOutcome) -> None:
    """Write the outcome; on a full disk as soon as there is room, since it is not to be had anywhere else."""
    from overnight.fleet.local import write_outcome

    while True:
        try:
            return write_outcome(folder, outcome)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            time.sleep(FULL_WAIT_S)


if __name__ == "__main__":
    sys.exit(main())
