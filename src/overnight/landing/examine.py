"""`LocalExaminer`: the evidence about one commit, read from git and from records, kept under its digest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import UNSET, Struct
from msgspec.structs import replace

from overnight.errors import StateNotWritable
from overnight.judge.autonomy import Fate, Override, Standing, standing
from overnight.judge.evidence import Audited, Evidence, checks_of, digest, files_of, gaps_in
from overnight.judge.persuasion import orders, persuasions
from overnight.judge.risk import Facts, assess
from overnight.judge.routing import Kind, kind_of
from overnight.judge.tamper.look import tampering, toothless
from overnight.landing.changes import changes_between, patch_between
from overnight.landing.git import Observer, unobserved
from overnight.landing.places import Places, write_whole
from overnight.landing.repository import Repository, open_repository
from overnight.landing.takeback import take_back
from overnight.missions import wording
from overnight.missions.codec import encode
from overnight.missions.judging import Earned
from overnight.missions.run import Attempt, CheckResult, Mutation, TakenBack
from overnight.missions.task import Repo, Task
from overnight.ports import Examined, Ground

#: Landed commits that are looked up among the target's reverts.
_LOOK_BACK = 500


class Past(Struct, frozen=True, kw_only=True):
    """An earlier change of the same repo and kind of work."""

    fate: Fate
    #: The commit that landed; empty when none did.
    commit: str = ""


class LocalExaminer:
    """The port `Examiner` on this machine's git and state folder.

    past: (repo's name, kind of work) to what became of earlier changes, oldest first. network: a run's id to the hosts
    that its box asked for. family: an agent's name to who made its model.
    without: takes secrets out of a text. outputs: a run's id to what tools gave its agent to read.
    word: (repo's name, kind of work) to a person's last word on its level; `past` begins after it.
    """

    def __init__(
        self,
        state: Path,
        past: Callable[[str, Kind], Sequence[Past]],
        network: Callable[[str], Sequence[str]],
        family: Callable[[str], str],
        without: Callable[[str], str],
        observer: Observer = unobserved,
        outputs: Callable[[str], Iterable[str]] = lambda _run: (),
        word: Callable[[str, Kind], Override | None] = lambda _repo, _kind: None,
    ) -> None:
        self._places, self._past, self._network, self._family = Places(state), past, network, family
        self._without, self._outputs, self._word = without, outputs, word
        self._observer = observer

    async def examine(
        self, task: Task, ground: Ground, baseline: tuple[CheckResult, ...], attempt: Attempt, spec: str
    ) -> Examined:
        """See the port. Raises Held(repo-unavailable), GitFailed, StateNotWritable."""
        repository = await open_repository(task.repo, self._places, self._observer)
        evidence = await self._collect(repository, task, ground, baseline, attempt, spec)
        name = digest(evidence)
        try:
            write_whole(self._places.evidence(task.id, name), encode(evidence))
        except OSError as error:
            raise StateNotWritable(path=self._places.evidence(task.id, name), reason=error) from error
        return Examined(
            commit=evidence.commit,
            evidence=name,
            risk=evidence.risk,
            tampering=tuple(str(each) for each in evidence.tampering),
            standing=(await self.level(task.repo, kind_of(task)[0], ground.policy.autonomy))[0],
            family=self._family(task.agent or ground.policy.agent),
        )

    async def take_back(self, task: Task, ground: Ground, commit: str) -> TakenBack:
        """See the port. Raises Held(repo-unavailable), GitFailed."""
        repository = await open_repository(task.repo, self._places, self._observer)
        return await take_back(repository, self._places, task, ground.base, commit)

    async def _collect(
        self, repository: Repository, task: Task, ground: Ground, baseline: tuple[CheckResult, ...], attempt: Attempt, spec: str
    ) -> Evidence:  # fmt: skip
        commit, outcome = attempt.result.commit, attempt.outcome
        changes = await changes_between(repository.plain, ground.base, commit)
        patch, left_out = await patch_between(repository.plain, ground.base, commit)
        findings = (*tampering(changes), *toothless(attempt.mutation))
        fates = [each.fate for each in await self._fates(repository, kind_of(task)[0])]
        facts = Facts(
            changes=changes,
            forbidden=ground.policy.paths.forbidden,
            sensitive=ground.policy.paths.sensitive,
            named=wording.read(f"{task.title}\n{spec}").anchors,
            failing=attempt.broke,
            flaky=attempt.flaky,
            tampered=tuple(str(each) for each in findings if each.blocks),
            suspicious=tuple(str(each) for each in findings if not each.blocks),
            injections=(*persuasions(changes), *await asyncio.to_thread(self._orders, outcome.run)),
            denials=len(outcome.denied),
            trust=1.0 if task.issue is None or task.issue.trusted else 0.0,
            landed=fates.count(Fate.LANDED) + fates.count(Fate.REVERTED),
            regretted=sum(fate in (Fate.REVERTED, Fate.MENDED, Fate.SECURITY) for fate in fates),
        )
        evidence = Evidence(
            task=task.id,
            repo=task.repo.name,
            base=ground.base,
            commit=commit,
            spec=self._without(spec),
            files=files_of(changes),
            patch=self._without(patch),
            patch_left_out=left_out,
            checks=tuple(
                replace(each, output=self._without(each.output)) for each in checks_of(baseline, attempt.checks)
            ),
            tampering=findings,
            risk=assess(facts, ground.policy.risk),
            audited=Audited(
                calls=outcome.calls,
                denied=tuple(self._without(f"{tool} {what}: {why}") for tool, what, why in outcome.denied),
                network=tuple(self._network(outcome.run)),
            ),
            runs=attempt.n,
            turns=outcome.turns,
            cost_usd=outcome.usage.cost_usd,
            refused=attempt.result.refused,
            gaps=(),
            mutation=UNSET if attempt.mutation is None else self._clean(attempt.mutation),
        )
        return replace(evidence, gaps=gaps_in(evidence))

    def _orders(self, run: str) -> tuple[str, ...]:
        return tuple(self._without(each) for each in orders(self._outputs(run)))

    def _clean(self, mutation: Mutation) -> Mutation:
        checks = (replace(check, output=self._without(check.output)) for check in mutation.checks)
        return replace(mutation, checks=tuple(checks))

    async def level(self, repo: Repo, kind: Kind, policy: Earned) -> tuple[Standing, tuple[Fate, ...]]:
        """The level of a repo and kind of work, and what became of its changes, oldest first. Raises as `examine`."""
        repository = await open_repository(repo, self._places, self._observer)
        fates = tuple(each.fate for each in await self._fates(repository, kind))
        return standing(fates, policy, self._word(repo.name, kind)), fates

    async def _fates(self, repository: Repository, kind: Kind) -> Sequence[Past]:
        """What became of earlier changes; one that the target's history takes back counts as reverted."""
        past = list(self._past(repository.repo.name, kind))[-_LOOK_BACK:]
        if not any(each.commit for each in past):
            return past
        said = await repository.plain.text(
            "log", "--max-count=10000", "--format=%B", "--grep=This reverts commit", await repository.target()
        )
        return [replace(each, fate=Fate.REVERTED) if each.commit and each.commit in said else each for each in past]
