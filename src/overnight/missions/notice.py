"""What a person is told: one fact, in our own words, with whatever others said only as a quote."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from overnight.missions.hold import Hold, HoldReason


class Priority(StrEnum):
    """How much it matters, most first."""

    #: A bound does not hold, or nothing goes on: it is told at once, also at night.
    URGENT = "urgent"
    #: A person is needed. It waits for the end of quiet hours.
    HIGH = "high"
    #: Worth knowing.
    NORMAL = "normal"
    #: Passes by itself, or went as it should.
    LOW = "low"


#: From the most to the least.
RANKS = {priority: rank for rank, priority in enumerate(Priority)}


class Happening(Struct, frozen=True, kw_only=True):
    """An event of the journal, with what is known of the task that it is about."""

    #: Its kind, such as `task.held`.
    what: str
    #: Its reason, in whatever words.
    why: str = ""
    #: Who did it.
    actor: str = ""
    task: str = ""
    repo: str = ""
    #: The task in one line, in the words of whoever asked for it.
    title: str = ""
    #: Which life of the task it is.
    life: int = 0
    #: The hold that the task waits with now, if it does.
    hold: Hold | None = None
    #: Id of what a person is asked by it, if one is.
    ask: str = ""
    #: Of an end: how it ended.
    phase: str = ""
    #: Of a threshold: the percent that were passed. Of a channel that failed: its name.
    percent: int = 0
    target: str = ""
    #: Of a brief: the night that it is about, if that is the latest.
    night: str = ""
    #: Of something unusual: its key, and how soon a person should look: `note`, `warning`, `alarm`.
    key: str = ""
    severity: str = ""


class Notice(Struct, frozen=True, kw_only=True):
    """One fact that a person is told."""

    #: The same for the same fact: told once, then counted.
    key: str
    priority: Priority
    #: One line in our own words.
    title: str
    #: What it is about in words that may be others', cleaned and cut; shown as a quote.
    quote: str = ""
    #: What to do about it; empty when there is nothing to do.
    do: str = ""
    #: Empty when it is about no task.
    task: str = ""
    repo: str = ""
    #: The reason of the hold that it is about: no longer worth telling once nothing waits for that.
    held: HoldReason | None = None
    #: What the hold is about, such as an account.
    about: str = ""
    #: Id of what a person is asked, if one is.
    ask: str = ""
    #: It does not wait for the digest, whatever its priority.
    soon: bool = False
    #: A target that it is not told to: it is about that one.
    but: str = ""


class Line(Struct, frozen=True, kw_only=True):
    """A notice, and how often its fact was seen since it was told or began."""

    notice: Notice
    count: int = 1


class Message(Struct, frozen=True, kw_only=True):
    """What goes to a target: one or more facts, in plain text."""

    title: str
    text: str
    priority: Priority
