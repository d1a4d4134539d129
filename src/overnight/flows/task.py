"""The story of a task: from words to a landed commit, or to an honest failure."""

from __future__ import annotations

from itertools import count

from msgspec.structs import replace

from overnight.durable.flow import Cancelled, Finish, Story
from overnight.flows import runbook
from overnight.flows.deciding import choices_of, question_about
from overnight.flows.forge import Mend, PullStory, Shut, may_push
from overnight.flows.judging import Approved, Redo, Rejected, judged
from overnight.flows.landing import Broke, land
from overnight.flows.mutation import mutated
from overnight.judge.attempts import Again, Ask, GiveUp, Proved, Wait, broken, costs, decide, flaky
from overnight.judge.routing import Asked, Route, route
from overnight.missions.approval import ANSWER
from overnight.missions.brief import notes_of, write_core, write_prompt
from overnight.missions.clarify import Answered, Clarify, Clarity, assess, heard, show_questions, write_spec
from overnight.missions.codec import builtins
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.money import Allowance
from overnight.missions.question import Told
from overnight.missions.resume import resumption
from overnight.missions.run import Attempt, CheckResult, End, RunOutcome, RunSpec
from overnight.missions.task import Ending, Fork, Phase, Task
from overnight.ports import Conflict, Ground, House, Landed

#: The pool whose slots are places to work: prepare, run, check.
WORK = "work"


async def carry_out(t: Story, house: House) -> Finish:
    """The whole life of a task. Every named step happens once, whatever happens in between."""
    task = t.read(Task)
    try:
        for other in task.after:
            await t.after(other, Phase.LANDED)
        ending = await _work(t, house, task)
    except Cancelled as cancelled:
        rescue = await t.step("tidy after cancel", house.workshop.tidy, task)
        await t.step("settle after cancel", house.purse.release, task)
        ending = Ending(phase=Phase.CANCELLED, why=str(cancelled) or "cancelled by a person", rescue=rescue)
    return Finish(ending.phase, ending.why, ending)


async def _work(t: Story, house: House, task: Task) -> Ending:
    t.at(Phase.PREPARING)
    with t.slot(WORK, task.repo.name):
        if house.open_results:
            await t.room("room", house.open_results)
        ground = await t.step("prepare", house.workshop.prepare, task)
        t.patience = ground.policy.holds
        if (task.landing or ground.policy.landing).remote:
            await may_push(t, house, task, ground)
        with t.cancellable():
            baseline = await t.step("baseline", house.checks.run, task, ground.base, ground.policy.checks, "baseline")

    task = runbook.taken_up(task, ground)
    clarified = await _clarified(t, task, ground.policy.clarify)
    work = _Attempts(t, house, task, ground, baseline, clarified)
    for n in count(1):
        attempt = await work.next(n)
        match decide(work.done, ground.base, ground.policy, work.limit, task.id):
            case Again(why):
                work.why = why
            case Wait(hold):
                await t.hold(f"after run {n}", hold)
            case Ask(hold):
                asks = question_about(t, f"answer-{n}", hold.why)
                work.answers.append(await t.ask(ANSWER, replace(hold, ask=asks), key=f"answer {n}"))
            case GiveUp(why):
                return await _failed(t, house, task, attempt, why)
            case Proved():
                if (ending := await _proved(t, house, work, attempt)) is not None:
                    return ending
    raise AssertionError("count() does not end")


