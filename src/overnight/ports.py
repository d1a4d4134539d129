"""Every port, on one page: what flows and the warden need of the world, and what each promises.

Every method that touches the world may be called again with the same arguments after an interruption, and
then looks before it acts. Each may raise `missions.hold.Held` when it can't be done now.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from overnight.guard.verdict import Call, Verdict
from overnight.judge.autonomy import Standing
from overnight.judge.budget import Sum
from overnight.judge.risk import Risk
from overnight.judge.routing import Routing
from overnight.judge.verdict import Opinion
from overnight.missions.forge import Ci as Ci
from overnight.missions.forge import CiCheck as CiCheck
from overnight.missions.forge import CiState as CiState
from overnight.missions.forge import Comment as Comment
from overnight.missions.forge import Issue as Issue
from overnight.missions.forge import PullRequest as PullRequest
from overnight.missions.hold import Held, Hold, HoldReason
from overnight.missions.limits import Trouble, Window
from overnight.missions.money import Allowance, Bill, Budget, Grant, Lent
from overnight.missions.policy import BoxLevel, Check, Policy
from overnight.missions.run import Attempt, CheckResult, Result, RunOutcome, RunSpec, TakenBack, Usage
from overnight.missions.task import Repo, Task

# -- runs ---------------------------------------------------------------------------------------------------


class Fleet(Protocol):
    """Runs agents, here or elsewhere."""

    async def run(self, spec: RunSpec) -> RunOutcome:
        """Start the run, or attach to it when it was started before; exactly one agent per id for ever.

        Cancelling the call detaches; the agent goes on.
        """
        ...

    async def stop(self, run: str, why: str) -> None:
        """Ask for a clean end. The outcome comes from `run`. Unknown or ended runs: nothing happens."""
        ...


# -- git ----------------------------------------------------------------------------------------------------


class Ground(Struct, frozen=True, kw_only=True):
    """What a task stands on: made once, at its start."""

    #: The commit of the target branch that the task starts from.
    base: str
    policy: Policy
    worktree: str
    #: The user's object store, absolute.
    objects: str
    #: Object stores that `objects` itself borrows from (`git clone --shared`), absolute; usually none.
    alternates: tuple[str, ...] = ()
    #: CLAUDE.md and AGENTS.md as they are on the target: (path, text).
    instructions: tuple[tuple[str, str], ...] = ()
    #: The task's runbook as it is on the target, found sound; the policy has its zones in it already.
    runbook: str = ""


class Workshop(Protocol):
    """Git worktrees outside the user's folder, private git dirs, and what comes out of the box."""

    async def prepare(self, task: Task) -> Ground:
        """Policy from the target branch, a detached worktree at its commit."""
        ...

    async def open(self, task: Task, ground: Ground, run: str, start: str, against: str | None) -> str:
        """A fresh private git dir for one run, HEAD at `start`; returns its path.

        The worktree's files are left as they are, so work that an interrupted run left goes on. With `against`
        (a commit), that commit is readable inside as branch `target`, for mending a conflict.
        """
        ...

    async def collect(self, task: Task, ground: Ground, run: str, git_dir: str, start: str, whole: bool) -> Result:
        """Export what the run left, in a box; import it into `refs/overnight/TASK/RUN`.

        whole: the agent ended of itself, so uncommitted work is part of the result; otherwise it goes to a
        rescue ref only.
        """
        ...

    async def read(self, task: Task, commit: str, path: str) -> str | None:
        """A file of a commit; None when there is none by that path, or it is no text of a bearable size."""
        ...

    async def tidy(self, task: Task) -> str | None:
        """Rescue what is uncommitted, remove the worktree; returns the rescue ref if one was needed.

        A task that was never prepared, or is tidy already: nothing happens.
        """
        ...


class Checks(Protocol):
    """Runs the repo's checks in boxes of their own."""

    async def run(self, task: Task, commit: str, checks: Mapping[str, Check], label: str) -> tuple[CheckResult, ...]:
        """Every check, in order, on a clean checkout of exactly this commit. label names the log folder."""
        ...


class Staged(Struct, frozen=True, kw_only=True, tag="staged"):
    """A merge, made but not landed."""

    commit: str
    #: The target's commit it was made on; the landing swaps exactly this one.
    onto: str
    #: True when its tree is the tree of the result itself: then the result's checks speak for it.
    same_tree: bool


