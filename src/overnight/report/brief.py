"""The brief: what a person wants to know in the morning, as values. Computed from records only.

`overnight report --json` prints exactly these, and the kept briefs hold them: names and meanings stay.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from overnight.judge.anomalies import Anomaly
from overnight.report.limits import AccountView

#: Of the values here. A kept brief of another one is computed anew.
FORMAT = 1
#: Where a list here ends; its total is beside it.
MOST = 50


class Quote(Struct, frozen=True, kw_only=True):
    """Words that Overnight did not choose: no secrets, no control characters, one line, and never more than a quotation."""

    words: str
    #: Whose they are: `agent`, `check` (a program's output), `judge`, `repository`.
    by: str


class Word(StrEnum):
    """What became of a night."""

    #: Whatever could be done without a person is done.
    DONE = "done"
    #: Some of it goes on or waits for its turn.
    UNFINISHED = "unfinished"
    #: What is left can't go on by itself, and not for want of a person's decision: no daemon, a pause.
    STOPPED = "stopped"
    #: Nothing was to be done.
    QUIET = "quiet"


class Tally(Struct, frozen=True, kw_only=True):
    """How many tasks."""

    landed: int = 0
    failed: int = 0
    #: By a person's word.
    rejected: int = 0
    cancelled: int = 0
    #: Held, and nothing goes on without a person.
    needs_you: int = 0
    #: Held, and released by something else.
    held: int = 0
    #: Being worked on, or begun and waiting for a place.
    going: int = 0
    queued: int = 0


class NightVerdict(Struct, frozen=True, kw_only=True):
    """Did the night finish?"""

    word: Word
    #: One sentence.
    sentence: str
    tally: Tally


class Need(Struct, frozen=True, kw_only=True):
    """Something that nothing but a person moves on."""

    task: str
    repo: str
    title: str
    #: Name of the hold, such as `needs-approval`; `question` for a wish that was denied meanwhile.
    reason: str
    #: What exactly is wanted, in Overnight's words; empty where `quote` says it.
    why: str
    #: The agent's words, where it asks.
    quote: Quote | None
    #: What to do, often commands in backquotes.
    how: str
    #: Epoch seconds.
    since: float


class Proof(Struct, frozen=True, kw_only=True):
    """How it is known."""

    commit: str | None = None
    branch: str | None = None
    #: Names of the checks on exactly the result, and those of them that passed.
    checks: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    #: The telling line of the first check that failed.
    output: Quote | None = None
    #: Judges that were asked, and those that passed it.
    judges: tuple[str, ...] = ()
    approved: tuple[str, ...] = ()
    #: Who decided, where a person did.
    decided_by: str = ""
    #: 0-100 and low, medium or high; null where nobody looked.
    risk: int | None = None
    band: str | None = None
    #: Its heaviest reason.
    risk_why: Quote | None = None
    #: Address of its pull request.
    pr: str | None = None
    #: What it broke on its target, and the address of the pull request that takes it back, where there is one.
    broke: Quote | None = None
    back: str | None = None


class Done(Struct, frozen=True, kw_only=True):
    """A task that ended."""

    task: str
    repo: str
    title: str
    #: landed, failed, rejected or cancelled.
    phase: str
    #: Epoch seconds.
    at: float
    #: How it ended, in Overnight's words where they are; an agent's are in `quote`.
    why: str
    quote: Quote | None
    proof: Proof
    #: Runs of this life.
    runs: int
    #: US dollars that were billed for its runs and judges in this time; null when a part of it is not known.
    usd: Decimal | None
    #: It was begun anew since.
    again: bool = False
    #: The ref that keeps its work, where it did not land.
    rescue: str | None = None


class Waiting(Struct, frozen=True, kw_only=True):
    """A task that is held and released by something else than a person, or that goes on."""

    task: str
    repo: str
    title: str
    #: Name of the hold; empty for one that goes on.
    reason: str
    why: str
    #: Epoch seconds at which it is tried again by itself.
    until: float | None
    #: Where it is in its story.
    phase: str


class Next(Struct, frozen=True, kw_only=True):
    """A task that has not begun."""

    task: str
    repo: str
    title: str


class RepoCost(Struct, frozen=True, kw_only=True):
    """What was spent on one repo."""

    repo: str
    #: US dollars as they count against budgets, as text, exact. What is not known counts at its whole allowance.
    usd: Decimal
    tokens: int
    runs: int
    #: Runs of unknown cost.
    unknown: int


class ModelCost(Struct, frozen=True, kw_only=True):
    """What one model cost."""

    model: str
    #: US dollars that were billed by use, as text, exact.
    usd: Decimal
    #: US dollars at list prices of what a subscription or a server of your own paid; null when a part has no price.
    worth: Decimal | None
    tokens: int
    calls: int
    #: It judged.
    judge: bool = False


class Cost(Struct, frozen=True, kw_only=True):
    """What was spent by Overnight: runs and judges that were settled in this time."""

    #: US dollars as they count against budgets, as text, exact.
    usd: Decimal = Decimal(0)
    #: Of them, what no model can be named for: allowances of runs whose cost is unknown, and what may still come.
    unattributed: Decimal = Decimal(0)
    tokens: int = 0
    runs: int = 0
    #: Runs of unknown cost; each counts at its whole allowance.
    unknown: int = 0
    #: US dollars that are set aside for runs that go on.
    reserved: Decimal = Decimal(0)
    repos: tuple[RepoCost, ...] = ()
    models: tuple[ModelCost, ...] = ()
    #: US dollars in the time before this one, as long; null when the records do not go back.
    before: Decimal | None = None


class Denial(Struct, frozen=True, kw_only=True):
    """What the guard refused to a task."""

    task: str
    repo: str
    tool: str
    #: What the agent wanted.
    what: Quote
    #: The guard's reason.
    why: str
    times: int


class Injection(Struct, frozen=True, kw_only=True):
    """Somebody tried to talk an agent or a judge over."""

    task: str
    repo: str
    #: Who noticed: a judge's name, or `overnight`.
    by: str
    words: Quote


class Broken(Struct, frozen=True, kw_only=True):
    """A check that was green on a repo's target the last time before, and is red now."""

    repo: str
    check: str
    #: Epoch seconds at which it was first seen red, and last seen green.
    since: float
    green: float
    #: The commit that it is red on.
    commit: str
    output: Quote | None


