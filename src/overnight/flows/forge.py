"""The story of a pull request: pushed once, watched, mended, merged when all is proved, and watched again.

A pull request that waits is a row: each look is a step that parks the task when there is nothing to do.
"""

from __future__ import annotations

from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from overnight.durable.flow import Cancelled, Story
from overnight.flows.deciding import ask_about
from overnight.flows.judging import Approved
from overnight.flows.landing import Broke
from overnight.flows.merged import Afterwards, InTime
from overnight.flows.pulltext import Proof, body_of, title_of
from overnight.judge import pulls
from overnight.judge.attempts import broken
from overnight.judge.pulls import Ask, Done, Known, Merge, Over, Ready, Repair, Settle, Settled, Update
from overnight.missions.approval import DECISION
from overnight.missions.approval import Ask as PersonAsk
from overnight.missions.forge import CiState, Comment, Merging, Quote
from overnight.missions.hold import Held, Hold, HoldReason
from overnight.missions.judging import Decision
from overnight.missions.policy import LandingMode
from overnight.missions.run import Attempt, CheckResult
from overnight.missions.task import Phase, Task
from overnight.ports import (
    Ci,
    Conflict,
    Forge,
    ForgeRefused,
    Ground,
    House,
    Landed,
    Merged,
    PullRequest,
    Pushed,
)

#: Seconds after which something that the forge refused is tried again by itself.
AGAIN_S = 1800.0


class Mend(Struct, frozen=True):
    """Another run mends what the forge's checks or a review found. Costs this attempt."""

    issues: tuple[str, ...]
    quotes: tuple[Quote, ...]


class Shut(Struct, frozen=True):
    """Nothing more comes of it: a person said so."""

    why: str


class Sent(Struct, frozen=True):
    """What was pushed, and when."""

    pushed: Pushed
    at: float


class Spoke(Struct, frozen=True, tag="spoke"):
    """Somebody decided while it was waited for."""


class Stale(Struct, frozen=True, tag="stale"):
    """The forge does not show any more what a merge was decided on."""


async def may_push(t: Story, house: House, task: Task, ground: Ground) -> bool:
    """Ask before anything is spent whether the result may leave this machine. Parks while it may not."""
    return await t.step("forge", _may_push, t, house, task, ground)


async def _may_push(t: Story, house: House, task: Task, ground: Ground) -> bool:
    if house.forge is None:
        raise _none(task)
    if not ground.policy.allow_remote_writes:
        why = "nothing may be pushed: `allow_remote_writes` is not true in both overnight.toml and `[bounds]` of config.toml"
        how = f"setting both, then `overnight cancel {task.id}` and `overnight retry {task.id}`"
        raise _refused(why, how)
    if isinstance(no := await house.forge.based(task, ground), ForgeRefused):
        how = (
            f"pushing that; `overnight resume {task.id}` tries at once. To do without it: `overnight cancel {task.id}` and "
            f"`overnight retry {task.id}` once `{ground.policy.target}` here is as it is there"
        )
        raise _refused(no.why, how, t.now() + AGAIN_S)
    return True