class Conflict(Struct, frozen=True, kw_only=True, tag="conflict"):
    """The result and the target changed the same places."""

    #: The target's commit.
    against: str
    paths: tuple[str, ...]
    #: git's own words.
    detail: str


class Landed(Struct, frozen=True, kw_only=True, tag="landed"):
    """The target holds the change."""

    commit: str
    branch: str
    #: What happened to a folder that has the target checked out; empty when there is none.
    note: str = ""


class Moved(Struct, frozen=True, kw_only=True, tag="moved"):
    """The target is no longer where it was when the merge was made: make it again."""

    now: str


class Lander(Protocol):
    """Brings a proved commit to its target."""

    async def stage(self, task: Task, ground: Ground, commit: str, run: str) -> Staged | Conflict:
        """Merge onto the target's current commit, outside any checkout, with trailers."""
        ...

    async def land(self, task: Task, ground: Ground, staged: Staged) -> Landed | Moved:
        """Compare-and-swap the target. A target that already holds the commit is Landed.

        Raises Held(target-busy) when the target is checked out with uncommitted changes.
        """
        ...

    async def branch(self, task: Task, commit: str) -> Landed:
        """Leave the result on branch `overnight/TASK`."""
        ...

    async def update(self, task: Task, commit: str, onto: str, run: str) -> Staged | Conflict:
        """Merge a commit of the target into a result, outside any checkout, for its pull request.

        A result that holds it already is Staged as it is.
        """
        ...

    async def behind(self, task: Task, commit: str) -> Staged | Moved:
        """What `land` needs to bring the local target to a commit that the forge's target holds.

        Moved: the local target has commits of its own, so nothing will.
        """
        ...


class Purse(Protocol):
    """Gives runs what they may spend, and takes what they spent."""

    async def grant(self, task: Task, run: str, agent: str, budget: Budget, /) -> Grant:
        """Set aside what a run may spend; asked again, the same. budget: the repo's own limits.

        Raises Held(allowance-spent) when a limit leaves too little.
        """
        ...

    async def take_up(self, task: Task, run: str, agent: str, budget: Budget, /) -> Allowance:
        """What a granted run may spend, asked whenever it is about to start or goes on. While its task waited, what was
        granted may have gone back: then it is set aside anew, and may be less.

        Raises Held(allowance-spent) when a limit leaves too little.
        """
        ...

    async def settle(self, run: str, outcome: RunOutcome, /) -> Sum:
        """Take what a run used and give back the rest, once; returns what it takes."""
        ...

    async def release(self, task: Task, /) -> int:
        """Settle every run of a task that was given something and did not say its end; how many."""
        ...

    async def lend(self, task: Task, asking: str, most: Allowance, budget: Budget, /, *, paid: bool) -> Lent:
        """Set aside what a judge's verdict may take, whole or not at all. asking: `RUN/judge/NAME`.

        Asked again, it is a new loan; one of the same asking that was not repaid is taken as spent.
        """
        ...

    async def repay(self, loan: str, bill: Bill | None, /) -> Sum:
        """Take what a judge used and give back the rest, once; returns what it takes. None: nobody knows."""
        ...


class NoPurse:
    """There is no ledger here: nothing is given."""

    async def grant(self, task: Task, /, *_: object) -> Grant:
        why, how = "there is no ledger of what was spent", f"`overnight resume {task.id}` where there is one"
        raise Held(Hold(reason=HoldReason.ALLOWANCE_SPENT, why=why, releases_on=how))

    async def take_up(self, task: Task, /, *_: object) -> Allowance:
        return (await self.grant(task)).allowance

    async def settle(self, *_: object) -> Sum:
        return Sum()

    async def release(self, *_: object) -> int:
        return 0

    async def lend(self, *_: object, paid: bool) -> Lent:  # noqa: ARG002 (nothing is lent, paid or not)
        return Lent(why="there is no ledger of what was spent")

    async def repay(self, *_: object) -> Sum:
        return Sum()


class Examined(Struct, frozen=True, kw_only=True):
    """What is known about a result, kept as evidence."""

    commit: str
    #: The digest that names the bundle.
    evidence: str
    risk: Risk
    #: Ways in which the proof was bent, for a person.
    tampering: tuple[str, ...] = ()
    #: The level of this repo and kind of work.
    standing: Standing
    #: Who made the model that did the work; empty when that is unknown.
    family: str = ""


