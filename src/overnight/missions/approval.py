"""A person's decision: what is asked, and the ticket that one decision is made with. Pure: nothing here decides alone.

A ticket's record lies in the journal, its signature in the token that a person's channel carries: neither is worth
anything without the other, and only the daemon holds the key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from enum import StrEnum

from msgspec import Struct

from overnight.missions.codec import encode

#: The signals that a wait for a decision and a wait for an answer end by. Only the desk sends the first.
DECISION, ANSWER = "decision", "answer"
#: Bytes of a ticket's id, and of its signature.
ID_BYTES, TAG_BYTES = 12, 16
#: Signatures are about nothing else than this.
_ABOUT, _ABOUT_LINK = b"overnight approval 1 ", b"overnight link 1 "
_TOKEN = re.compile(r"o1([A-Za-z0-9_-]{16})([A-Za-z0-9_-]{22})", re.ASCII)
_LINK = re.compile(r"w1([A-Za-z0-9_-]{16})([A-Za-z0-9_-]{22})", re.ASCII)


class AskKind(StrEnum):
    """What kind of word is asked for."""

    #: About exactly one commit.
    APPROVAL = "approval"
    #: An answer in words; it is data, and approves nothing.
    QUESTION = "question"


class Action(StrEnum):
    """What a decision does."""

    #: The commit lands.
    LAND = "land"
    #: It lands although it is blocked: what blocks it was looked at, and is meant.
    LAND_ANYWAY = "land --anyway"
    #: The task ends without landing.
    REJECT = "reject"
    #: One of the choices of a question is taken.
    ANSWER = "answer"


class Right(StrEnum):
    """What an operator may do."""

    #: Approve and reject results that wait.
    APPROVE = "approve"
    #: Also approve what is blocked.
    ANYWAY = "anyway"
    #: Answer questions.
    ANSWER = "answer"
    #: Pause, resume and stop.
    PAUSE = "pause"
    #: Add, cancel and retry tasks, and set budgets and limits.
    MANAGE = "manage"


#: The right that each action needs.
NEEDS = {
    Action.LAND: Right.APPROVE,
    Action.LAND_ANYWAY: Right.ANYWAY,
    Action.REJECT: Right.APPROVE,
    Action.ANSWER: Right.ANSWER,
}


class Choice(Struct, frozen=True, kw_only=True):
    """One way to answer a question."""

    #: For a person.
    label: str
    #: What the task is told.
    answer: str


class Ask(Struct, frozen=True, kw_only=True):
    """What a person is asked. A flow puts it into the hold that it waits with, so the journal says what is waited for."""

    #: Unique: another run, another commit or another life asks anew.
    id: str
    task: str
    #: Name of the repo.
    repo: str
    kind: AskKind
    #: The commit that it is about, whole; empty for a question.
    commit: str = ""
    #: What may be decided. Of a question: answer.
    actions: tuple[Action, ...] = ()
    #: The task in one line.
    title: str = ""
    #: Why a person is asked.
    why: str = ""
    choices: tuple[Choice, ...] = ()
    #: Which choice is recommended: an index.
    default: int = 0
    #: Epoch seconds since when it waits; whoever reads it fills it in.
    asked: float = 0.0
    #: Epoch seconds at which it goes on without a word; None waits for one.
    expires: float | None = None


class Ticket(Struct, frozen=True, kw_only=True):
    """The right of one operator to take one action on one commit of one task, once, for some time."""

    #: Random, and so the nonce.
    id: str
    #: The id of what was asked.
    ask: str
    operator: str
    task: str
    commit: str
    action: Action
    #: Of an answer: the words that the task is told; empty when they come with the ticket.
    answer: str = ""
    #: Epoch seconds.
    issued: float
    expires: float
    #: The journal's last event when it was made: what happened later is known by it, whatever the clock says.
    after: int


class Taken(Struct, frozen=True, kw_only=True):
    """When a ticket was used, and by which way."""

    at: float
    channel: str
    sender: str


class Filed(Struct, frozen=True, kw_only=True):
    """A ticket's record in the journal."""

    ticket: Ticket
    taken: Taken | None = None


class Reason(StrEnum):
    """Why a decision was refused."""

    GARBLED = "garbled"
    UNKNOWN = "unknown"
    FORGED = "forged"
    KEY = "key"
    SENDER = "sender"
    OPERATOR = "operator"
    RIGHT = "right"
    USED = "used"
    EXPIRED = "expired"
    CLOCK = "clock"
    ENDED = "ended"
    NOT_WAITING = "not-waiting"
    COMMIT = "commit"
    ACTION = "action"
    DECIDED = "decided"
    NO_TICKET = "no-ticket"
    WORDS = "words"


#: The same for a person.
WORDS = {
    Reason.GARBLED: "this is no approval: it is cut off or garbled",
    Reason.UNKNOWN: "no such approval is on record",
    Reason.FORGED: "its signature does not fit what is on record",
    Reason.KEY: "the key that signs approvals can't be used",
    Reason.SENDER: "it was made for somebody else than who sent it",
    Reason.OPERATOR: "nobody who may decide here is known by this name",
    Reason.RIGHT: "its operator may not do that",
    Reason.USED: "it was used already",
    Reason.EXPIRED: "it has expired",
    Reason.CLOCK: "the machine's clock went back since it was made, so nobody can say whether it has expired",
    Reason.ENDED: "the task has ended",
    Reason.NOT_WAITING: "the task does not wait for this now",
    Reason.COMMIT: "the task waits with another commit by now",
    Reason.ACTION: "it is for another action than is asked for",
    Reason.DECIDED: "it was decided already",
    Reason.NO_TICKET: "nothing but a ticket decides",
    Reason.WORDS: "its words answer nothing that was asked",
}


class Redeemed(Struct, frozen=True, kw_only=True, tag="redeemed"):
    """It counts, and is on record."""

    task: str
    commit: str
    action: Action
    operator: str


class Refusal(Struct, frozen=True, kw_only=True, tag="refused"):
    """It does not count; that it was tried is on record."""

    reason: Reason
    #: For a person.
    words: str
    #: What is known about it; empty before its signature was found right.
    task: str = ""
    #: So many of this sender were refused of late that this one is counted, and not put on record by itself.
    counted: bool = False


#: What comes back for a token.
Answered = Redeemed | Refusal


def tag_of(key: bytes, ticket: Ticket, *, link: bool = False) -> bytes:
    """The signature over everything that a ticket says. link: for a link, whose token no other channel takes."""
    about = _ABOUT_LINK if link else _ABOUT
    return hmac.new(key, about + encode(ticket), hashlib.sha256).digest()[:TAG_BYTES]


def write_token(key: bytes, ticket: Ticket, *, link: bool = False) -> str:
    """What a channel carries: 40 letters, digits, `-` and `_`."""
    return f"{'w1' if link else 'o1'}{ticket.id}{text_of(tag_of(key, ticket, link=link))}"


def read_token(token: str, *, link: bool = False) -> tuple[str, str] | None:
    """(id of the ticket, signature) as text; None when it is no token."""
    match = (_LINK if link else _TOKEN).fullmatch(token)
    return (match[1], match[2]) if match else None


def fits(key: bytes, ticket: Ticket, signature: str, *, link: bool = False) -> bool:
    """Whether this is the ticket's signature."""
    return hmac.compare_digest(text_of(tag_of(key, ticket, link=link)), signature)


def text_of(raw: bytes) -> str:
    """Bytes as URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
