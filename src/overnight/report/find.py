"""Names as people type them to the things they mean."""

from __future__ import annotations

import sqlite3
from difflib import get_close_matches
from pathlib import Path

from overnight.errors import UnknownRepo, UnknownTask
from overnight.missions.task import Repo
from overnight.report.journal import reading
from overnight.report.status import read_repos

_SHOWN = 4
#: Of so many tasks, those that changed last, one may have been meant.
_LIKELY = 500


def task_id(home: Path, text: str) -> str:
    """The id of the task that is called so. Raises UnknownTask. text: an id, or a prefix of just one."""
    with reading(home) as db:
        return find_task(db, text)


def find_task(db: sqlite3.Connection, text: str) -> str:
    """See `task_id`."""
    if db.execute("SELECT 1 FROM task WHERE id = ?", (text,)).fetchone():
        return text
    sql = "SELECT id FROM task WHERE id >= ?1 AND id < ?1 || char(0x10FFFF) AND substr(id, 1, ?2) = ?1 ORDER BY id"
    found = [row["id"] for row in db.execute(sql, (text, len(text)))] if text else []
    if len(found) == 1:
        return found[0]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UnknownTask(task=text, hint=f": it could be {', '.join(found[:_SHOWN])}{more}")
    sql = "SELECT id FROM task ORDER BY updated DESC, id LIMIT ?"
    ids = [row["id"] for row in db.execute(sql, (_LIKELY,))]
    close = get_close_matches(text, ids, n=1, cutoff=0.5)
    raise UnknownTask(task=text, hint=f" (did you mean {close[0]}?)" if close else "")


def repo_named(home: Path, name: str) -> Repo:
    """The registered repo of that name. Raises UnknownRepo."""
    with reading(home) as db:
        known = {repo.name: repo for repo in read_repos(db)}
    if name not in known:
        close = get_close_matches(name, known, n=1, cutoff=0.5)
        raise UnknownRepo(name=name, hint=f" (did you mean {close[0]!r}?)" if close else "")
    return known[name]


def repo_around(known: tuple[Repo, ...], folder: Path) -> Repo | None:
    """The repo whose folder this folder is or lies in; the innermost of several."""
    here = folder.resolve()
    around = [repo for repo in known if here.is_relative_to(Path(repo.path).resolve())]
    return max(around, key=lambda repo: len(repo.path), default=None)