class Examiner(Protocol):
    """Collects the evidence about a result."""

    async def examine(
        self, task: Task, ground: Ground, baseline: tuple[CheckResult, ...], attempt: Attempt, spec: str
    ) -> Examined:
        """Everything about this attempt's commit in one bundle, kept under its digest. The same again gives the same."""
        ...

    async def take_back(self, task: Task, ground: Ground, commit: str) -> TakenBack:
        """A commit like this one without its source, so that its tests can be tried there. The same again gives the same."""
        ...


class Judges(Protocol):
    """Models that see the evidence and nothing else."""

    async def judge(
        self, task: Task, examined: Examined, run: str, purse: Purse, budget: Budget, heard: tuple[Opinion, ...] = ()
    ) -> tuple[Opinion, ...]:
        """One opinion of each judge that the machine has; one that gives no usable answer says why. Never raises for that.

        What they may take is lent by the purse. budget: the repo's own limits. heard: whoever gave a verdict in these is
        not asked again, and it stands.
        """
        ...


class Opened(Struct, frozen=True, kw_only=True):
    """A way to a model, while it is open."""

    #: Base URL on loopback, and what stands for the key there.
    address: str
    token: str
    #: What was used so far; requests under way count at their most.
    bill: Callable[[], Bill]
    #: Why the allowance pays for no more; empty while it does.
    spent: Callable[[], str]
    #: Serves one more socket that listens, such as one in a box; returns what closes it again.
    serve: Callable[[socket.socket], Awaitable[Callable[[], Awaitable[None]]]]
    #: Takes what a program says that it used, once for each socket served. It counts where nothing is counted here.
    claimed: Callable[[Usage], None]


class Way(Protocol):
    """A way to one model: a gateway that holds the key, counts, and lets nothing pass that is not paid for; or, for a
    CLI's own login, a proxy to the vendor's hosts."""

    @property
    def paid(self) -> bool:
        """Billed by use."""
        ...

    async def worst(self, size: int, output: int, /) -> Sum | None:
        """What a request of so many bytes with an answer of so many tokens may take at most. None: no price is known."""
        ...

    def open(self, allowance: Allowance, /) -> AbstractAsyncContextManager[Opened]:
        """Open until it is left. Raises SettingsInvalid, OSError."""
        ...


# -- the forge ----------------------------------------------------------------------------------------------


class ForgeRefused(Struct, frozen=True, kw_only=True, tag="forge-refused"):
    """The forge, or our own gate before it, says no, and would say so again."""

    #: protected; moved (a branch or a head is not where Overnight left it); taken (a pull request of this branch is
    #: not Overnight's); not-mergeable; draft; closed; gone; gate; ahead (what the task is based on is not on the forge's
    #: target: it would travel with the pull request); forbidden (the token's rights, or the forge's rules)
    reason: str
    why: str


class Pushed(Struct, frozen=True, kw_only=True, tag="pushed"):
    """The forge's branch holds the commit."""

    branch: str
    commit: str


class Merged(Struct, frozen=True, kw_only=True, tag="merged"):
    """The forge's target holds the change."""

    #: The merge's own commit.
    commit: str


