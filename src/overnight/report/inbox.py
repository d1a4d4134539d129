"""The inbox for those who read: all that a person is asked, as of one instant."""

from __future__ import annotations

from pathlib import Path

from overnight.errors import BadInput
from overnight.people.inbox import Item, read_inbox
from overnight.report.journal import reading, snapshot


def inbox(home: Path, repo: str | None = None) -> tuple[Item, ...]:
    """Everything that waits for a person. repo: only of that one."""
    with reading(home) as db, snapshot(db):
        return tuple(item for item in read_inbox(db) if repo in (None, item.repo))


def find_item(home: Path, name: str) -> Item:
    """The item of this id, or of this task, also by the beginning of just one. Raises BadInput."""
    items = inbox(home)
    fits = [item for item in items if name in (item.id, item.task)] or [
        item for item in items if item.id.startswith(name)
    ]
    if not fits:
        raise BadInput(problem=f"Nothing in the inbox is called {name!r}. `overnight inbox` lists it.")
    # What a task stands still for goes before words about calls that were denied.
    tasks = {item.task for item in fits}
    if len(tasks) > 1:
        raise BadInput(problem=f"{name!r} fits {', '.join(item.id for item in fits)}. Say more of one of them.")
    return fits[0]
