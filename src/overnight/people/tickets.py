"""Tickets: made for one operator, one commit, one action and some time; redeemed once. Each in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from msgspec import Struct

from overnight.durable.engine import make_ready
from overnight.durable.journal import Journal
from overnight.errors import BadInput, BadState, NotDecided, PeopleKeyUnusable, UnknownTask
from overnight.missions.approval import (
    DECISION,
    ID_BYTES,
    NEEDS,
    WORDS,
    Action,
    Answered,
    Ask,
    Filed,
    Reason,
    Redeemed,
    Refusal,
    Taken,
    Ticket,
    fits,
    read_token,
    text_of,
    write_token,
)
from overnight.missions.codec import decode, encode
from overnight.missions.judging import Decision
from overnight.people.answers import give_answer, short, understood
from overnight.people.floods import Refusals
from overnight.people.inbox import Item, read_item
from overnight.people.key import make_key, place, read_key
from overnight.people.operators import LINK, People, known, may, operator_of
from overnight.people.waits import asked, open_ask, task_of

#: Seconds that a ticket is good for unless its maker says otherwise, and at most.
LIFETIME_S, MOST_S = 86400.0, 7 * 86400.0
#: A ticket's record stays this long after it has expired, so that a late try is told why.
KEPT_S = 30 * 86400.0
#: Seconds that clocks may go back, as time servers make them.
CLOCK_SLACK_S = 60.0
#: Characters of what others send that go on record.
_SENDER, _WORDS = 80, 1000
RECORD = "ticket"
#: Tickets that one link carries at most.
MOST_OFFERS = 8
#: The channel that a refusal is put down to before there is a ticket at all.
OPERATOR = "operator"


class Offer(Struct, frozen=True, kw_only=True):
    """One thing that a link can decide."""

    token: str
    action: Action
    #: Of an answer: what it says; empty when a person writes it.
    answer: str = ""


class Shown(Struct, frozen=True, kw_only=True, tag="shown"):
    """What a link is about."""

    operator: str
    #: Epoch seconds.
    expires: float
    item: Item
    offers: tuple[Offer, ...]


class _No(Exception):
    """A decision is refused."""

    def __init__(self, reason: Reason, ticket: Ticket | None = None) -> None:
        self.reason, self.ticket = reason, ticket
        super().__init__(reason)


class Tickets:
    """The only way in which a decision gets into the journal."""

    def __init__(self, journal: Journal, people: People, refusals: Refusals | None = None) -> None:
        self._journal, self._people, self._refusals = journal, people, refusals or Refusals(journal)

    def issue(
        self,
        ask: str,
        operator: str,
        action: Action,
        *,
        actor: str,
        commit: str | None = None,
        answer: str = "",
        lifetime: float = LIFETIME_S,
        link: bool = False,
    ) -> str:
        """A token for what a task asks now. ask: its id, or the id of the task. commit: the one that was looked at.
        answer: what an answer says; empty when its words come with the token. link: for a signed link, and nothing else.

        Raises UnknownTask, BadState, NotDecided, BadInput, PeopleKeyUnusable.
        """
        waits = self._waiting(ask)
        self._entitled(waits, operator, action)
        if action not in waits.actions:
            raise NotDecided(words=WORDS[Reason.ACTION], next=f"It can be: {', '.join(waits.actions)}.")
        if commit is not None and commit != waits.commit:
            raise NotDecided(words=WORDS[Reason.COMMIT], next=f"Look again: `overnight diff {waits.task}`.")
        if not 0 < lifetime <= MOST_S:
            raise BadInput(problem=f"A ticket is good for up to {MOST_S:.0f} seconds, not for {lifetime:.0f}.")
        if action is not Action.ANSWER and answer:
            raise BadInput(problem="Only a ticket for an answer says the answer.")
        key, now = make_key(place(self._journal.home)), self._journal.clock.now()
        with self._journal.tx("issue"):
            self._sweep(now)
            ticket = Ticket(
                id=text_of(secrets.token_bytes(ID_BYTES)), ask=waits.id, operator=operator, task=waits.task,
                commit=waits.commit, action=action, answer=answer, issued=now, expires=now + lifetime, after=self._seq(),
            )  # fmt: skip
            self._put(Filed(ticket=ticket))
            self._journal.tell(
                "approval.issued", task=ticket.task, actor=actor, why=f"{action} for {operator}", ask=waits.id,
                commit=waits.commit, expires=ticket.expires, ticket=ticket.id,
            )  # fmt: skip
        return write_token(key, ticket, link=link)

    def redeem(self, token: str, sender: str, channel: str, *, why: str = "", expect: Action | None = None) -> Answered:
        """Take a decision, or refuse it with a reason; either is on record afterwards. Never raises for a bad token.

        sender, channel: who sent it, as the channel itself knows, and not as the message says. why: words to go on
        record, of a rejection its reason, of an answer whose ticket says none the answer. expect: the action that the
        person was shown, where the channel knows.
        """
        with self._journal.tx("redeem"):
            try:
                ticket = self._checked(token, sender, channel, expect)
                answer = self._answer(ticket, why) if ticket.action is Action.ANSWER else ""
            except _No as no:
                return self._refused(no, sender, channel)
            return self._take(ticket, answer, sender, channel, short(why, _WORDS))

    def look(self, tokens: Sequence[str]) -> Shown | Refusal:
        """What the tokens of a link would decide now. Nothing is decided by it, and nothing goes on record."""
        found, why = list[tuple[str, Ticket]](), Reason.GARBLED
        for token in tokens[:MOST_OFFERS]:
            try:
                found.append((token, self._checked(token, "", LINK, None)))
            except _No as no:
                why = no.reason
        first = found[0][1] if found else None
        item = None if first is None else read_item(self._journal.db, first.ask)
        if first is None or item is None:
            return Refusal(reason=why, words=WORDS[why])
        mine = [(token, each) for token, each in found if (each.ask, each.operator) == (first.ask, first.operator)]
        offers = tuple(Offer(token=token, action=each.action, answer=each.answer) for token, each in mine)
        return Shown(operator=first.operator, expires=min(each.expires for _, each in mine), item=item, offers=offers)

    # -- whether it counts ----------------------------------------------------------------------------------

    def _checked(self, token: str, sender: str, channel: str, expect: Action | None) -> Ticket:
        link = channel == LINK
        parts = read_token(token, link=link)
        if parts is None:
            raise _No(Reason.GARBLED)
        held = self._journal.get(RECORD, parts[0])
        if held is None:
            raise _No(Reason.UNKNOWN)
        filed, key = decode(held, Filed), self._key()
        ticket = filed.ticket
        if key is None or ticket.id != parts[0] or not fits(key, ticket, parts[1], link=link):
            raise _No(Reason.FORGED)
        self._by_its_operator(ticket, sender, channel)
        if filed.taken is not None:
            raise _No(Reason.USED, ticket)
        self._in_time(ticket)
        if expect is not None and expect is not ticket.action:
            raise _No(Reason.ACTION, ticket)
        self._still_asked(ticket)
        return ticket

    def _key(self) -> bytes | None:
        try:
            return read_key(place(self._journal.home))
        except PeopleKeyUnusable:
            raise _No(Reason.KEY) from None

    def _by_its_operator(self, ticket: Ticket, sender: str, channel: str) -> None:
        if not known(self._people, ticket.operator):
            raise _No(Reason.OPERATOR, ticket)
        # A link was made for one person and goes to a place of theirs alone: its token is all that it has to show.
        if channel != LINK and operator_of(self._people, channel, sender) != ticket.operator:
            raise _No(Reason.SENDER, ticket)
        if not may(self._people, ticket.operator, NEEDS[ticket.action]):
            raise _No(Reason.RIGHT, ticket)

    def _in_time(self, ticket: Ticket) -> None:
        """By the clock, and by what the journal saw of time since: a clock that was set back gives nobody more of it."""
        sql = "SELECT max(at) AS at FROM event WHERE seq > ?"
        seen = self._journal.db.execute(sql, (ticket.after,)).fetchone()["at"]
        now, latest = self._journal.clock.now(), max(ticket.issued, seen or 0.0)
        if max(now, latest) >= ticket.expires:
            raise _No(Reason.EXPIRED, ticket)
        if now < latest - CLOCK_SLACK_S:
            raise _No(Reason.CLOCK, ticket)

    def _still_asked(self, ticket: Ticket) -> None:
        db = self._journal.db
        row = db.execute("SELECT state FROM task WHERE id = ?", (ticket.task,)).fetchone()
        if row is None or (row["state"] == "done" and ticket.commit):
            raise _No(Reason.ENDED, ticket)
        if self._decided(ticket.ask):
            raise _No(Reason.DECIDED, ticket)
        waits = open_ask(db, ticket.ask)
        if waits is None:
            now = asked(db, ticket.task) if ticket.commit else None
            raise _No(Reason.COMMIT if now and now.commit not in ("", ticket.commit) else Reason.NOT_WAITING, ticket)
        if waits.commit != ticket.commit:
            raise _No(Reason.COMMIT, ticket)
        if ticket.action not in waits.actions:
            raise _No(Reason.ACTION, ticket)

    def _decided(self, ask: str) -> bool:
        sql = (
            "SELECT 1 FROM record WHERE kind = ? AND json_extract(value, '$.ticket.ask') = ? "
            "AND json_extract(value, '$.taken') IS NOT NULL"
        )
        return self._journal.db.execute(sql, (RECORD, ask)).fetchone() is not None

    # -- what follows ---------------------------------------------------------------------------------------

    def _answer(self, ticket: Ticket, words: str) -> str:
        ask = open_ask(self._journal.db, ticket.ask)
        if ticket.answer or ask is None:
            return ticket.answer
        try:
            return understood(self._journal.db, ask, words)
        except BadInput:
            raise _No(Reason.WORDS, ticket) from None

    def _take(self, ticket: Ticket, answer: str, sender: str, channel: str, why: str) -> Redeemed:
        now, journal = self._journal.clock.now(), self._journal
        self._put(Filed(ticket=ticket, taken=Taken(at=now, channel=channel, sender=sender)))
        journal.tell(
            "approval.taken", task=ticket.task, actor=ticket.operator, why=f"{ticket.action} {ticket.commit[:12]}".strip(),
            ask=ticket.ask, commit=ticket.commit, action=ticket.action, channel=channel, sender=short(sender, _SENDER),
            ticket=ticket.id, said=why,
        )  # fmt: skip
        if ticket.action is Action.ANSWER:
            give_answer(journal, ticket.task, ticket.ask, answer, ticket.operator, (channel, sender))
        else:
            sql = "INSERT INTO signal(task, name, payload, at) VALUES (?, ?, ?, ?)"
            journal.db.execute(sql, (ticket.task, DECISION, encode(_decision(ticket, why)).decode(), now))
            make_ready(journal, ticket.task, f"{ticket.operator} said: {ticket.action}")
        return Redeemed(task=ticket.task, commit=ticket.commit, action=ticket.action, operator=ticket.operator)

    def _refused(self, no: _No, sender: str, channel: str) -> Refusal:
        ticket, words = no.ticket, WORDS[no.reason]
        about = (
            {"ask": ticket.ask, "commit": ticket.commit, "action": ticket.action, "ticket": ticket.id} if ticket else {}
        )
        counted = self._refusals.put(
            "approval.refused", no.reason, channel, short(sender, _SENDER), ticket.task if ticket else None,
            operator=ticket.operator if ticket else "", **about,
        )  # fmt: skip
        return Refusal(reason=no.reason, words=words, task=ticket.task if ticket else "", counted=counted)

    # -- records --------------------------------------------------------------------------------------------

    def _waiting(self, ask: str) -> Ask:
        db, task = self._journal.db, task_of(ask)
        row = db.execute("SELECT state, phase FROM task WHERE id = ?", (task,)).fetchone()
        if row is None:
            raise UnknownTask(task=task, hint="")
        if (waits := open_ask(db, ask)) is not None:
            return waits
        if (now := asked(db, task)) is None:
            raise BadState(task=task, state=row["phase"], verb="deciding", next="It waits for no word now.")
        raise NotDecided(words=WORDS[Reason.NOT_WAITING], next=f"It asks {now.id} now.")

    def _entitled(self, ask: Ask, operator: str, action: Action) -> None:
        if not known(self._people, operator):
            problem = f"Nobody is called {operator!r} in [people] of the settings. Known: {', '.join(self._people) or 'nobody'}."
            raise BadInput(problem=problem)
        if not may(self._people, operator, NEEDS[action]):
            self._refusals.put(
                "approval.refused", Reason.RIGHT, OPERATOR, operator, ask.task, ask=ask.id, action=action
            )
            problem = f"{operator} may not {action}: `{NEEDS[action]}` is missing in `people.{operator}.may`."
            raise BadInput(problem=problem)

    def _seq(self) -> int:
        return self._journal.db.execute("SELECT coalesce(max(seq), 0) AS seq FROM event").fetchone()["seq"]

    def _put(self, filed: Filed) -> None:
        self._journal.put(RECORD, filed.ticket.id, encode(filed).decode())

    def _sweep(self, now: float) -> None:
        sql = "DELETE FROM record WHERE kind = ? AND json_extract(value, '$.ticket.expires') < ?"
        self._journal.db.execute(sql, (RECORD, now - KEPT_S))


def _decision(ticket: Ticket, why: str) -> Decision:
    return Decision(
        commit=ticket.commit, approved=ticket.action is not Action.REJECT, by=ticket.operator, why=why,
        anyway=ticket.action is Action.LAND_ANYWAY, ticket=ticket.id, ask=ticket.ask,
    )  # fmt: skip
