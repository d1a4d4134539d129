"""git's notes about worktrees: `.git/worktrees/NAME/` in a person's repository."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from overnight.landing.places import Places
from overnight.landing.repository import Repository

#: Seconds after which a note that git has not written to its end is one that it never will.
MADE_S = 5.0


def registered(repository: Repository, tree: Path) -> Path | None:
    """The git dir of a worktree, as the repository knows it. The worktree itself is not asked."""
    for pointer in sorted((repository.common / "worktrees").glob("*/gitdir")):
        if pointer.read_bytes().rstrip(b"\r\n") == os.fsencode(tree / ".git"):
            return pointer.parent
    return None


def mend(repository: Repository, places: Places) -> None:
    """Remove git's notes about worktrees of ours that it was killed while writing: with a single one of them a person's
    own `git fetch` and `git worktree` fail, and so do ours. What may be in the making stays."""
    ours = os.fsencode(places.worktree("x").parent)
    for note in (repository.common / "worktrees").glob("*/commondir"):
        with contextlib.suppress(FileNotFoundError):
            seen = note.stat()
            if seen.st_size == 0 and time.time() - seen.st_mtime > MADE_S:
                tree = Path(os.fsdecode((note.parent / "gitdir").read_bytes().rstrip(b"\r\n"))).parent
                if os.fsencode(tree.parent) == ours:
                    shutil.rmtree(note.parent)
