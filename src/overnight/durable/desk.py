"""The desk: everything that may be asked of the journal from outside, one method each.

The daemon serves it over its socket; where no daemon runs, the client takes the lock and calls it itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from overnight.durable import pauses
from overnight.durable.engine import follow_pauses, make_ready
from overnight.durable.flow import RELEASE
from overnight.durable.journal import Journal
from overnight.errors import BadInput, BadState, NotDecided, StateNotWritable, UnknownTask
from overnight.missions.approval import DECISION, WORDS, Reason

#: From the mildest on: a later one is never weakened by an earlier one.
WANTS = ("pause", "stop", "cancel")
#: Records that only the verbs which they belong to may set or remove.
SEALED = ("ticket", "journal", "webhook")
#: Verbs of rooms above, by name: each takes `actor` and its own keywords.
Verbs = Mapping[str, Callable[..., Any]]


def _holds(wait_for: str | None) -> bool:
    return wait_for == "hold" or (wait_for or "").startswith(f"signal {RELEASE}")


def _open(kind: str) -> None:
    if kind in SEALED:
        raise BadInput(problem=f"Records of kind {kind!r} are not set by hand.")


def _nobody() -> None:
    """No engine needs waking."""


class Desk:
    """Verbs. Arguments and results are plain JSON values. `actor` is who asks, for the record."""

    def __init__(self, journal: Journal, wake: Callable[[], None] = _nobody, more: Verbs | None = None) -> None:
        """more: verbs besides its own."""
        self.journal, self._wake, self._more = journal, wake, more or {}

    def call(self, verb: str, arguments: dict[str, Any]) -> Any:
        """Do one verb. Raises OvernightError; StateNotWritable says that nothing was changed."""
        method = self._more.get(verb) or getattr(self, f"do_{verb}", None)
        if method is None:
            raise BadInput(
                problem=f"The daemon knows no verb {verb!r}: it is older than this command. Restart it: `overnight down && overnight up`."
            )
        try:
            return method(**arguments)
        except (sqlite3.Error, OSError) as error:
            raise StateNotWritable(path=self.journal.home, reason=error) from error
        finally:
            self._wake()

    def do_submit(
        self,
        *,
        actor: str,
        id: str,  # noqa: A002 (the word)
        flow: str,
        lane: str,
        input: Any,  # noqa: A002 (the word)
        phase: str,
        priority: int = 0,
        pool: str | None = None,
        why: str = "",
    ) -> bool:
        """Put a task on the queue; False when it was there already, so that asking twice does no harm.

        pool: the slot that its first step needs; a task that has to wait for it never starts a coroutine.
        """
        now = self.journal.clock.now()
        with self.journal.tx("submit"):
            new = self.journal.db.execute(
                "INSERT INTO task(id, flow, lane, priority, state, phase, need_pool, need_key, wait_for, input, created, updated) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (id, flow, lane, priority, "waiting" if pool else "ready", phase, pool, lane if pool else None,
                 "slot" if pool else None, json.dumps(input), now, now),
            ).rowcount  # fmt: skip
            if new:
                self.journal.tell("task.submitted", task=id, actor=actor, why=why, lane=lane)
        return bool(new)

    def do_signal(self, *, actor: str, task: str, name: str, payload: Any = None) -> None:
        """Give a task what it waits for. One that does not wait yet finds it when it does. No decision comes this way."""
        row = self._row(task)
        if name == DECISION:
            words = WORDS[Reason.NO_TICKET]
            why = f"{Reason.NO_TICKET}: {words}"
            self.journal.tell("approval.refused", task=task, actor=actor, why=why, reason=Reason.NO_TICKET)
            raise NotDecided(words=words, next=f"`overnight approve {task}` or `overnight reject {task}` makes one.")
        with self.journal.tx("signal"):
            if row["state"] == "done":
                raise BadState(task=task, state=row["phase"], verb="answer", next="It has ended already.")
            sql = "INSERT INTO signal(task, name, payload, at) VALUES (?, ?, ?, ?)"
            self.journal.db.execute(sql, (task, name, json.dumps(payload), self.journal.clock.now()))
            self.journal.tell("signal.sent", task=task, actor=actor, why=name)
            if row["wait_for"] == f"signal {name}":
                make_ready(self.journal, task, name)

    def do_want(self, *, actor: str, task: str, want: str) -> None:
        """pause: nothing new starts. stop: what runs is ended, its work kept; then paused. cancel: the task ends."""
        if want not in WANTS:
            raise BadInput(problem=f"{want!r} is none of {', '.join(WANTS)}.")
        with self.journal.tx(f"want {want}"):
            row = self._row(task)
            if row["state"] == "done":
                raise BadState(
                    task=task,
                    state=row["phase"],
                    verb=want,
                    next=f"What did not land begins anew by `overnight retry {task}`.",
                )
            if row["want"] is None or WANTS.index(want) > WANTS.index(row["want"]):
                self.journal.db.execute("UPDATE task SET want = ? WHERE id = ?", (want, task))
            self.journal.tell(f"want.{want}", task=task, actor=actor)
            if want == "cancel" and row["wait_for"] == "hold":  # what must end first gets another try
                make_ready(self.journal, task, "cancelled")

    def do_resume(self, *, actor: str, task: str) -> None:
        """Take back a pause, or try a held task again now."""
        with self.journal.tx("resume"):
            row = self._row(task)
            if row["state"] == "done":
                raise BadState(
                    task=task,
                    state=row["phase"],
                    verb="resume",
                    next=f"What did not land begins anew by `overnight retry {task}`.",
                )
            self.journal.db.execute("UPDATE task SET want = NULL WHERE id = ? AND want != 'cancel'", (task,))
            self.journal.db.execute("UPDATE task SET faults = 0 WHERE id = ?", (task,))
            self.journal.tell("want.resume", task=task, actor=actor)
            wait_for = row["wait_for"] or ""
            if wait_for.startswith(f"signal {RELEASE}"):
                sql = "INSERT INTO signal(task, name, payload, at) VALUES (?, ?, 'null', ?)"
                name = wait_for.removeprefix("signal ")
                self.journal.db.execute(sql, (task, name, self.journal.clock.now()))
            if row["state"] == "waiting" and row["need_pool"] is None and not wait_for.startswith("task "):
                make_ready(self.journal, task, "a person resumed it")

    def do_release(self, *, actor: str, reason: str, about: str | None = None) -> int:
        """Try every task again now that is held for this reason; how many. about: only those whose hold is about it."""
        with self.journal.tx("release held"):
            sql = (
                "SELECT id, wait_for FROM task WHERE json_extract(hold, '$.reason') = ? AND state = 'waiting' "
                "AND (? IS NULL OR json_extract(hold, '$.about') = ?)"
            )
            found = self.journal.db.execute(sql, (reason, about, about)).fetchall()
            rows = [row for row in found if _holds(row["wait_for"])]
            for row in rows:
                name = row["wait_for"].removeprefix("signal ")
                if name != "hold":  # a hold between runs is left by a signal
                    sent = (row["id"], name, self.journal.clock.now())
                    self.journal.db.execute(
                        "INSERT INTO signal(task, name, payload, at) VALUES (?, ?, 'null', ?)", sent
                    )
                make_ready(self.journal, row["id"], f"{actor}: {reason} is over")
        return len(rows)

    def do_retry(self, *, actor: str, task: str, phase: str, good: str) -> int:
        """Begin a new life of an ended task; its number. A task that ended in phase `good` is not begun again."""
        with self.journal.tx("retry"):
            row = self._row(task)
            if row["state"] != "done":
                raise BadState(
                    task=task, state=row["phase"], verb="retry", next=f"It has not ended. `overnight resume {task}`?"
                )
            if row["phase"] == good:
                raise BadState(task=task, state=good, verb="retry", next="Add a new task for what is still to do.")
            life = row["life"] + 1
            sql = "UPDATE task SET life = ?, state = 'ready', phase = ?, output = NULL, faults = 0, updated = ? WHERE id = ?"
            self.journal.db.execute(sql, (life, phase, self.journal.clock.now(), task))
            # what was said to the old life and not heard is not meant for the new one
            self.journal.db.execute("UPDATE signal SET step = 'ended' WHERE task = ? AND step IS NULL", (task,))
            self.journal.tell("task.retried", task=task, actor=actor, life=life)
        return life

    def do_pause_all(self, *, actor: str, lane: str = "") -> None:
        """Nothing new starts, anywhere or in one lane; steps under way go on to their end."""
        pauses.pause(self.journal.home, lane, by=actor, drain=True)
        follow_pauses(self.journal)

    def do_resume_all(self, *, actor: str, lane: str = "") -> bool:
        """Take such a pause back; False when there was none."""
        was = pauses.resume(self.journal.home, lane)
        follow_pauses(self.journal, actor=actor)
        return was

    def do_heed(self, *, actor: str) -> None:
        """Look at the pauses' files now: somebody changed them."""
        follow_pauses(self.journal, actor=actor)

    def do_put(self, *, actor: str, kind: str, key: str, value: Any) -> None:
        """Set a record."""
        _open(kind)
        with self.journal.tx("put"):
            self.journal.put(kind, key, json.dumps(value))
            self.journal.tell(f"{kind}.put", actor=actor, why=key, value=value)

    def do_drop(self, *, actor: str, kind: str, key: str) -> bool:
        """Remove a record; False when there was none."""
        _open(kind)
        with self.journal.tx("drop"):
            was = self.journal.drop(kind, key)
            if was:
                self.journal.tell(f"{kind}.dropped", actor=actor, why=key)
        return was

    def _row(self, task: str) -> Any:
        row = self.journal.db.execute("SELECT * FROM task WHERE id = ?", (task,)).fetchone()
        if row is None:
            raise UnknownTask(task=task, hint="")
        return row
