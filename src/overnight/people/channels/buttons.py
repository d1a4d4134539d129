"""What can be decided from a phone: a ticket for each action that the phone's owner may take, on buttons and in a link."""

from __future__ import annotations

from typing import NamedTuple

from overnight.durable.journal import Journal
from overnight.judge.telling import plain
from overnight.missions.approval import NEEDS, Action, Ask, AskKind, Right
from overnight.missions.notice import Notice
from overnight.people.errand import Button
from overnight.people.notify import Offered
from overnight.people.operators import People, may
from overnight.people.secret import only_places
from overnight.people.settings import Kind, Target
from overnight.people.tickets import MOST_OFFERS, Tickets
from overnight.people.waits import open_ask

#: Seconds that a button and a link are good for: a weekend, and no more.
LIFETIME_S = 3 * 86400.0
#: Characters of a button.
LABEL = 40
#: ntfy shows three buttons, and a message of Telegram is read better with few.
_MOST = {Kind.NTFY: 3, Kind.TELEGRAM: 8}
_LABELS = {Action.LAND: "Approve", Action.LAND_ANYWAY: "Approve anyway", Action.REJECT: "Reject"}


class _Wanted(NamedTuple):
    label: str
    action: Action
    answer: str


class PhoneButtons:
    """Makes the buttons and links of messages, over one open journal."""

    def __init__(self, journal: Journal, people: People, base: str = "") -> None:
        """base: where people's phones reach the dashboard; empty makes no links."""
        self._journal, self._people, self._tickets = journal, people, Tickets(journal, people)
        self._base = base.rstrip("/")

    def __call__(self, notice: Notice, target: Target) -> Offered:
        """What goes with a message about what a person is asked. Raises OvernightError for a key that can't be used."""
        ask, who = open_ask(self._journal.db, notice.ask), target.person
        if ask is None or who is None or who not in self._people:
            return Offered()
        wanted = [each for each in _wanted(ask) if may(self._people, who, NEEDS[each.action])]
        words = ask.kind is AskKind.QUESTION and may(self._people, who, Right.ANSWER)
        made = tuple(
            Button(label=plain(each.label, LABEL), token=self._token(ask, who, each))
            for each in wanted[: _MOST.get(target.kind, 0)]
        )
        return Offered(
            buttons=made,
            answers=ask.task if words and target.kind is Kind.TELEGRAM else "",
            link=self._link(ask, who, wanted, words=words),
            how=self._how(ask, who, target) if words else "",
        )

    def _how(self, ask: Ask, who: str, target: Target) -> str:
        """How to answer in words there."""
        if target.kind is Kind.TELEGRAM:
            return "Reply to this message to answer in your own words."
        if target.kind is not Kind.NTFY or not target.replies:
            return ""
        topic = "your reply topic" if only_places(target.replies) else target.replies
        token = self._token(ask, who, _Wanted("", Action.ANSWER, ""))
        return f"To answer in your own words, send them to {topic} behind this: {token}"

    def _link(self, ask: Ask, who: str, wanted: list[_Wanted], *, words: bool) -> str:
        """A page that shows what is asked; its address ends in a letter, which no program takes for the end of a sentence."""
        if not self._base or not (wanted or words):
            return ""
        chosen = wanted[: MOST_OFFERS - 1] + ([_Wanted("", Action.ANSWER, "")] if words else [])
        tokens = [self._token(ask, who, each, link=True) for each in chosen]
        return f"{self._base}/word/{'.'.join(tokens)}/ask"

    def _token(self, ask: Ask, who: str, what: _Wanted, *, link: bool = False) -> str:
        return self._tickets.issue(
            ask.id, who, what.action, actor="notify", commit=ask.commit, answer=what.answer, lifetime=LIFETIME_S,
            link=link,
        )  # fmt: skip


def _wanted(ask: Ask) -> list[_Wanted]:
    """Everything that can be decided by one press."""
    if ask.kind is AskKind.QUESTION:
        return [_Wanted(choice.label, Action.ANSWER, choice.answer) for choice in ask.choices]
    return [_Wanted(_LABELS[action], action, "") for action in ask.actions if action in _LABELS]
