"""What the desk may be asked about people: one verb each, in plain JSON values."""

from __future__ import annotations

from typing import Any, cast

from overnight.durable.desk import Verbs
from overnight.durable.journal import Journal
from overnight.errors import BadInput
from overnight.missions.approval import Action, Answered, Reason, Refusal
from overnight.missions.codec import builtins, convert
from overnight.people.answers import Answers
from overnight.people.operators import People
from overnight.people.record import Record
from overnight.people.tickets import LIFETIME_S, Shown, Tickets


def verbs(journal: Journal, people: People, record: Record | None = None) -> Verbs:
    """`issue`, `look`, `redeem`, `answer` and `refuse`, for `Desk(journal, more=verbs(journal, people))`."""
    kept = record or Record(journal)
    tickets, answers = Tickets(journal, people, kept.refusals), Answers(journal, people, kept.refusals)

    def issue(
        *,
        actor: str,
        ask: str,
        operator: str,
        action: str,
        commit: str | None = None,
        answer: str = "",
        lifetime: float = LIFETIME_S,
        link: bool = False,
    ) -> str:
        """See `Tickets.issue`."""
        what = _action(action)
        with kept.kept():
            return tickets.issue(
                ask, operator, what, actor=actor, commit=commit, answer=answer, lifetime=lifetime, link=link
            )

    def look(*, actor: str, tokens: list[str]) -> dict[str, Any]:
        """See `Tickets.look`; `read_shown` reads what it gives."""
        del actor
        return builtins(tickets.look(tokens))

    def redeem(
        *, actor: str, token: str, sender: str, channel: str, why: str = "", expect: str | None = None
    ) -> dict[str, Any]:
        """See `Tickets.redeem`; `read_redeemed` reads what it gives."""
        del actor  # the sender is who acts
        meant = None if expect is None else _action(expect)
        with kept.kept():
            return builtins(tickets.redeem(token, sender, channel, why=why, expect=meant))

    def answer(*, actor: str, ask: str, words: str, sender: str, channel: str) -> dict[str, Any]:
        """See `Answers.say`."""
        del actor
        with kept.kept():
            return builtins(answers.say(ask, words, sender, channel))

    def refuse(*, actor: str, person: str, right: str, task: str = "") -> None:
        """Put on record that a person wanted what is not theirs to do."""
        with kept.kept():
            known = journal.db.execute("SELECT 1 FROM task WHERE id = ?", (task,)).fetchone() is not None
            kept.refusals.put(
                "approval.refused", Reason.RIGHT, actor.partition(":")[0], person, task if known else None, right=right
            )

    return {"issue": issue, "look": look, "redeem": redeem, "answer": answer, "refuse": refuse}


def read_shown(given: Any) -> Shown | Refusal:
    """What the verb `look` gave, as a value."""
    return convert(given, cast("type[Shown | Refusal]", Shown | Refusal))


def read_redeemed(given: Any) -> Answered:
    """What the verbs `redeem` and `answer` gave, as a value."""
    return convert(given, cast("type[Answered]", Answered))


def _action(text: str) -> Action:
    try:
        return Action(text)
    except ValueError:
        raise BadInput(problem=f"{text!r} is none of {', '.join(Action)}.") from None
