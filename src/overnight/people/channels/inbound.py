"""What comes from a phone: taken in the same transaction as whatever follows from it, so that nothing is taken twice."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from overnight.durable.journal import Journal
from overnight.errors import BadInput
from overnight.missions.approval import Action, Answered, Reason, Redeemed, read_token
from overnight.missions.codec import decode, encode
from overnight.missions.notice import Notice
from overnight.people.answers import Answers
from overnight.people.operators import People
from overnight.people.record import Record
from overnight.people.tickets import Tickets

#: The kind of record that says how far a channel was read. The key is the target.
RECORD = "channel"
#: Things that were taken and are remembered by name, for a far end that gives them again.
_REMEMBERED = 200
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
    #: Empty: they are not answered.
    words: str


class Inbound:
    """One target's way in, over one open journal."""

    def __init__(
        self,
        journal: Journal,
        people: People,
        target: str,
        channel: str,
        wake: Callable[[], None],
        record: Record | None = None,
    ) -> None:
        """channel: what tickets call it. wake: tells the engine that something changed. record: keeps the audit."""
        self._journal, self._target, self._channel, self._wake = journal, target, channel, wake
        self._record = record or Record(journal)
        self._tickets = Tickets(journal, people, self._record.refusals)
        self._answers = Answers(journal, people, self._record.refusals)

    def place(self) -> Place:
        """How far it was read; the beginning where nobody knows."""
        held = self._journal.get(RECORD, self._target)
        return Place() if held is None else decode(held, Place)

    def now(self) -> float:
        """Epoch seconds, by the journal's clock."""
        return self._journal.clock.now()

    def press(self, name: str, mark: str, text: str, sender: str) -> Reply | None:
        """A button was pressed. name: what the far end calls the press. mark: how far the channel is read with it. text:
        a token, and the words behind it.

        None when it was taken before, is no press at all, or is one of too many that don't count.
        """
        token, _, words = text.strip().partition(" ")
        if read_token(token) is None:
            return None
        return self._take(name, mark, lambda: self._redeemed(token, words, sender))

    def reply(self, name: str, mark: str, remote: str, text: str, sender: str) -> Reply | None:
        """Words that reply to one of our messages. remote: what the far end calls that. None as for `press`."""
        return self._take(name, mark, lambda: self._answered(remote, text, sender))

    def _take(self, name: str, mark: str, act: Callable[[], Reply | None]) -> Reply | None:
        with self._record.kept(), self._journal.tx("inbound"):
            was = self.place()
            if name in was.taken:
                return None
            said = act()
            if said is None:  # nothing is written for it, so that a flood costs no disk
                return None
            now = Place(mark=mark, at=self._journal.clock.now(), taken=(*was.taken, name)[-_REMEMBERED:])
            self._journal.put(RECORD, self._target, encode(now).decode())
        self._wake()
        return said

    def _redeemed(self, token: str, words: str, sender: str) -> Reply | None:
        said = self._tickets.redeem(token, sender, self._channel, why=words)
        return self._words(said, f"{said.words}." if not isinstance(said, Redeemed) else "")

    def _answered(self, remote: str, text: str, sender: str) -> Reply | None:
        """Words answer a question, and approve nothing."""
        notice = self._asked_with(remote)
        if notice is None:
            return Reply(ok=False, words="Not taken: reply to a question that you may answer.")
        try:
            said = self._answers.say(notice.ask, text, sender, self._channel)
        except BadInput as error:
            return Reply(ok=False, words=f"Not taken: {error}")
        if isinstance(said, Redeemed):
            return self._words(said, "")
        return self._words(said, {
            Reason.OPERATOR: "",  # strangers are not answered
            Reason.NO_TICKET: "words approve nothing. Use a button, or `overnight approve`.",
            Reason.NOT_WAITING: f"{notice.task} does not wait for this now.",
        }.get(said.reason, f"{said.words}."))  # fmt: skip

    def _words(self, said: Answered, refused: str) -> Reply | None:
        """What is said back. refused: why not; empty says nothing."""
        if isinstance(said, Redeemed):
            return Reply(ok=True, words=f"{_DONE[said.action]}: {said.task} {said.commit[:12]}".rstrip())
        if said.counted:
            return None
        return Reply(ok=False, words=f"Not taken: {refused}" if refused else "")

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
