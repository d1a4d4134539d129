"""The holds of this room, worded for a person who finds one in the morning."""

from __future__ import annotations

import time

from overnight.missions.hold import Held, Hold, HoldReason
from overnight.missions.task import Repo

#: Seconds until a busy folder or a full disk is looked at again.
RETRY = 300.0


def repo_unavailable(why: str, releases_on: str) -> Held:
    """The repository, its target branch or its policy can't be used."""
    return Held(Hold(reason=HoldReason.REPO_UNAVAILABLE, why=why, releases_on=releases_on))


def repo_gone(repo: Repo, problem: str) -> Held:
    """It moved or vanished."""
    how = f"put it back, or name its new place: `overnight repo remove {repo.name}`, `overnight repo add PATH`"
    return repo_unavailable(f"the repository of {repo.name} can't be used: {repo.path} {problem}", how)


def target_busy(why: str, releases_on: str) -> Held:
    """A folder that has the target checked out is being worked in."""
    return Held(Hold(reason=HoldReason.TARGET_BUSY, why=why, releases_on=releases_on, until=time.time() + RETRY))


def disk_low(path: str, free: int, needed: int) -> Held:
    """Starting now could fill the disk."""
    why = f"{free // 2**20} MiB are free at {path}; {needed // 2**20} MiB are wanted before work starts"
    return Held(Hold(reason=HoldReason.DISK_LOW, why=why, releases_on="room on that disk", until=time.time() + RETRY))


def disk_filled(why: str) -> Held:
    """Work had to be ended, since the disk was about to be full."""
    why = f"a check was ended: {why}"
    return Held(Hold(reason=HoldReason.DISK_LOW, why=why, releases_on="room on that disk", until=time.time() + RETRY))


def box_unavailable(why: str, releases_on: str) -> Held:
    """What must be confined can't be."""
    return Held(Hold(reason=HoldReason.BOX_UNAVAILABLE, why=why, releases_on=releases_on))
