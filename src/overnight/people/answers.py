"""Answers to questions: data, never a decision. They say to a task what a person said, and change no bound."""

from __future__ import annotations

import sqlite3

from msgspec import MsgspecError

from overnight.durable.engine import make_ready
from overnight.durable.journal import Journal
from overnight.errors import BadInput
from overnight.guard.redact import redacted, sanitised
from overnight.missions.approval import ANSWER, WORDS, Action, Answered, Ask, AskKind, Reason, Redeemed, Refusal, Right
from overnight.missions.clarify import Clarity, understand
from overnight.missions.codec import decode, encode
from overnight.people.floods import Refusals
from overnight.people.operators import People, may, operator_of
from overnight.people.waits import KEEP, filed, open_ask, task_of

#: Characters of an answer, of it in the record, and of a sender there.
MOST, _TOLD, _SENDER = 20_000, 200, 80
#: Short ways to say that a denied call stays denied.
_KEEPS = ("a", "keep", "no", "deny")


class Answers:
    """What people say to questions, checked and put on record, each in one transaction."""

    def __init__(self, journal: Journal, people: People, refusals: Refusals | None = None) -> None:
        self._journal, self._people, self._refusals = journal, people, refusals or Refusals(journal)

    def say(self, ask: str, words: str, sender: str, channel: str) -> Answered:
        """Give words to what is asked. ask: its id, or the id of a task that waits for an answer.

        sender, channel: as for `Tickets.redeem`. Raises BadInput for words that answer nothing that was asked.
        """
        with self._journal.tx("answer"):
            by = operator_of(self._people, channel, sender)
            if by is None:
                return self._refused(Reason.OPERATOR, ask, sender, channel)
            if not may(self._people, by, Right.ANSWER):
                return self._refused(Reason.RIGHT, ask, sender, channel)
            found = open_ask(self._journal.db, ask)
            if found is None:
                return self._refused(Reason.NOT_WAITING, ask, sender, channel)
            if found.kind is not AskKind.QUESTION:
                return self._refused(Reason.NO_TICKET, ask, sender, channel)
            give_answer(
                self._journal, found.task, found.id, understood(self._journal.db, found, words), by, (channel, sender)
            )
            return Redeemed(task=found.task, commit="", action=Action.ANSWER, operator=by)

    def _refused(self, reason: Reason, ask: str, sender: str, channel: str) -> Refusal:
        task = task_of(ask)
        known = self._journal.db.execute("SELECT 1 FROM task WHERE id = ?", (task,)).fetchone() is not None
        counted = self._refusals.put(
            "answer.refused", reason, channel, short(sender, _SENDER), task if known else None, ask=short(ask, _TOLD)
        )
        return Refusal(reason=reason, words=WORDS[reason], task=task if known else "", counted=counted)


def understood(db: sqlite3.Connection, ask: Ask, words: str) -> str:
    """An answer as the task is told it. Raises BadInput for words that answer nothing that was asked."""
    words = sanitised(words)
    if not words.strip():
        raise BadInput(problem="The answer is empty. Say what the task needs to know.")
    if len(words) > MOST:
        raise BadInput(problem=f"The answer is longer than {MOST} characters. Say what matters of it.")
    if is_filed(ask.id):
        return KEEP if words.strip().lower() in _KEEPS else words
    if (clarity := _clarity(db, ask.task)) is not None:
        understand(clarity.questions, words)
    return words


def _clarity(db: sqlite3.Connection, task: str) -> Clarity | None:
    """What a task asks before it starts; None once a run of it has begun."""
    sql = (
        "SELECT output FROM step WHERE task = ? AND name = 'clarify' AND life = (SELECT life FROM task WHERE id = ?) "
        "AND NOT EXISTS (SELECT 1 FROM step o WHERE o.task = step.task AND o.life = step.life AND o.name = 'open 1')"
    )
    row = db.execute(sql, (task, task)).fetchone()
    try:
        return decode(row["output"], Clarity) if row else None
    except MsgspecError:  # of a flow of another shape
        return None


def is_filed(ask: str) -> bool:
    """Whether this is the id of a question that a run filed: `TASK.qXXXXXXXX`."""
    rest = ask.partition(".")[2]
    return rest.startswith("q") and "." not in rest


def give_answer(journal: Journal, task: str, ask: str, words: str, by: str, way: tuple[str, str]) -> None:
    """Put an answer where the task finds it, inside a transaction. Whether it may be given was looked at. way: channel and
    sender."""
    came = {"channel": way[0], "sender": short(way[1], _SENDER)}
    if is_filed(ask):
        wanted = filed(journal.db, task)[ask].data
        why = short(words, _TOLD)
        journal.tell(
            "question.answered", task=task, actor=by, why=why, question=ask, wanted=wanted, words=words, **came
        )
        return
    sql = "INSERT INTO signal(task, name, payload, at) VALUES (?, ?, ?, ?)"
    journal.db.execute(sql, (task, ANSWER, encode(words).decode(), journal.clock.now()))
    journal.tell("answer.taken", task=task, actor=by, why=short(words, _TOLD), ask=ask, **came)
    make_ready(journal, task, f"{by} answered")


def short(text: str, most: int) -> str:
    """What others sent, as it goes on record: without secrets and control characters, on one line, cut."""
    text = " ".join(sanitised(redacted(text)).split())
    return text if len(text) <= most else text[: most - 1] + "…"
