"""A run: one agent session on a task, with a fresh context, and the facts it leaves behind."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from overnight.missions.context import ContextUse
from overnight.missions.forge import Quote
from overnight.missions.guarding import GuardTable
from overnight.missions.limits import Contact, Trouble
from overnight.missions.money import Allowance, Bill, ModelUse
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.question import Question
from overnight.missions.runbook import RunbookOrder, RunbookUse, Standing
from overnight.missions.task import Fork


class FailureClass(StrEnum):
    """The classes of what goes wrong, as the design's table has them."""

    LAUNCH = "launch"
    AUTH = "auth"
    LIMIT = "limit"
    VENDOR = "vendor"
    MONEY = "money"
    STUCK = "stuck"
    AGENT = "agent"
    CHECK = "check"
    TAMPER = "tamper"
    JUDGEMENT = "judgement"
    LANDING = "landing"
    MACHINE = "machine"
    SECURITY = "security"

    @property
    def costs_attempt(self) -> bool:
        """Whether a run that ended so counts against the task's attempts."""
        return self in _COSTS


_COSTS = frozenset(
    {
        FailureClass.STUCK,
        FailureClass.AGENT,
        FailureClass.CHECK,
        FailureClass.TAMPER,
        FailureClass.JUDGEMENT,
        FailureClass.SECURITY,
    }
)


class End(StrEnum):
    """How an agent's session ended, seen from outside."""

    #: It says that it is finished. That proves nothing.
    COMPLETED = "completed"
    #: It says that it can't go on without a person.
    BLOCKED = "blocked"
    #: It ended with an error of its own, or claimed success with nothing to show.
    FAILED = "failed"
    #: Its context was nearly full: the next run goes on from its notes. That is no failure.
    HANDED_OVER = "handed-over"
    #: The warden ended it at the wall clock, the silence or the turn limit.
    STOPPED_BY_LIMIT = "stopped-by-limit"
    #: A person or the daemon asked for the end.
    STOPPED = "stopped"
    #: The warden died with it: kill -9, reboot.
    LOST = "lost"


class RunSpec(Struct, frozen=True, kw_only=True):
    """Everything a warden needs; written to `spec.json` before it starts."""

    #: `TASK.LIFE.N`: unique for ever, names the run directory.
    id: str
    task: str
    #: Absolute path of the git worktree that is the agent's working folder.
    worktree: str
    #: Absolute path of the private git dir that the box shows as the worktree's `.git`.
    git_dir: str
    #: Absolute path of the user's object store, shown read-only.
    objects: str
    #: Object stores that it borrows from, absolute, shown read-only as well; usually none.
    alternates: tuple[str, ...] = ()
    #: The commit that the run starts from.
    start: str
    agent: str
    #: What the agent is told.
    prompt: str
    #: What of it must not be lost when its context is cut: the task and its rules. Empty: all of it.
    core: str = ""
    #: The notes of the runs before, which its `memory.md` begins with.
    memory: str = ""
    limits: Limits
    box: BoxPolicy
    #: Name of the repo, for whoever pauses it.
    repo: str = ""
    #: Absolute path of the user's repository, for checkpoints. Empty: there are none.
    repository: str = ""
    #: Globs of the paths that the task is about; empty leaves that open.
    paths: tuple[str, ...] = ()
    #: Commands of the repo's checks.
    checks: tuple[str, ...] = ()
    #: Seconds that the task was thought to take; None when nobody said.
    estimate: float | None = None
    #: What the repo asks of the guard, on top of the machine's settings, and its globs of sensitive paths.
    guard: GuardTable = GuardTable()
    sensitive: tuple[str, ...] = ()
    model: str | None = None
    #: The agent's own session to continue, if the agent can.
    resume: str | None = None
    #: The checklist that it is about, if it is about one.
    runbook: RunbookOrder | None = None
    #: The run whose home holds that session; empty when the run's own home does.
    resume_of: str = ""
    #: What the agent is told instead of the prompt when that session goes on.
    resume_prompt: str = ""
    #: What it may spend. None: no money, so no route that is billed by use.
    allowance: Allowance | None = None
    #: Recorded traffic with the model that it begins with.
    fork: Fork | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """What the agent itself says it used. None is unknown, and unknown is never zero."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    #: The same, model by model.
    models: tuple[ModelUse, ...] = ()


class Tape(Struct, frozen=True, kw_only=True):
    """What the cassette of a run came to: how far it goes, so that one that was cut is known."""

    lines: int
    #: Of its last line, hex.
    digest: str
    #: Exchanges with the model that are in it.
    exchanges: int
    #: Why not everything is in it; empty when it is.
    missing: str = ""


class RunOutcome(Struct, frozen=True, kw_only=True):
    """What a warden says of its run; `outcome.json`, written once."""

    run: str
    end: End
    #: One sentence for a person.
    why: str
    #: What stood in its way when it was ended for getting nowhere, in lines for the agent of the next run.
    blocker: str = ""
    #: None when the session ended of itself and well.
    failure: FailureClass | None = None
    #: What kept it from its model, where that was its end.
    trouble: Trouble | None = None
    #: Exit code of the agent; None when it never started or was lost. Negative: the signal that ended it.
    code: int | None = None
    #: The agent's last words, quoted, never believed.
    said: str = ""
    #: What it noted in its `memory.md`, as far as that is sound.
    memory: str = ""
    #: What became of its context; None where nobody saw it.
    context: ContextUse | None = None
    session: str | None = None
    turns: int | None = None
    usage: Usage = Usage()
    #: What it used as Overnight counts it; None where the warden could not say any more.
    bill: Bill | None = None
    #: Epoch seconds when the cause passes (a subscription window's reset), where it is known.
    until: float | None = None
    #: Tool calls that the guard refused: (tool, what, reason).
    denied: tuple[tuple[str, str, str], ...] = ()
    #: What became of its runbook; None when it had none, or nobody can say.
    runbook: RunbookUse | None = None
    #: What a person would have been asked had one been there: it was denied.
    questions: tuple[Question, ...] = ()
    #: The recorded traffic with the model; None where none was recorded.
    tape: Tape | None = None
    #: Tool calls that the guard was asked about; None for an agent that has no hooks, or where nobody counted.
    calls: int | None = None
    #: What it saw of its model's service.
    contact: Contact = Contact()
    #: The session of an earlier run that it went on with; None: it began one of its own.
    resumed: str | None = None
    #: Why it could not go on with the session that it was to go on with; empty when it did, or was not to.
    fresh: str = ""
    started: float = 0.0
    ended: float = 0.0


class Result(Struct, frozen=True, kw_only=True):
    """The work of a run as it came out of the box, imported into the repository's own objects."""

    #: The commit that holds it; equal to the task's base when nothing changed.
    commit: str
    #: The ref that keeps it: `refs/overnight/TASK/RUN`.
    ref: str
    #: Paths that differ from the task's base. Undecodable bytes are escaped as `\\xNN`.
    changed: tuple[str, ...] = ()
    #: The ref that keeps work which the agent left uncommitted and which is not part of `commit`.
    rescue: str | None = None
    #: What the import refused, for a person: nested git dirs, gitlinks, symlinks that leave the tree.
    refused: tuple[str, ...] = ()


