"""The lines of the audit: of a run's file, of a day's heads, of the checkpoints.

Texts come from the agent. They are made harmless, freed of secrets and cut before they get here.
"""

from __future__ import annotations

from overnight.audit.chained import Head, Link
from overnight.guard.verdict import Decision

#: Version of these lines.
FORMAT = 1


class Opened(Link, frozen=True, kw_only=True, tag_field="kind", tag="opened"):
    """The first line of a run's file: whose it is."""

    run: str
    task: str
    agent: str
    #: Of the agent's CLI.
    version: str
    #: Level of the box.
    box: str
    format: int = FORMAT


class Called(Link, frozen=True, kw_only=True, tag_field="kind", tag="call"):
    """A tool call and what was decided about it. On disk before the decision takes effect."""

    run: str
    agent: str
    #: The agent's own id of the call.
    call: str
    tool: str
    #: The input in one text, without secrets, cut.
    input: str
    #: SHA-256, in hex, of the whole input as canonical JSON, before anything was taken out.
    digest: str
    #: Bytes of that.
    size: int
    decision: Decision
    rule: str
    reason: str
    #: What the guard found that the call would do, in words.
    effects: tuple[str, ...] = ()
    #: Names the refused effect, the same each time it is tried; empty when nothing was refused.
    fingerprint: str = ""
    #: A call of this id was decided before.
    again: bool = False


class Resulted(Link, frozen=True, kw_only=True, tag_field="kind", tag="result"):
    """What came of a call, as the agent's CLI tells it."""

    call: str
    tool: str
    failed: bool
    #: SHA-256, in hex, of its output as canonical JSON; empty when the CLI told none.
    digest: str = ""
    #: Bytes of that.
    size: int = 0
    #: Milliseconds, as the CLI counts them.
    ms: float | None = None


class Unseen(Link, frozen=True, kw_only=True, tag_field="kind", tag="unseen"):
    """A call that ran though nobody decided it, or though it was refused. It ends the run."""

    call: str
    tool: str
    why: str


class Closed(Link, frozen=True, kw_only=True, tag_field="kind", tag="closed"):
    """The last line of a run's file: nothing more of it happens."""

    end: str
    failure: str | None
    #: Calls that were decided.
    calls: int


class RunOpened(Link, frozen=True, kw_only=True, tag_field="kind", tag="run-opened"):
    """In a day's heads: a run began and has a file of its own."""

    run: str


class RunClosed(Link, frozen=True, kw_only=True, tag_field="kind", tag="run-closed"):
    """In a day's heads: a run ended; its file goes so far and no further."""

    run: str
    head: Head


class Signed(Link, frozen=True, kw_only=True, tag_field="kind", tag="signed"):
    """In a day's heads: a checkpoint was made."""

    checkpoint: Head


class PeopleOpened(Link, frozen=True, kw_only=True, tag_field="kind", tag="people-opened"):
    """In a day's heads: the file of people's decisions was begun."""


class Decided(Link, frozen=True, kw_only=True, tag_field="kind", tag="decision"):
    """What a person decided, or what was refused, as the journal has it."""

    #: The journal's event: its number, its digest in the journal's chain, and its epoch seconds.
    event: int
    chain: str
    told: float
    #: Its kind, such as `approval.refused`.
    what: str
    task: str
    #: Whose word it was; of a refusal channel and sender.
    who: str
    why: str
    reason: str = ""
    channel: str = ""
    sender: str = ""
    operator: str = ""
    ask: str = ""
    commit: str = ""
    action: str = ""
    #: The ticket's id.
    ticket: str = ""
    #: What was missing in `may`.
    right: str = ""
    #: Of refusals that were counted only: how many.
    count: int = 0


class Checkpoint(Link, frozen=True, kw_only=True, tag_field="kind", tag="checkpoint"):
    """How far every file went that changed since the checkpoint before; signed."""

    #: The public key that it is signed with, hex.
    key: str
    #: day, start, stop or person: what it was made for.
    why: str
    heads: dict[str, Head]


class Swept(Link, frozen=True, kw_only=True, tag_field="kind", tag="swept"):
    """Files that retention removed, and how far they went; signed, before they go."""

    key: str
    heads: dict[str, Head]


RunLine = Opened | Called | Resulted | Unseen | Closed
DayLine = RunOpened | RunClosed | PeopleOpened | Signed
SignedLine = Checkpoint | Swept
