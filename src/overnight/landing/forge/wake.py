"""What a verified webhook does: Overnight looks at the forge now instead of later, and believes nothing that it said.

A task that waits for its pull request is a row with a time. A webhook brings that time forward; many at once bring it
forward once. What looks just now may have been too early, so it looks once more when it has waited again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from overnight.durable.desk import Verbs
from overnight.durable.journal import Journal
from overnight.errors import BadInput
from overnight.landing.forge.webhooks import Event, Labelled, PullChanged

#: The kind of the records that say which deliveries were heeded; how long they are kept, in seconds.
RECORD, KEPT_S = "webhook", 8 * 86400.0
#: Seconds until the look: a forge reports the many checks of a commit one by one.
SOON_S = 1.0
_DELIVERY = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Wake:
    """The daemon's side. issues: called when labelled issues should be looked for now."""

    def __init__(self, journal: Journal, issues: Callable[[], None]) -> None:
        self._journal, self._issues = journal, issues
        #: Tasks that were looking when something was said about them.
        self._missed: set[str] = set()

    def verbs(self) -> Verbs:
        """For `Desk(journal, more=...)`."""
        return {"webhook": self.heard, "webhook_refused": self.refused}

    def heard(self, *, actor: str, delivery: str, digest: str, event: Any) -> dict[str, Any]:
        """One verified delivery: `{"new": ..., "tasks": ...}`, how many tasks look sooner. The second one of an id, or
        of a body, does nothing. event: as `webhooks.event_of` read it."""
        if not _DELIVERY.fullmatch(delivery):
            raise BadInput(problem="The delivery has no id that could be remembered.")
        about: Event = msgspec.convert(event, Event)
        with self._journal.tx("webhook"):
            if not self._remember(f"delivery {delivery}", f"body {digest}"):
                return {"new": False, "tasks": 0}
            tasks = self._tasks(about)
            self._missed &= self._looking()
            sooner = sum(self._hasten(task) for task in tasks)
            what = type(about).__struct_config__.tag
            if sooner or isinstance(about, Labelled):
                self._journal.tell("webhook.heeded", actor=actor, why=f"{what} in {about.place}", tasks=sooner)
        if isinstance(about, Labelled):
            self._issues()
        return {"new": True, "tasks": sooner}

    def refused(self, *, actor: str, why: str, count: int) -> None:
        """Deliveries that nobody vouches for, counted by whoever turned them away. Nothing of them is kept."""
        self._journal.tell("webhook.refused", actor=actor, why=why, count=count)

    def parked(self, task: str) -> None:
        """A task waits again, inside the transaction that says so."""
        if task in self._missed:
            self._missed.discard(task)
            self._hasten(task)

    def _remember(self, *keys: str) -> bool:
        """False when one of them is known."""
        journal, now = self._journal, self._journal.clock.now()
        journal.db.execute("DELETE FROM record WHERE kind = ? AND at < ?", (RECORD, now - KEPT_S))
        if any(journal.get(RECORD, key) is not None for key in keys):
            return False
        for key in keys:
            journal.put(RECORD, key, "null")
        return True

    def _tasks(self, about: Event) -> list[str]:
        """Tasks whose pull request it may be about."""
        if isinstance(about, Labelled):
            return []
        number = str(about.number) if isinstance(about, PullChanged) else r"\d+"
        theirs = re.compile(rf".*/{re.escape(str(about.place))}/pulls?/{number}", re.IGNORECASE)
        sql = (
            "SELECT DISTINCT task.id, event.data FROM task JOIN event ON event.task = task.id "
            "WHERE task.state != 'done' AND task.phase = 'landing' AND event.what = 'pull.opened'"
        )
        rows = self._journal.db.execute(sql).fetchall()
        return [row["id"] for row in rows if theirs.fullmatch(str(json.loads(row["data"]).get("url")))]

    def _looking(self) -> set[str]:
        """Tasks that may look just now. One that ended instead of waiting again never says so here."""
        rows = self._journal.db.execute("SELECT id FROM task WHERE state = 'ready'")
        return {row["id"] for row in rows}

    def _hasten(self, task: str) -> bool:
        """Bring the time of its next look forward; False when it is not later than that anyway, or it does not look."""
        soon = self._journal.clock.now() + SOON_S
        sql = (
            "UPDATE task SET wake_at = ? WHERE id = ? AND state = 'waiting' AND json_extract(hold, '$.looks') "
            "AND json_extract(hold, '$.late') IS NULL AND coalesce(wake_at, ?) > ?"
        )
        if self._journal.db.execute(sql, (soon, task, soon + 1, soon)).rowcount:
            return True
        row = self._journal.db.execute("SELECT state FROM task WHERE id = ?", (task,)).fetchone()
        looks = row is not None and row["state"] == "ready"
        if looks:
            self._missed.add(task)
        return looks
