"""Finds the runbook that a person names for a new task."""

from __future__ import annotations

import posixpath
from pathlib import Path

from msgspec import Struct

from overnight.cli.gitlook import Found, open_repo, require_commit
from overnight.errors import BadInput
from overnight.missions.policy import Policy
from overnight.missions.runbook import Runbook, parse
from overnight.missions.runbook_zones import fitting
from overnight.missions.task import Repo


class Checklist(Struct, frozen=True):
    """A sound runbook on a target branch."""

    #: From the root of the repository.
    path: str
    runbook: Runbook


def checklist(repo: Repo, policy: Policy, name: str) -> Checklist:
    """The runbook by this path: from where one stands, else from the repository's root. Raises BadInput, RunbookInvalid."""
    found = open_repo(repo)
    commit = require_commit(found, repo.target)
    for path in _places(found, name):
        listed = found.read("ls-tree", "-z", commit, "--", path)
        if listed.startswith(b"100"):
            where = f"{path} on {repo.target}"
            text = _text(found.read("cat-file", "blob", listed.split(b"\t")[0].split()[2].decode()), where)
            return Checklist(path, fitting(parse(text, where), path, where, policy))
    problem = f"{name} is no file on branch {repo.target!r} of {repo.path}. Commit the runbook there first."
    raise BadInput(problem=problem)


def _places(found: Found, name: str) -> list[str]:
    """Paths from the repository's root that a name may mean, the likeliest first."""
    here = Path(posixpath.normpath(str(Path.cwd() / name)))
    root = found.path.resolve()
    places = [here.relative_to(root).as_posix()] if here.is_relative_to(root) else []
    plain = posixpath.normpath(name)
    if not plain.startswith(("/", "../")):
        places.append(plain)
    return [place for place in dict.fromkeys(places) if place not in (".", "..")]


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(problem=f"{where} is not UTF-8 at byte {error.start}. Save it as UTF-8.") from error
