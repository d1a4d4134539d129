"""A world in memory behind the ports of flows: agents, git and checks that behave as scripted.

For tests of flows and of whoever drives them. It keeps what a real world keeps (what was started, landed, checked
out), forgets nothing on a crash of the engine, and counts what must not happen twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from overnight.judge.autonomy import Standing
from overnight.judge.budget import Sum
from overnight.judge.risk import Band, Risk
from overnight.judge.verdict import Opinion, Outside, Said
from overnight.missions.clarify import Clarify
from overnight.missions.hold import Held, Hold, HoldReason
from overnight.missions.judging import Quorum
from overnight.missions.money import Allowance, Bill, Budget, Grant, Lent
from overnight.missions.policy import Check, LandingMode, Policy
from overnight.missions.run import Attempt, CheckResult, End, FailureClass, Result, RunOutcome, RunSpec, TakenBack
from overnight.missions.task import Task
from overnight.ports import Conflict, Examined, Forge, Ground, House, Landed, Moved, Purse, Staged


class Act(StrEnum):
    """What a scripted run does."""

    GOOD = "good"
    BREAKS = "breaks"
    NOTHING = "nothing"
    LOST = "lost"
    LIMIT = "limit"
    BLOCKED = "blocked"
    CONFLICTS = "conflicts"
    STUCK = "stuck"
    HANDS_OVER = "hands-over"


#: It asks nothing: what a rehearsed task is called matters to nobody.
POLICY = Policy(
    landing=LandingMode.MERGE,
    checks={"test": Check(run="true")},
    clarify=Clarify(threshold=101),
    judges=Quorum(families=0),
)


def _nothing(_what: str) -> None:
    """Nothing happens in between."""


class World:
    """What is true outside the journal."""

    def __init__(self, scripts: Mapping[str, Sequence[Act]], policy: Policy = POLICY) -> None:
        """scripts: per task, one act a run; the last repeats."""
        self.scripts, self.policy = scripts, policy
        #: Runs that were given something and are not settled.
        self.given: set[str] = set()
        self.purse: Purse = _Purse(self)
        self.target = ["base"]
        self.forge: Forge | None = None
        self.landed: Counter[str] = Counter()
        self.agents: Counter[str] = Counter()
        self.outcomes: dict[str, RunOutcome] = {}
        #: What each run was told.
        self.specs: dict[str, RunSpec] = {}
        self.running: dict[str, asyncio.Event] = {}
        #: What judges say of a commit, by family of models; every family that is named here has a judge.
        self.verdicts: dict[str, Callable[[str], Said | None]] = {}
        #: Judges that can't be reached now, by family, and how often each one was asked.
        self.away: dict[str, Outside] = {}
        self.asked: Counter[str] = Counter()
        #: The risk of every result.
        self.risk = Risk(score=0, band=Band.LOW)
        self.worktrees: set[str] = set()
        self.commits: dict[str, Act] = {"base": Act.GOOD}
        #: The runbook on the target, and what a commit holds of it.
        self.runbook = ""
        self.reads: Callable[[str], str | None] = lambda _commit: None
        #: Called between the two halves of everything that touches the world; may raise, as a kill would.
        self.during: Callable[[str], None] = _nothing

    def house(self) -> House:
        """Fresh ports on this world, as a new process would have them."""
        return House(
            _Fleet(self),
            _Workshop(self),
            _Checks(self),
            _Lander(self),
            _Examiner(self),
            _Judges(self),
            purse=self.purse,
            forge=self.forge,
        )

    def act(self, run: str) -> Act:
        """What this run does."""
        task, _, n = run.rsplit(".", 2)
        script = self.scripts[task]
        return script[min(int(n), len(script)) - 1]


class _Fleet:
    def __init__(self, world: World) -> None:
        self._world = world

    async def run(self, spec: RunSpec) -> RunOutcome:
        world = self._world
        world.specs[spec.id] = spec
        if spec.id not in world.outcomes:
            if spec.id not in world.running:
                world.agents[spec.id] += 1
                world.running[spec.id] = asyncio.Event()
            world.during(f"run {spec.id}")
            for _ in range(3):
                await asyncio.sleep(0)
            stopped = world.running[spec.id].is_set()
            world.outcomes.setdefault(spec.id, _outcome(spec.id, world.act(spec.id), stopped))
            world.during(f"ran {spec.id}")
        return world.outcomes[spec.id]

    async def stop(self, run: str, why: str) -> None:
        if (stop := self._world.running.get(run)) is not None:
            stop.set()


def _outcome(run: str, act: Act, stopped: bool) -> RunOutcome:
    if stopped:
        return RunOutcome(run=run, end=End.STOPPED, why="stopped")
    match act:
        case Act.LOST:
            return RunOutcome(run=run, end=End.LOST, failure=FailureClass.MACHINE, why="lost")
        case Act.LIMIT:
            return RunOutcome(run=run, end=End.FAILED, failure=FailureClass.LIMIT, why="limit", ended=1_000_000.0)
        case Act.STUCK:
            return RunOutcome(
                run=run, end=End.STOPPED_BY_LIMIT, failure=FailureClass.STUCK, why="it goes in circles",
                blocker="the tests need a database",
            )  # fmt: skip
        case Act.HANDS_OVER:
            return RunOutcome(
                run=run, end=End.HANDED_OVER, why="its context is full", memory=f"## Next\n- go on from {run}\n"
            )
        case Act.BLOCKED:
            return RunOutcome(run=run, end=End.BLOCKED, why="which colour?")
        case _:
            return RunOutcome(run=run, end=End.COMPLETED, why="says it is done", said="Done!")


class _Purse:
    def __init__(self, world: World) -> None:
        self._world = world

    async def grant(self, task: Task, run: str, agent: str, budget: Budget) -> Grant:
        self._world.given.add(run)
        self._world.during(f"grant {run}")
        return Grant(allowance=Allowance())

    async def take_up(self, task: Task, run: str, agent: str, budget: Budget) -> Allowance:
        return Allowance()

    async def settle(self, run: str, outcome: RunOutcome) -> Sum:
        self._world.given.discard(run)
        self._world.during(f"settle {run}")
        return Sum()

    async def release(self, task: Task) -> int:
        runs = {run for run in self._world.given if run.startswith(f"{task.id}.")}
        self._world.given -= runs
        return len(runs)

    async def lend(self, task: Task, asking: str, most: Allowance, budget: Budget, *, paid: bool) -> Lent:
        return Lent(id=asking)

    async def repay(self, loan: str, bill: Bill | None) -> Sum:
        return Sum()


class _Workshop:
    def __init__(self, world: World) -> None:
        self._world = world

    async def prepare(self, task: Task) -> Ground:
        self._world.worktrees.add(task.id)
        self._world.during(f"prepare {task.id}")
        return Ground(
            base=self._world.target[-1], policy=self._world.policy, worktree=f"/w/{task.id}", objects="/o",
            runbook=self._world.runbook,
        )  # fmt: skip

    async def open(self, task: Task, ground: Ground, run: str, start: str, against: str | None) -> str:
        if task.id not in self._world.worktrees:
            raise Held(Hold(reason=HoldReason.REPO_UNAVAILABLE, why="no worktree", releases_on="never"))
        return f"/r/{run}/git"

    async def collect(self, task: Task, ground: Ground, run: str, git_dir: str, start: str, whole: bool) -> Result:
        act, ref = self._world.act(run), f"refs/overnight/{task.id}/{run}"
        self._world.during(f"collect {run}")
        if not whole or act is Act.NOTHING:
            return Result(commit=start, ref=ref)
        commit = f"work-{run}"
        self._world.commits[commit] = act
        return Result(commit=commit, ref=ref, changed=("file",))

    async def read(self, task: Task, commit: str, path: str) -> str | None:
        self._world.during(f"read {commit}")
        return self._world.reads(commit)

    async def tidy(self, task: Task) -> str | None:
        self._world.during(f"tidy {task.id}")
        self._world.worktrees.discard(task.id)
        return None


class _Checks:
    def __init__(self, world: World) -> None:
        self._world = world

    async def run(self, task: Task, commit: str, checks: Mapping[str, Check], label: str) -> tuple[CheckResult, ...]:
        self._world.during(f"check {commit}")
        await asyncio.sleep(0)
        good = self._world.commits[commit] is not Act.BREAKS
        return tuple(
            CheckResult(name=name, command=check.run, commit=commit, passed=good, code=0 if good else 1, seconds=0.0)
            for name, check in checks.items()
        )


class _Lander:
    def __init__(self, world: World) -> None:
        self._world = world

    async def stage(self, task: Task, ground: Ground, commit: str, run: str) -> Staged | Conflict:
        tip = self._world.target[-1]
        if self._world.commits[commit] is Act.CONFLICTS:
            return Conflict(against=tip, paths=("file",), detail="both changed it")
        merged = f"merge {task.id} {commit} onto {tip}"
        self._world.commits[merged] = self._world.commits[commit]
        return Staged(commit=merged, onto=tip, same_tree=tip == ground.base)

    async def land(self, task: Task, ground: Ground, staged: Staged) -> Landed | Moved:
        world = self._world
        world.during(f"land {task.id}")
        if staged.commit not in world.target:
            if world.target[-1] != staged.onto:
                return Moved(now=world.target[-1])
            world.target.append(staged.commit)
            world.landed[task.id] += 1
        world.during(f"landed {task.id}")
        return Landed(commit=staged.commit, branch=ground.policy.target)

    async def update(self, task: Task, commit: str, onto: str, run: str) -> Staged | Conflict:
        world = self._world
        if world.commits[commit] is Act.CONFLICTS:
            return Conflict(against=onto, paths=("file",), detail="both changed it")
        merged = f"{commit} with {onto}"
        world.commits[merged] = world.commits[commit]
        world.during(f"update {commit}")
        return Staged(commit=merged, onto=onto, same_tree=False)

    async def behind(self, task: Task, commit: str) -> Staged | Moved:
        return Staged(commit=commit, onto=self._world.target[-1], same_tree=False)

    async def branch(self, task: Task, commit: str) -> Landed:
        world = self._world
        if not world.landed[task.id]:
            world.landed[task.id] += 1
        world.during(f"branch {task.id}")
        return Landed(commit=commit, branch=f"overnight/{task.id}")


class _Examiner:
    def __init__(self, world: World) -> None:
        self._world = world

    async def examine(
        self, task: Task, ground: Ground, baseline: tuple[CheckResult, ...], attempt: Attempt, spec: str
    ) -> Examined:
        commit = attempt.result.commit
        self._world.during(f"examine {commit}")
        standing = Standing(level=ground.policy.autonomy.level, why="the policy gives it")
        return Examined(commit=commit, evidence=f"evidence {commit}", risk=self._world.risk, standing=standing)

    async def take_back(self, task: Task, ground: Ground, commit: str) -> TakenBack:
        self._world.during(f"take back {commit}")
        return TakenBack(why="nothing of this world has tests")


class _Judges:
    def __init__(self, world: World) -> None:
        self._world = world

    async def judge(
        self, task: Task, examined: Examined, run: str, purse: Purse, budget: Budget, heard: tuple[Opinion, ...] = ()
    ) -> tuple[Opinion, ...]:
        world = self._world
        world.during(f"judge {examined.commit}")
        await asyncio.sleep(0)
        stands = {each.judge: each for each in heard if each.said is not None}
        return tuple(stands.get(family) or self._opinion(family, examined) for family in world.verdicts)

    def _opinion(self, family: str, examined: Examined) -> Opinion:
        world = self._world
        world.asked[family] += 1
        outside = world.away.get(family)
        return Opinion(
            judge=family, family=family, model="m", commit=examined.commit, evidence=examined.evidence,
            said=None if outside else world.verdicts[family](examined.commit), why="it gave no answer", outside=outside,
            retry_at=1_000_000.0 if outside else None,
        )  # fmt: skip
