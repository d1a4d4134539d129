"""What can be decided from a phone: a ticket for each action that the phone's owner may take."""

from __future__ import annotations

from overnight.durable.journal import Journal
from overnight.judge.telling import plain
from overnight.missions.approval import NEEDS, Action, Ask, AskKind, Right
from overnight.missions.notice import Notice
from overnight.people.errand import Button
from overnight.people.operators import People, may
from overnight.people.settings import Kind, Target
from overnight.people.tickets import Tickets
from overnight.people.waits import asked

#: Seconds that a button is good for: a weekend, and no more.
LIFETIME_S = 3 * 86400.0
#: Characters of a button.
LABEL = 40
#: ntfy shows three buttons, and a message of Telegram is read better with few.
_MOST = {Kind.NTFY: 3, Kind.TELEGRAM: 8}
_LABELS = {Action.LAND: "Approve", Action.LAND_ANYWAY: "Approve anyway", Action.REJECT: "Reject"}


class PhoneButtons:
    """Makes the buttons of messages, over one open journal."""

    def __init__(self, journal: Journal, people: People) -> None:
        self._journal, self._people, self._tickets = journal, people, Tickets(journal, people)

    def __call__(self, notice: Notice, target: Target) -> tuple[tuple[Button, ...], str]:
        """The buttons, and the task that a reply answers: empty where none does. Raises OvernightError for a key that
        can't be used."""
        ask, who = asked(self._journal.db, notice.task), target.person
        if ask is None or ask.id != notice.ask or who is None or who not in self._people:
            return (), ""
        wanted = [each for each in _wanted(ask) if may(self._people, who, NEEDS[each[1]])]
        made = tuple(self._made(ask, who, *each) for each in wanted[: _MOST.get(target.kind, 0)])
        replies = target.kind is Kind.TELEGRAM and ask.kind is AskKind.QUESTION and may(self._people, who, Right.ANSWER)
        return made, ask.task if replies else ""

    def _made(self, ask: Ask, who: str, label: str, action: Action, answer: str) -> Button:
        token = self._tickets.issue(
            ask.id, who, action, actor="notify", commit=ask.commit, answer=answer, lifetime=LIFETIME_S
        )
        return Button(label=plain(label, LABEL), token=token)


def _wanted(ask: Ask) -> list[tuple[str, Action, str]]:
    """(label, action, answer) of everything that can be decided."""
    if ask.kind is AskKind.QUESTION:
        return [(choice.label, Action.ANSWER, choice.answer) for choice in ask.choices]
    return [(_LABELS[action], action, "") for action in ask.actions if action in _LABELS]