async def _proved(t: Story, house: House, work: _Attempts, attempt: Attempt) -> Ending | None:
    """Judge it, then land it; None when another run is needed, which knows why."""
    task, ground = work.task, work.ground
    spec = write_spec(task.text, task.acceptance, work.clarified)
    attempt = await mutated(t, house, task, ground, attempt, WORK)
    match await judged(t, house, task, ground, work.baseline, attempt, spec, mends=work.mends):
        case Rejected(why):
            return await _ended(t, house, task, attempt, Phase.REJECTED, why)
        case Redo(issues):
            return await work.faulted(attempt, issues)
        case Approved() as approved:
            pass
    match await _brought(t, house, work, attempt, approved):
        case Landed() as landed:
            return await _landed(t, house, task, attempt, landed)
        case Shut(why):
            return await _ended(t, house, task, attempt, Phase.REJECTED, why)
        case Mend(issues, quotes):
            ending = await work.faulted(replace(attempt, quotes=quotes), issues)
            if ending is not None:
                await work.pulls.farewell(f"Overnight gave up: {ending.why}")
            return ending
        case Broke(checks, names):
            return await work.broke_on_target(attempt, checks, names)
        case Conflict() as conflict:
            await work.conflicts(attempt.n, conflict)
    return None


async def _brought(
    t: Story, house: House, work: _Attempts, attempt: Attempt, approved: Approved
) -> Landed | Conflict | Broke | Mend | Shut:
    """To its target, by the repo's mode."""
    if (work.task.landing or work.ground.policy.landing).remote:
        return await work.pulls.land(work.done, approved)
    return await land(t, house, work.task, work.ground, work.baseline, attempt)


async def _clarified(t: Story, task: Task, policy: Clarify) -> tuple[Answered, ...]:
    """Ask before anything is spent, where the words leave too much open; no slot is held meanwhile."""
    clarity = await t.step("clarify", _clarity, task, policy)
    if not clarity.questions:
        return ()
    how = f'`overnight answer {task.id} defaults`, or by number: `overnight answer {task.id} "1=b 2=in own words"`'
    why = f"what is asked for leaves too much open (ambiguity {clarity.ambiguity} of 100)\n{show_questions(clarity.questions)}"
    asks = question_about(t, "clarify", why, choices_of(clarity.questions))
    hold = Hold(reason=HoldReason.NEEDS_ANSWER, why=why, releases_on=how, default="defaults", ask=asks)
    words = await t.ask(ANSWER, hold, key="clarify")
    return heard(clarity.questions, words)


async def _clarity(task: Task, policy: Clarify) -> Clarity:
    return ask_about(task, policy)


def ask_about(task: Task, policy: Clarify) -> Clarity:
    """What a person should be asked about a task before it starts."""
    if task.as_is or task.runbook:
        return Clarity(ambiguity=0, signals=(), questions=())
    title = "" if task.text.lstrip("# ").startswith(task.title) else f"{task.title}\n"
    return assess(title + task.text, task.acceptance, policy)