class PullStory:
    """One task's pull request, over all its attempts."""

    def __init__(self, t: Story, house: House, task: Task, ground: Ground, baseline: tuple[CheckResult, ...]) -> None:
        self.t, self.house, self.task, self.ground, self.baseline = t, house, task, ground, baseline
        self.policy = ground.policy.forge
        self.mode = task.landing or ground.policy.landing
        self.heard: tuple[str, ...] = ()
        self.earlier: tuple[str, ...] = ()
        self.repairs = 0
        self.told: set[str] = set()
        self.pull: PullRequest | None = None
        self.proof: Proof | None = None

    @property
    def forge(self) -> Forge:
        """Raises Held where the machine has none any more."""
        if self.house.forge is None:
            raise _none(self.task)
        return self.house.forge

    async def land(self, attempts: list[Attempt], approved: Approved) -> Landed | Conflict | Broke | Mend | Shut:
        """Bring the last attempt's commit to the forge, and see it through."""
        self.t.at(Phase.LANDING)
        attempt = attempts[-1]
        doubts = (f"{approved.hold.why}: a person decides",) if approved.hold is not None else ()
        self.proof = Proof(
            attempts=tuple(attempts), baseline=self.baseline, examined=approved.examined, opinions=approved.opinions,
            doubts=doubts,
        )  # fmt: skip
        try:
            known = await self._send(attempt.result.commit, f"{attempt.n}")
            known = replace(known, covered=(known.head,), asks=self._asks(approved))
            return await self._see_through(attempt, approved, known)
        except Cancelled:
            if self.pull is None:
                raise
            raise Cancelled(f"cancelled by a person; {self.pull.url} stays open") from None

    def _asks(self, approved: Approved) -> str:
        if self.mode is not LandingMode.PR:
            return ""
        if approved.hold is not None:
            return approved.hold.why
        always = self.policy.merge is Merging.PERSON and not approved.by
        return "the policy has a person approve every merge" if always else ""

    # -- pushing --------------------------------------------------------------------------------------------

    async def _send(self, head: str, key: str) -> Known:
        """Push a commit, and say on the pull request what it is."""
        t = self.t
        with t.to_the_end():
            sent = await t.step(f"push {key}", self._push, head)
        with t.to_the_end():
            pull = await t.step(f"pull {key}", self._open, sent.pushed)
        first = self.pull is None
        self.pull = pull
        if first:
            t.note("opened", "pull.opened", pull.url, number=pull.number, url=pull.url)
        if not first or t.life > 1:
            await t.step(f"describe {key}", self._describe, pull.number, head, "")
        known = Known(
            task=self.task.id, number=pull.number, url=pull.url, head=head, earlier=self.earlier,
            base=self.ground.policy.target, mode=self.mode, since=sent.at, heard=self.heard, repairs=self.repairs,
        )  # fmt: skip
        self.earlier = (*self.earlier, head)
        return known

    async def _push(self, head: str) -> Sent:
        answer = await self.forge.push(self.task, self.ground, head)
        if isinstance(answer, ForgeRefused):
            raise self._no("push", answer)
        return Sent(answer, self.t.now())

    async def _open(self, pushed: Pushed) -> PullRequest:
        title, body = title_of(self.task), self._body(pushed.commit, "")
        answer = await self.forge.open(self.task, self.ground, pushed, title, body)
        if isinstance(answer, ForgeRefused):
            raise self._no("open a pull request", answer)
        return answer

    async def _describe(self, number: int, head: str, standing: str) -> None:
        await self.forge.describe(self.task, number, title_of(self.task), self._body(head, standing))

    def _body(self, head: str, standing: str) -> str:
        assert self.proof is not None, "it is set before anything is pushed"
        return body_of(self.task, self.ground, self.proof, head, standing)

    def _no(self, what: str, answer: ForgeRefused) -> Held:
        """The forge refuses: a person has to look. Tried again by itself, for a person may put it right there."""
        until = None if answer.reason == "gate" else self.t.now() + AGAIN_S
        how = f"what it names is put right; `overnight resume {self.task.id}` tries at once"
        return _refused(f"the forge does not let Overnight {what} ({answer.reason}): {answer.why}", how, until)

    # -- seeing it through ----------------------------------------------------------------------------------

    async def _see_through(
        self, attempt: Attempt, approved: Approved, known: Known
    ) -> Landed | Conflict | Broke | Mend | Shut:
        t, n = self.t, attempt.n
        for k in count(1):
            seen = await t.watch(f"watch {n}.{k}", DECISION, self._look, known, self._hold(approved, known, n))
            match seen:
                case Settle(checks=checks, at=at):
                    known = replace(known, green=Settled(checks=checks, since=at))
                case Spoke():
                    word = await self._word(n, k, known)
                    if isinstance(word, Shut):
                        await t.step(f"describe end {n}", self._describe, known.number, known.head, word.why)
                        return word
                    known = replace(known, approved=known.approved or word)
                case Ready():
                    await t.step(f"ready {n}.{k}", self._ready, known)
                    known = replace(known, readied=True)
                case Update(base=base):
                    updated = await self._update(attempt, known, base, f"{n}.{k}")
                    if not isinstance(updated, Known):
                        return updated
                    known = updated
                case Repair(issues=issues, quotes=quotes, heard=heard):
                    self.repairs, self.heard = self.repairs + 1, (*self.heard, *heard)
                    t.note(f"repair {n}", "pull.repair", "; ".join(issues), url=known.url)
                    return Mend(issues, quotes)
                case Merge():
                    with t.to_the_end():
                        merged = await t.step(f"merge {n}.{k}", self._merge, known, seen)
                    if isinstance(merged, InTime):
                        return await self._after().ours(n, known.url, merged, seen.base)
                    known = replace(known, green=None)
                case Done(commit=commit, head=head):
                    return await self._after().somebodys(n, known.url, commit, "" if head == known.head else head)
                case Over(why=why):
                    return Shut(why)
        raise AssertionError("count() does not end")

    async def _look(self, known: Known, asking: Hold) -> Settle | Repair | Ready | Update | Merge | Done | Over | Spoke:
        """One look. Raises Held while there is nothing to do but to look again."""
        t = self.t
        if known.asks and not known.approved and t.came(DECISION):
            return Spoke()
        view = await self._view(known)
        self._told(known, view.comments)
        match pulls.decide(known, view, self.policy):
            case pulls.Wait(hold=hold):
                raise Held(hold)
            case Ask(until=until):
                raise Held(replace(asking, until=until))
            case course:
                return course

    async def _view(self, known: Known) -> pulls.View:
        forge, task = self.forge, self.task
        pull = await forge.look(task, known.number)
        nothing = Ci(commit=known.head, state=CiState.NONE)
        if pull is None or pull.state != "open":
            return pulls.View(at=self.t.now(), pull=pull, ci=nothing)
        ci = await forge.ci(task, known.head)
        target = await forge.ci(task, pull.base_commit) if ci.state is CiState.RED else None
        comments = await forge.comments(task, known.number)
        return pulls.View(at=self.t.now(), pull=pull, ci=ci, comments=comments, target=target)

    def _told(self, known: Known, comments: tuple[Comment, ...]) -> None:
        """What is not heeded is on record all the same."""
        for each in pulls.ignored(known, comments, self.policy):
            if each.id not in self.told:
                self.told.add(each.id)
                author = pulls.one_line(each.author, 40)
                self.t.note(
                    f"ignored {each.id}", "pull.ignored", f"{author} asks for changes and may not", url=known.url
                )

    # -- a person's word ------------------------------------------------------------------------------------

    def _asked(self, known: Known, n: int) -> PersonAsk:
        """One question for all that is pushed of an attempt: a word that is given while it is looked at counts as well."""
        return ask_about(self.t, f"pull-{n}", known.covered[0])  # what was judged

    def _hold(self, approved: Approved, known: Known, n: int) -> Hold:
        """What a person is asked, once all else is green."""
        ask = self._asked(known, n)
        why = f"{known.asks} (commit {ask.commit[:12]}); {known.url} is green"
        how = f'`overnight diff {self.task.id}` shows it; `overnight approve {self.task.id}` or `overnight reject {self.task.id} "why"`'
        reason = approved.hold.reason if approved.hold is not None else HoldReason.NEEDS_APPROVAL
        return Hold(reason=reason, why=why, releases_on=how, looks=True, ask=ask, then="it is looked at again")

    async def _word(self, n: int, k: int, known: Known) -> bool | Shut:
        """What the person said; False: nothing that counts."""
        ask = self._asked(known, n)

        def refuse(decision: Decision) -> str:
            if not decision.ticket:
                return "a decision without a ticket is none"
            return "" if (decision.ask, decision.commit) == (ask.id, ask.commit) else "it is about something else"

        decision = await self.t.signal(DECISION, Decision, key=f"decision {n}.{k}", refuse=refuse, timeout=0.0)
        if decision is None:
            return False
        return True if decision.approved else Shut(decision.why or "a person said no")

    # -- towards the merge ----------------------------------------------------------------------------------

    async def _ready(self, known: Known) -> bool:
        answer = await self.forge.ready(self.task, known.number)
        if isinstance(answer, ForgeRefused):
            raise self._no("take it out of draft", answer)
        return True

    async def _update(self, attempt: Attempt, known: Known, base: str, key: str) -> Known | Conflict | Broke:
        """The target moved on: merge it in, prove that, and push it."""
        t, house, task, ground = self.t, self.house, self.task, self.ground
        await t.step(f"fetch {key}", self.forge.target, task, ground)
        staged = await t.step(f"update {key}", house.lander.update, task, known.head, base, attempt.outcome.run)
        if isinstance(staged, Conflict):
            return staged
        if staged.commit == known.head:
            return replace(known, green=None)
        if not staged.same_tree:
            checks, label = ground.policy.checks, f"recheck-{t.life}-{key.replace('.', '-')}"
            with t.cancellable():
                proved = await t.step(f"recheck {key}", house.checks.run, task, staged.commit, checks, label)
            if names := broken(self.baseline, proved):
                return Broke(proved, names)
        sent = await self._send(staged.commit, key)
        t.note(f"updated {key}", "pull.updated", f"{known.head[:12]} with {base[:12]} is {staged.commit[:12]}")
        return replace(
            known, head=sent.head, earlier=sent.earlier, covered=(*known.covered, staged.commit), since=sent.since,
            green=None,
        )  # fmt: skip

    async def _merge(self, known: Known, course: Merge) -> InTime | Stale:
        """Look once more, for it may be long ago that this was decided; then merge exactly that."""
        pull = await self.forge.look(self.task, known.number)
        if pull is not None and pull.state == "merged" and pull.head == course.head and pull.merged:
            return InTime(pull.merged, self.t.now())
        if pulls.decide(known, await self._view(known), self.policy) != course:
            return Stale()
        answer = await self.forge.merge(self.task, known.number, course.head)
        if isinstance(answer, Merged):
            return InTime(answer.commit, self.t.now())
        if answer.reason in ("protected", "forbidden", "gate"):
            raise self._no("merge", answer)
        raise _refused(f"{known.url}: {answer.why}", "the forge takes it", self.t.now() + pulls.TROUBLE_S)

    def _after(self) -> Afterwards:
        return Afterwards(self.t, self.forge, self.house.lander, self.task, self.ground)

    async def farewell(self, why: str) -> None:
        """Say on the pull request that Overnight does no more about it."""
        if self.pull is not None and self.earlier:
            await self.t.step("describe end", self._describe, self.pull.number, self.earlier[-1], why)


def _none(task: Task) -> Held:
    how = f"`[forge]` in config.toml says which, then `overnight resume {task.id}`"
    return _refused("no forge is configured on this machine", how)


def _refused(why: str, how: str, until: float | None = None) -> Held:
    return Held(Hold(reason=HoldReason.FORGE_REFUSED, why=why, releases_on=how, until=until, looks=True))