class CheckResult(Struct, frozen=True, kw_only=True):
    """One check on one exact commit."""

    name: str
    command: str
    commit: str
    passed: bool
    #: Exit code; None when the check ran into its time limit.
    code: int | None
    seconds: float
    #: Head and tail of what it printed, with the number of bytes left out between them.
    output: str = ""
    #: File that keeps all of the output, absolute.
    log: str = ""
    #: It passed on exactly this commit, and failed when it was run once more.
    wavers: bool = False


class TakenBack(Struct, frozen=True, kw_only=True):
    """A result without its source: the base's source, and everything else as the result has it."""

    #: The commit that holds that; empty where there is none.
    commit: str = ""
    #: Why there is none.
    why: str = ""
    #: Paths whose change was taken back, and changed tests that were kept.
    source: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()


class Mutation(Struct, frozen=True, kw_only=True):
    """What the tests that came with a change say without it: where they pass, they prove nothing about it."""

    back: TakenBack
    #: Checks on that commit; none where there is no such commit.
    checks: tuple[CheckResult, ...] = ()

    @property
    def toothless(self) -> tuple[str, ...]:
        """Names of the checks that pass without the change."""
        return tuple(check.name for check in self.checks if check.passed)


class Attempt(Struct, frozen=True, kw_only=True):
    """One run with everything that is known about it; the story's memory."""

    n: int
    outcome: RunOutcome
    result: Result
    checks: tuple[CheckResult, ...] = ()
    #: Names of checks that passed on the base and fail now.
    broke: tuple[str, ...] = ()
    #: Names of checks that pass now and were seen both to pass and to fail on one and the same commit.
    flaky: tuple[str, ...] = ()
    #: What the judges found to be mended.
    issues: tuple[str, ...] = ()
    #: What the forge's checks and reviewers say of it: untrusted words.
    quotes: tuple[Quote, ...] = ()
    #: How far its runbook is in the result's commit; None when it has none.
    runbook: Standing | None = None
    #: What its tests say without its source; None where the policy does not ask for that.
    mutation: Mutation | None = None