class Brief(Struct, frozen=True, kw_only=True):
    """Everything, for one night or for any other span of time."""

    format: int = FORMAT
    #: `2026-11-21`; empty for another span.
    night: str = ""
    #: Epoch seconds. The second one is in it no more.
    since: float
    until: float
    #: Epoch seconds at which it was computed: needs, queue and limits are of then.
    made: float
    #: Seconds by which it was made later than it should have been; 0: in time, or nobody waited for it.
    late: float = 0.0
    verdict: NightVerdict
    needs: tuple[Need, ...] = ()
    landed: tuple[Done, ...] = ()
    failed: tuple[Done, ...] = ()
    #: Rejected and cancelled.
    dropped: tuple[Done, ...] = ()
    held: tuple[Waiting, ...] = ()
    going: tuple[Waiting, ...] = ()
    cost: Cost = Cost()
    limits: tuple[AccountView, ...] = ()
    denials: tuple[Denial, ...] = ()
    #: Calls that were refused, all of them.
    denied: int = 0
    injections: tuple[Injection, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    broken: tuple[Broken, ...] = ()
    next: tuple[Next, ...] = ()
    #: Tasks that have not begun, all of them.
    queued: int = 0
    #: What the records do not say, each in a sentence.
    gaps: tuple[str, ...] = ()


class NightRow(Struct, frozen=True, kw_only=True):
    """A night in one line, for a list and for trends."""

    night: str
    #: Epoch seconds.
    since: float
    until: float
    word: Word
    sentence: str
    tally: Tally
    #: US dollars, as text, exact; runs of unknown cost are in `unknown`.
    usd: Decimal
    unknown: int
    tokens: int
    denied: int
    injections: int
    anomalies: int
    broken: int
    #: Seconds.
    late: float

    @classmethod
    def of(cls, brief: Brief) -> NightRow:
        """The line of a brief."""
        return cls(
            night=brief.night, since=brief.since, until=brief.until, word=brief.verdict.word,
            sentence=brief.verdict.sentence, tally=brief.verdict.tally, usd=brief.cost.usd, unknown=brief.cost.unknown,
            tokens=brief.cost.tokens, denied=brief.denied, injections=len(brief.injections),
            anomalies=len(brief.anomalies), broken=len(brief.broken), late=brief.late,
        )  # fmt: skip
