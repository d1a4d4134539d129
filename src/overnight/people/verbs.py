"""What the desk may be asked about people: one verb each, in plain JSON values."""

from __future__ import annotations

from typing import Any, cast

from overnight.durable.desk import Verbs
from overnight.durable.journal import Journal
from overnight.errors import BadInput
from overnight.missions.approval import Action, Answered
from overnight.missions.codec import builtins, convert
from overnight.people.answers import Answers
from overnight.people.operators import People
from overnight.people.tickets import LIFETIME_S, Tickets


def verbs(journal: Journal, people: People) -> Verbs:
    """`issue`, `redeem` and `answer`, for `Desk(journal, more=verbs(journal, people))`."""
    tickets, answers = Tickets(journal, people), Answers(journal, people)

    def issue(
        *,
        actor: str,
        ask: str,
        operator: str,
        action: str,
        commit: str | None = None,
        answer: str = "",
        lifetime: float = LIFETIME_S,
    ) -> str:
        """See `Tickets.issue`."""
        what = _action(action)
        return tickets.issue(ask, operator, what, actor=actor, commit=commit, answer=answer, lifetime=lifetime)

    def redeem(
        *, actor: str, token: str, sender: str, channel: str, why: str = "", expect: str | None = None
    ) -> dict[str, Any]:
        """See `Tickets.redeem`; `read_redeemed` reads what it gives."""
        del actor  # the sender is who acts
        meant = None if expect is None else _action(expect)
        return builtins(tickets.redeem(token, sender, channel, why=why, expect=meant))

    def answer(*, actor: str, ask: str, words: str, sender: str, channel: str) -> dict[str, Any]:
        """See `Answers.say`."""
        del actor
        return builtins(answers.say(ask, words, sender, channel))

    return {"issue": issue, "redeem": redeem, "answer": answer}


def read_redeemed(given: Any) -> Answered:
    """What the verbs `redeem` and `answer` gave, as a value."""
    return convert(given, cast("type[Answered]", Answered))


def _action(text: str) -> Action:
    try:
        return Action(text)
    except ValueError:
        raise BadInput(problem=f"{text!r} is none of {', '.join(Action)}.") from None