class Forge(Protocol):
    """Where people look at changes before they land. Every method looks before it acts: asked again, it finds what it did.

    Raises Held (limit-reached, network-lost, auth-expired, vendor-outage) when it can't be done now.
    """

    async def target(self, task: Task, ground: Ground) -> str:
        """The tip of the forge's target branch, its objects brought here and kept as `refs/overnight/TASK/forge-target`.

        Raises Held(repo-unavailable) when the forge has no such branch.
        """
        ...

    async def based(self, task: Task, ground: Ground) -> ForgeRefused | None:
        """`ahead` where the forge's target does not hold the commit that the task is based on; asked before anything is
        spent, and by every push. Raises Held(repo-unavailable) when the forge has no such branch."""
        ...

    async def push(self, task: Task, ground: Ground, commit: str) -> Pushed | ForgeRefused:
        """Bring a commit to branch `overnight/TASK`, through the gate: secrets, size, gitlinks, identity, protected branches.

        Only a branch that is missing, or is where Overnight left it, is written.
        """
        ...

    async def open(
        self, task: Task, ground: Ground, pushed: Pushed, title: str, body: str
    ) -> PullRequest | ForgeRefused:
        """The task's one pull request: found by its marker, whatever its state, else opened as a draft."""
        ...

    async def describe(self, task: Task, pull: int, title: str, body: str) -> None:
        """Write what was asked, done and proved anew. One that is not there any more: nothing happens."""
        ...

    async def look(self, task: Task, pull: int) -> PullRequest | None:
        """As it is now; None when it is not there any more."""
        ...

    async def ci(self, task: Task, commit: str) -> Ci:
        """What ran on exactly this commit. Checks that the target's protection requires and that are silent are pending."""
        ...

    async def comments(self, task: Task, pull: int) -> tuple[Comment, ...]:
        """Everything that people wrote there, oldest first."""
        ...

    async def ready(self, task: Task, pull: int) -> ForgeRefused | None:
        """Take it out of draft. One that is none, or is not open: nothing happens."""
        ...

    async def merge(self, task: Task, pull: int, head: str) -> Merged | ForgeRefused:
        """Merge exactly this head. One that is merged already, with this head, is Merged."""
        ...

    async def revert(self, task: Task, ground: Ground, merged: str, why: str) -> PullRequest | ForgeRefused:
        """A pull request that takes a merge back, found by its marker, else opened, not as a draft.

        merged: `Merged.commit`. not-mergeable when what came after it is in the way.
        """
        ...

    async def issues(self, repo: Repo, label: str) -> tuple[Issue, ...]:
        """The open issues with a label, oldest first; pull requests are none."""
        ...

    async def tell(self, repo: Repo, number: int, key: str, text: str) -> None:
        """Comment on an issue or pull request, once for each key: found by its marker, else written."""
        ...


class House(Struct, frozen=True):
    """The ports that a task's flow talks through, chosen in `wiring`."""

    fleet: Fleet
    workshop: Workshop
    checks: Checks
    lander: Lander
    examiner: Examiner
    judges: Judges
    #: Which models do what on this machine.
    routing: Routing = Routing()
    purse: Purse = NoPurse()
    #: None: no forge is configured on this machine.
    forge: Forge | None = None
    #: Results of a repo that may wait for a person before nothing new starts there; 0 sets no bound.
    open_results: int = 0


# -- boxes --------------------------------------------------------------------------------------------------


class Mechanism(StrEnum):
    """What keeps a box within a bound of what it may use, strongest first."""

    #: The kernel counts the whole box, and refuses or ends what goes over.
    CGROUP2 = "cgroup2"
    CGROUP1 = "cgroup1"
    #: The kernel refuses, by the count of the box's own user.
    RLIMIT = "rlimit"
    #: Overnight looks several times a second, and ends a box that went over.
    WATCHED = "watched"
    NONE = "none"


class Guarantees(Struct, frozen=True, kw_only=True):
    """What a box was seen to hold on this machine, not what it should."""

    level: BoxLevel
    #: "bubblewrap 0.8.0 (/usr/bin/bwrap)"
    name: str
    files: bool = False
    network: bool = False
    processes: bool = False
    syscalls: bool = False
    #: Whoever gets out of the box is nobody on this machine: its processes' user id outside is no root's.
    unprivileged: bool = False
    #: How it is held to so much memory, so many processes and so much processor time.
    memory: Mechanism = Mechanism.NONE
    pids: Mechanism = Mechanism.NONE
    cpu: Mechanism = Mechanism.NONE
    #: The same for bytes and number of files in the folders that it may write.
    disk: Mechanism = Mechanism.NONE


class Exceeded(Struct, frozen=True, kw_only=True):
    """A bound that a box went over, for which it was ended."""

    #: `memory`, `processes`, `disk` (bytes), `files` (their number), or `room`: the machine's disk is nearly full,
    #: whoever filled it.
    bound: str
    #: "it used more than 4 GiB of memory"
    why: str


