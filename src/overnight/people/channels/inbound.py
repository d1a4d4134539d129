"""What comes from a phone: taken in the same transaction as whatever follows from it, so that nothing is taken twice."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from overnight.durable.journal import Journal
from overnight.errors import OvernightError
from overnight.guard.redact import sanitised
from overnight.missions.approval import Action, AskKind, Redeemed, Right, read_token
from overnight.missions.codec import decode, encode
from overnight.missions.notice import Notice
from overnight.people.operators import People, may, operator_of
from overnight.people.tickets import Tickets
from overnight.people.waits import asked

#: The kind of record that says how far a channel was read. The key is the target.
RECORD = "channel"
#: Things that were taken and are remembered by name, for a far end that gives them again.
_REMEMBERED = 200
#: Characters of an answer in words.
_ANSWER = 4000
_DONE = {
    Action.LAND: "Approved",
    Action.LAND_ANYWAY: "Approved, blocks and all",
    Action.REJECT: "Rejected",
    Action.ANSWER: "Answered",
}


class Place(Struct, frozen=True, kw_only=True):
    """How far a channel was read."""

    #: The far end's own word for it; empty: from the beginning.
    mark: str = ""
    #: Epoch seconds when that was.
    at: float = 0.0
    #: What was taken of late.
    taken: tuple[str, ...] = ()


class Reply(Struct, frozen=True, kw_only=True):
    """What a person is told who did something on the phone."""

    ok: bool
    words: str


class Inbound:
    """One target's way in, over one open journal."""

    def __init__(self, journal: Journal, people: People, target: str, channel: str, wake: Callable[[], None]) -> None:
        """channel: what tickets call it. wake: tells the engine that something changed."""
        self._journal, self._people, self._target, self._channel, self._wake = journal, people, target, channel, wake
        self._tickets = Tickets(journal, people)

    def place(self) -> Place:
        """How far it was read; the beginning where nobody knows."""
        held = self._journal.get(RECORD, self._target)
        return Place() if held is None else decode(held, Place)

    def now(self) -> float:
        """Epoch seconds, by the journal's clock."""
        return self._journal.clock.now()

    def knows(self, sender: str) -> bool:
        """Whether a sender is one of the people."""
        return operator_of(self._people, self._channel, sender) is not None

    def press(self, name: str, mark: str, token: str, sender: str) -> Reply | None:
        """A button was pressed. name: what the far end calls the press. mark: how far the channel is read with it.

        None when it was taken before, or is no press at all.
        """
        if read_token(token) is None:
            return None
        return self._take(name, mark, lambda: self._redeemed(token, sender))

    def reply(self, name: str, mark: str, remote: str, text: str, sender: str) -> Reply | None:
        """Words that reply to one of our messages. remote: what the far end calls that. None when it was taken before."""
        return self._take(name, mark, lambda: self._answered(remote, text, sender))

    def _take(self, name: str, mark: str, act: Callable[[], Reply]) -> Reply | None:
        with self._journal.tx("inbound"):
            was = self.place()
            if name in was.taken:
                return None
            said = act()
            now = Place(mark=mark, at=self._journal.clock.now(), taken=(*was.taken, name)[-_REMEMBERED:])
            self._journal.put(RECORD, self._target, encode(now).decode())
        self._wake()
        return said

    def _redeemed(self, token: str, sender: str) -> Reply:
        said = self._tickets.redeem(token, sender, self._channel)
        if isinstance(said, Redeemed):
            return Reply(ok=True, words=f"{_DONE[said.action]}: {said.task} {said.commit[:12]}".rstrip())
        return Reply(ok=False, words=f"Not taken: {said.words}.")

    def _answered(self, remote: str, text: str, sender: str) -> Reply:
        """Words answer a question, and approve nothing."""
        who = operator_of(self._people, self._channel, sender)
        notice = self._asked_with(remote)
        if who is None or notice is None or not may(self._people, who, Right.ANSWER):
            return Reply(ok=False, words="Not taken: reply to a question that you may answer.")
        ask = asked(self._journal.db, notice.task)
        if ask is None or ask.id != notice.ask:
            return Reply(ok=False, words=f"Not taken: {notice.task} does not wait for this now.")
        if ask.kind is not AskKind.QUESTION:
            return Reply(ok=False, words="Not taken: words approve nothing. Use a button, or `overnight approve`.")
        words = sanitised(text).strip()[:_ANSWER]
        if not words:
            return Reply(ok=False, words="Not taken: the answer is empty.")
        try:
            token = self._tickets.issue(ask.id, who, Action.ANSWER, actor=self._channel, answer=words)
        except OvernightError as error:
            return Reply(ok=False, words=f"Not taken: {error}")
        return self._redeemed(token, sender)

    def _asked_with(self, remote: str) -> Notice | None:
        """The one notice that a message was about, if it asked something."""
        sql = (
            "SELECT notice.value FROM delivery JOIN notice ON notice.id = delivery.notice "
            "WHERE target = ? AND remote = ? AND state = 'sent' LIMIT 2"
        )
        rows = self._journal.db.execute(sql, (self._target, remote)).fetchall()
        notice = decode(rows[0]["value"], Notice) if len(rows) == 1 else None
        return notice if notice is not None and notice.ask else None

    def deaf(self, why: str) -> None:
        """Put on record that nobody is heard any more."""
        self._journal.tell("notify.deaf", why=why, target=self._target)
