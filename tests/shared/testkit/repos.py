"""Real git repositories that know nobody's configuration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

#: git's whole environment: one person, and no configuration of the machine's or of whoever runs the tests.
GIT_ENV = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
    "GIT_AUTHOR_NAME": "Pat", "GIT_AUTHOR_EMAIL": "pat@example.org",
    "GIT_COMMITTER_NAME": "Pat", "GIT_COMMITTER_EMAIL": "pat@example.org",
}  # fmt: skip


def git(
    where: Path, *words: str, env: Mapping[str, str] | None = None, data: bytes | None = None, whole: bool = False
) -> str:
    """What a person's own git says in this folder; it must work.

    env: variables that are to be otherwise. data: its input. whole: with the white space around what it says.
    """
    done = subprocess.run(["git", *words], cwd=where, env={**GIT_ENV, **(env or {})}, input=data, capture_output=True)
    assert done.returncode == 0, (words, done.stderr)
    said = os.fsdecode(done.stdout)
    return said if whole else said.strip()


def repository(folder: Path, files: Mapping[str, str], *, branch: str = "main", message: str = "Seed") -> Path:
    """A repository with one commit on one branch, which holds these files, and the others that are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "init", "-q", "-b", branch)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return folder