class BoxSpec(Struct, frozen=True, kw_only=True):
    """One process tree in a box. Every path is absolute and the same inside as outside."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    #: Folders that the box may write.
    writable: tuple[str, ...] = ()
    #: Files and folders shown read-only, besides the system's own programs. Missing ones are an error.
    readable: tuple[str, ...] = ()
    #: (work tree, git dir): inside, the work tree's `.git` is this git dir.
    git: tuple[str, str] | None = None
    #: Loopback TCP ports inside, served by the caller through `BoxedProcess.listeners`, in this order.
    ports: tuple[int, ...] = ()
    #: Paths; None is /dev/null. Output is appended.
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None


class BoxedProcess(Protocol):
    """A started box. It dies with the process that started it."""

    #: Process id outside, of the box's outermost process.
    pid: int
    listeners: Sequence[socket.socket]

    async def wait(self) -> int:
        """Exit code of argv's process; negative for a signal. Every process of the box is dead then."""
        ...

    async def kill(self) -> None:
        """SIGKILL to everything inside; returns when all is dead. Harmless when it is already."""
        ...

    async def signal(self, number: int) -> None:
        """Send a signal to argv's process."""
        ...

    def exceeded(self) -> Exceeded | None:
        """The bound for which the box was ended, if it was; final once `wait` has returned."""
        ...


class Box(Protocol):
    """A way to confine a process tree."""

    level: BoxLevel

    async def probe(self) -> Guarantees:
        """Try it. Raises BoxUnavailable with what to install."""
        ...

    def ports(self, count: int) -> tuple[int, ...]:
        """Port numbers that a BoxSpec may ask for now."""
        ...

    async def start(self, spec: BoxSpec) -> BoxedProcess:
        """Raises BoxUnavailable when it can't be set up; never starts anything weaker."""
        ...


# -- agents -------------------------------------------------------------------------------------------------


class Route(Struct, frozen=True, kw_only=True):
    """How the agent reaches its model, and who pays."""

    #: gateway: an API key that stays in the warden, billed by use. direct: the CLI's own login, through the egress
    #: proxy to the vendor's hosts only. local: a model server of one's own, which nobody bills. none: the agent needs
    #: no model.
    kind: str
    #: gateway, local: what the agent speaks: anthropic, openai or gemini.
    protocol: str = "anthropic"
    #: gateway, local: the model API's base URL.
    upstream: str = ""
    #: gateway: the header that carries the key (`x-api-key`), and the environment variable of the warden
    #: that holds it. local: the same, or empty where the server wants no key.
    key_header: str = ""
    key_variable: str = ""
    #: gateway, local: (method, path regex) pairs that may pass.
    allowed: tuple[tuple[str, str], ...] = ()
    #: direct: hosts that the egress proxy lets through.
    hosts: tuple[str, ...] = ()

    @property
    def paid(self) -> bool:
        """Billed by use."""
        return self.kind == "gateway"

    @property
    def proxied(self) -> bool:
        """Through the gateway, whoever pays."""
        return self.kind in ("gateway", "local")

    def account(self, agent: str) -> str:
        """Whose limits the runs of an agent share on this route: `claude direct`."""
        return f"{agent} {self.kind}"


class Ports(Struct, frozen=True, kw_only=True):
    """The warden's listeners, as loopback ports inside the box."""

    hooks: int
    model: int
    proxy: int


class Place(Struct, frozen=True, kw_only=True):
    """Where an agent will be started: paths that exist inside and outside alike."""

    #: Private, empty HOME, writable.
    home: str
    #: Folder for the files that the launch needs, read-only inside.
    given: str
    worktree: str
    ports: Ports
    #: The dummy token that stands for the key inside the box.
    token: str


class Launch(Struct, frozen=True, kw_only=True):
    """Everything needed to start an agent's CLI. Pure value: whoever holds it writes the files and starts it."""

    argv: tuple[str, ...]
    env: dict[str, str]
    #: Names of variables handed through from the warden's environment (a login made by the person).
    passed: tuple[str, ...] = ()
    #: File name in `Place.given` -> content.
    files: dict[str, bytes] = {}
    #: Read-only paths needed inside (the CLI's binary).
    readable: tuple[str, ...] = ()
    #: Standard input.
    stdin: bytes = b""
    route: Route
    #: Version of the CLI as it says itself.
    version: str = ""
    #: False for an agent that has no hooks: then only the box guards it.
    hooked: bool = True
    #: The header, in lower case, that marks requests which are not the main session's: those of its helpers.
    aside: str = ""