class _Attempts:
    """The runs of one task so far, and what the next one is told."""

    def __init__(
        self,
        t: Story,
        house: House,
        task: Task,
        ground: Ground,
        baseline: tuple[CheckResult, ...],
        clarified: tuple[Answered, ...],
    ) -> None:
        self.t, self.house, self.task, self.ground, self.baseline = t, house, task, ground, baseline
        self.clarified = clarified
        self.done: list[Attempt] = []
        self.answers: list[str] = []
        #: What people said to questions that runs filed.
        self.told: tuple[Told, ...] = ()
        self.why = ""
        self.conflict: Conflict | None = None
        self.limit = task.attempts or ground.policy.limits.attempts
        self.pulls = PullStory(t, house, task, ground, baseline)

    async def next(self, n: int) -> Attempt:
        """One more run, what came out of it, and our own checks on exactly that."""
        t, house, task, ground = self.t, self.house, self.task, self.ground
        run = f"{task.id}.{t.life}.{n}"
        start = self.done[-1].result.commit if self.done else ground.base
        against = self.conflict.against if self.conflict else None
        with t.slot(WORK, task.repo.name):
            t.at(Phase.RUNNING)
            git_dir = await t.step(f"open {n}", house.workshop.open, task, ground, run, start, against)
            agent = task.agent or ground.policy.agent
            self.told = t.recall(f"answers {n}", "question.answered", Told)
            given = await t.step(f"grant {n}", house.purse.grant, task, run, agent, ground.policy.limits.budget)
            chosen = await t.step(f"route {n}", self._route, given.left)
            spec = self._spec(run, git_dir, start, chosen, given.allowance)
            with t.stopped_by(house.fleet.stop, run, "a person asked for it"):
                outcome = await t.step(f"run {n}", self._run, spec, agent)
            await t.step(f"settle {n}", house.purse.settle, run, outcome)
            if spec.resume is not None:
                said = f"not the session of {spec.resume_of}: {outcome.fresh}" if outcome.fresh else spec.resume_of
                t.note(f"session {n}", "run.fresh" if outcome.fresh else "run.resumed", said)
            if outcome.end is End.HANDED_OVER:
                t.note(f"handed over {n}", "run.handed-over", outcome.why)
            self._file(n, outcome)
            whole = outcome.end in (End.COMPLETED, End.BLOCKED)
            result = await t.step(f"collect {n}", house.workshop.collect, task, ground, run, git_dir, start, whole)
            standing = await runbook.stand(t, n, house, task, ground, self.done, result)
            checks: tuple[CheckResult, ...] = ()
            if outcome.end is End.COMPLETED and result.commit != ground.base:
                t.at(Phase.CHECKING)
                with t.cancellable():
                    checks = await t.step(
                        f"check {n}", house.checks.run, task, result.commit, ground.policy.checks, f"check-{t.life}-{n}"
                    )
        attempt = Attempt(
            n=n,
            outcome=outcome,
            result=result,
            checks=checks,
            broke=broken(self.baseline, checks),
            runbook=standing,
            flaky=flaky(self.baseline, self.done, checks),
        )
        self.done.append(attempt)
        return attempt

    async def _run(self, spec: RunSpec, agent: str) -> RunOutcome:
        """The run, with what it may spend by now: the task may have waited since the grant, its money given back."""
        budget = self.ground.policy.limits.budget
        allowance = await self.house.purse.take_up(self.task, spec.id, agent, budget)
        return await self.house.fleet.run(replace(spec, allowance=allowance))

    def _file(self, n: int, outcome: RunOutcome) -> None:
        """Put what the run would have asked a person on record, each once for the task."""
        known = {question.id for attempt in self.done for question in attempt.outcome.questions}
        for k, question in enumerate(q for q in outcome.questions if q.id not in known):
            self.t.note(f"question {n}.{k + 1}", "question.asked", question.text, question=builtins(question))

    async def _route(self, left: float | None) -> Route:
        policy, base = self.ground.policy, self.ground.base
        failed = sum(1 for attempt in self.done if costs(attempt, base, policy))
        return route(
            self.task, Asked(model=policy.model, tier=policy.tier), self.house.routing, failed=failed, left=left
        )

    def _spec(self, run: str, git_dir: str, start: str, chosen: Route, allowance: Allowance) -> RunSpec:
        policy, ordered = self.ground.policy, runbook.order(self.task, self.ground, self.done)
        prompt = write_prompt(
            self.task, policy, instructions=self.ground.instructions, baseline=self.baseline, attempts=self.done,
            why=self.why, answers=self.answers, clarified=self.clarified,
            conflict=(self.conflict.against, self.conflict.paths) if self.conflict else None,
            runbook=runbook.words(ordered), told=self.told,
        )  # fmt: skip
        core = write_core(
            self.task, policy, instructions=self.ground.instructions, baseline=self.baseline, answers=self.answers,
            clarified=self.clarified, runbook=runbook.words(ordered), told=self.told,
        )  # fmt: skip
        fork = self._fork()
        before = None if fork else resumption(self.done)  # a recording holds no other session
        return RunSpec(
            id=run, task=self.task.id, worktree=self.ground.worktree, git_dir=git_dir, objects=self.ground.objects, alternates=self.ground.alternates,
            start=start, agent=self.task.agent or policy.agent, model=chosen.model, prompt=fork.prompt if fork else prompt, limits=policy.limits,
            core=core, memory=notes_of(self.done), repository=self.task.repo.path,
            box=policy.box, repo=self.task.repo.name, paths=self.task.paths, estimate=self.task.estimate,
            checks=tuple(check.run for check in policy.checks.values()),
            guard=policy.guard, sensitive=policy.paths.sensitive, allowance=allowance, fork=fork, runbook=ordered,
            resume=before.session if before else None, resume_of=before.run if before else "",
            resume_prompt=before.prompt if before else "",
        )  # fmt: skip

    def _fork(self) -> Fork | None:
        """What the next run begins with: a recording, until a run did something after it."""
        base, policy = self.ground.base, self.ground.policy
        tried = any(costs(done, base, policy) or done.result.commit != base for done in self.done)
        return None if tried else self.task.fork

    async def broke_on_target(
        self, attempt: Attempt, checks: tuple[CheckResult, ...], names: tuple[str, ...]
    ) -> Ending | None:
        """It merged cleanly and fails there: the next run sees the target and mends it. Costs this attempt."""
        why = f"merged onto the moved `{self.ground.policy.target}` it fails: {', '.join(names)}"
        return await self._spend(replace(attempt, checks=checks, broke=names), why)

    @property
    def mends(self) -> bool:
        """Whether another run is left when the last one turns out to be not good enough."""
        return 1 + self._spent() < self.limit

    def _spent(self) -> int:
        return sum(1 for each in self.done if costs(each, self.ground.base, self.ground.policy))

    async def faulted(self, attempt: Attempt, issues: tuple[str, ...]) -> Ending | None:
        """Its checks pass and it was found wanting: the next run is told why. Costs this attempt."""
        return await self._spend(replace(attempt, issues=issues), f"not good enough: {'; '.join(issues)}")

    async def _spend(self, attempt: Attempt, why: str) -> Ending | None:
        self.done[-1], self.why = attempt, why
        if (spent := self._spent()) < self.limit:
            return None
        return await _failed(self.t, self.house, self.task, attempt, f"{why} (after {spent} attempts)")

    async def conflicts(self, n: int, conflict: Conflict) -> None:
        """The first conflict gets a run of its own; a second one waits for a person."""
        if self.conflict is not None:
            why = f"conflicts with `{self.ground.policy.target}` in {', '.join(conflict.paths)}, also after a run to mend it"
            how = f"`overnight resume {self.task.id}` gives it another run"
            await self.t.hold(f"conflict {n}", Hold(reason=HoldReason.CONFLICT, why=why, releases_on=how))
        self.conflict, self.why = conflict, "it conflicts with what landed meanwhile"


async def _landed(t: Story, house: House, task: Task, attempt: Attempt, landed: Landed) -> Ending:
    t.settled()
    rescue = await t.step("tidy", house.workshop.tidy, task)
    proof = ", ".join(f"{check.name} passed" for check in attempt.checks if check.passed) or "no checks are configured"
    why = f"{proof} on {attempt.result.commit[:12]}" + (f"; {landed.note}" if landed.note else "")
    return Ending(phase=Phase.LANDED, why=why, commit=landed.commit, branch=landed.branch, rescue=rescue)


async def _failed(t: Story, house: House, task: Task, attempt: Attempt, why: str) -> Ending:
    return await _ended(t, house, task, attempt, Phase.FAILED, why)


async def _ended(t: Story, house: House, task: Task, attempt: Attempt, phase: Phase, why: str) -> Ending:
    t.settled()
    rescue = await t.step("tidy", house.workshop.tidy, task)
    kept = attempt.result.ref if attempt.result.changed else rescue
    return Ending(phase=phase, why=why, commit=attempt.result.commit, rescue=kept)