class Spoken(Struct, frozen=True, kw_only=True):
    """What an agent's CLI answered to one question."""

    #: The whole answer; empty when there is none that came to its end.
    text: str = ""
    #: Why there is none.
    why: str = ""
    #: Another try may do better.
    again: bool = False
    #: What outside was in the way, and until when (epoch seconds), where that is known.
    trouble: Trouble | None = None
    until: float | None = None
    usage: Usage = Usage()


class Speaker(Protocol):
    """An agent's CLI that answers one question with words, and has no tools."""

    def launch(self, rules: str, question: str, output: int, place: Place) -> Launch:
        """How it is started. rules: its system prompt. output: tokens that an answer may have. `place.worktree` is not used.

        Raises AgentUnavailable when the CLI or its login is missing. May take seconds.
        """
        ...

    def heard(self, code: int, stdout: bytes, stderr: bytes) -> Spoken:
        """What it said, from its exit code and whole output."""
        ...


class AgentEvent(Struct, frozen=True, kw_only=True):
    """One thing that the agent's output stream says, in our words."""

    #: started, text, thinking, tool, tool-result, retry, limit, compacted, hook, result, noise
    kind: str
    #: One line for a person.
    text: str = ""
    tool: str = ""
    call: str = ""
    failed: bool = False
    #: Of a result: the CLI says itself that the call never ran.
    refused: bool = False
    session: str = ""
    #: Counts as a turn of the model.
    turn: bool = False
    #: Tokens that an answer of the model took, as far as the agent says by then; with its first event only.
    tokens: int = 0
    #: What it says of the vendor's limits.
    windows: tuple[Window, ...] = ()
    #: The service failed (5xx, or nothing answered), and is asked again.
    struck: bool = False
    #: The model that the session begins with, where it says.
    model: str = ""


class Moment(Struct, frozen=True, kw_only=True):
    """Something in a session that its agent waits for us about."""

    #: compacting: its context is about to be summed up; compacted: it was
    kind: str
    #: The file that keeps the session, as the agent says.
    transcript: str = ""


class Agent(Protocol):
    """One coding agent's CLI: how to start it and how to read what it does."""

    name: str

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        """Raises AgentUnavailable when the CLI is missing or can't be used."""
        ...

    def route(self) -> Route:
        """How it would reach its model now, and who pays. Raises AgentUnavailable where there is no login."""
        ...

    def read(self, line: bytes) -> Sequence[AgentEvent]:
        """Events in one line of its stdout. A line that is not understood is `noise`, never an error."""
        ...

    def classify(self, spec: RunSpec, code: int, stdout: bytes, stderr: bytes) -> RunOutcome:
        """How the session ended, from exit code and whole output. Empty success is not success.

        Fills end, failure, why, code, said, session, turns, usage, until; the warden adds the rest.
        """
        ...

    def keeps(self, session: str) -> tuple[str, ...]:
        """Where it keeps a session: paths from its home, `*` for any name, the session's own record first. Empty when it
        can't go on with one."""
        ...

    def hook(self, event: Mapping[str, Any]) -> Call | None:
        """A hook request of this CLI as a tool call to decide, or None when it asks for nothing."""
        ...

    def answer(self, event: Mapping[str, Any], verdict: Verdict) -> Mapping[str, Any]:
        """The hook's response body for a verdict."""
        ...

    def moment(self, event: Mapping[str, Any]) -> Moment | None:
        """What a hook request that asks for no call waits for; None for those that wait for nothing."""
        ...

    def reminders(self, parts: Sequence[str], start: str) -> Mapping[str, bytes]:
        """Files for `Place.given`, from which a session takes `parts` when it goes on after a cut or is resumed, and
        `start` when it begins. Empty for an agent that can't."""
        ...

    def remark(self, event: Mapping[str, Any], answer: Mapping[str, Any], text: str) -> Mapping[str, Any] | None:
        """The response body with a text for the model's context besides; None when this hook can't carry one."""
        ...

    def would_end(self, event: Mapping[str, Any]) -> bool:
        """Whether this hook says that the agent would end its turn, and not because it needs a person."""
        ...

    def send_back(self, text: str) -> Mapping[str, Any]:
        """The response body for such a hook that has the agent go on, with this text."""
        ...
