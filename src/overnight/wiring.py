"""The only place where real adapters are chosen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from overnight.agents.choose import choose as choose_agent
from overnight.agents.choose import family_of
from overnight.agents.claude import planned
from overnight.agents.claude_speaker import ClaudeSpeaker
from overnight.agents.outputs import tool_outputs
from overnight.audit.record import RunAudit
from overnight.boxes.choose import choose as choose_box
from overnight.boxes.piped import Piped
from overnight.boxes.settings import inside_path, tool_folders
from overnight.cassette import entries
from overnight.cassette.entries import Opened, Surroundings
from overnight.cassette.playback import Playback
from overnight.cassette.reading import Cassette
from overnight.cassette.reading import read as read_cassette
from overnight.cassette.recorder import Recorder
from overnight.config import Settings, bound, read_policy, read_settings
from overnight.durable import pauses
from overnight.durable.desk import Desk
from overnight.durable.identity import boot_id, is_alive
from overnight.durable.journal import Journal, Observer
from overnight.durable.limits import lifted_until
from overnight.durable.purse import LedgerPurse
from overnight.errors import NoCassette, NotARepository, OvernightError
from overnight.fleet.admission import Admission, AdmittedFleet, AdmittedPurse
from overnight.fleet.local import LocalFleet, read_identity, read_outcome, write_atomically
from overnight.flows.discreet import discreet
from overnight.flows.issues import Intake
from overnight.guard.asking import question
from overnight.guard.decide import Assessment, assess
from overnight.guard.explain import effect_line
from overnight.guard.ledger import Ledger
from overnight.guard.policy import Layers
from overnight.guard.redact import Redactor, known_secrets
from overnight.guard.scrub import scrubbed
from overnight.guard.verdict import Call, Decision, Verdict, Weighed
from overnight.guard.world import Bounds
from overnight.judge.routing import Kind
from overnight.judges.boxed import BoxedJudge
from overnight.judges.model import ModelJudge
from overnight.judges.panel import Panel
from overnight.judges.settings import VENDORS, JudgeSettings, key_variable_of, route_of
from overnight.judges.settings import Kind as JudgeKind
from overnight.landing.checkpoint import Checkpoints
from overnight.landing.checks import BoxedChecks, CheckSettings
from overnight.landing.examine import LocalExaminer, Past
from overnight.landing.forge.github import GitHubForge
from overnight.landing.git import Git
from overnight.landing.places import Places
from overnight.landing.queue import LocalLander
from overnight.landing.repository import find_git_dir
from overnight.landing.worktree import LocalWorkshop, policy_on_target
from overnight.missions.codec import encode
from overnight.missions.hold import HoldReason
from overnight.missions.money import Bill
from overnight.missions.places import QUESTIONS, run_dir
from overnight.missions.policy import BoxLevel, Policy
from overnight.missions.question import Question
from overnight.missions.run import CheckResult, End, FailureClass, RunOutcome, RunSpec
from overnight.missions.task import Fork, Repo, Task
from overnight.ports import Agent, Box, Forge, House
from overnight.report.record import fates, word
from overnight.report.rundir import AGENT
from overnight.warden.bill import read_bill
from overnight.warden.egress import Egress
from overnight.warden.events import Reached, read_events
from overnight.warden.hooks import gist
from overnight.warden.http import serve
from overnight.warden.keeper import Keeper
from overnight.warden.way import DirectWay, GatewayWay
from overnight.warden.world import RunDisk

#: What starts a warden, when the run's directory is appended. -P: nothing is imported from the folder that it is
#: started in, which may be one that an agent wrote to.
WARDEN = (sys.executable, "-P", "-m", "overnight.warden_process")

#: Questions of one run that are kept.
MOST_QUESTIONS = 50


def _unobserved(_moment: str, _label: str) -> None:
    """Nobody watches."""


def box_for(settings: Settings, minimum: BoxLevel) -> Box:
    """The machine's box, if it is strong enough. Raises BoxUnavailable, NotConfirmed."""
    return Piped(choose_box(minimum, settings.box.name, settings.box.i_know, settings.box))


def house_for(
    settings: Settings, home: Path, observer: Observer | None = None, environ: Mapping[str, str] = os.environ
) -> House:
    """The ports of a task's flow on this machine. observer is told before and after every git call and start of a warden.
    environ: the wardens'."""
    box, watch = box_for(settings, BoxLevel.NONE), observer or _unobserved

    def policy_of(data: bytes, where: str) -> Policy:
        return bound(read_policy(data, where), settings).policy

    keys = tuple(environ.get(key_variable_of(judge), "") for judge in settings.judges.values())
    token = environ.get(settings.forge.token_variable, "")
    hooks = environ.get(settings.forge.webhook_variable, "")
    secrets = tuple(filter(None, (*known_secrets(environ), *keys, token, hooks)))
    without = Redactor(secrets, settings.redact.patterns)
    ours = (settings.forge.token_variable, settings.forge.webhook_variable)
    wardens = {name: value for name, value in environ.items() if name not in ours}
    checks = CheckSettings(path=inside_path(settings.box), tools=tool_folders(settings.box))
    house = House(
        fleet=LocalFleet(home, WARDEN, wardens, watch),
        workshop=LocalWorkshop(home, box, policy_of, observer=watch),
        checks=BoxedChecks(home, box, checks, watch, door),
        lander=LocalLander(home, watch),
        examiner=examiner_for(settings, home, without, watch),
        judges=Panel(home, judges_for(settings, environ, box)),
        routing=settings.routing,
        open_results=settings.work.open_results,
        forge=forge_for(settings, home, token, without, secrets, watch),
    )
    return discreet(house, without)


def intake_for(house: House, settings: Settings, journal: Journal, desk: Desk) -> Intake | None:
    """What takes up labelled issues; None where there is no forge."""
    if house.forge is None:
        return None

    async def policy_of(repo: Repo) -> Policy:
        found = await policy_on_target(repo, Places(journal.home))
        return bound(read_policy(found, f"overnight.toml of {repo.name}"), settings).policy if found else Policy()

    return Intake(house.forge, policy_of, desk.call, journal.get)


def examiner_for(
    settings: Settings, home: Path, without: Callable[[str], str], observer: Observer | None = None
) -> LocalExaminer:
    """What collects evidence, and knows the levels. without: takes secrets out of a text."""

    def past(repo: str, kind: Kind) -> tuple[Past, ...]:
        return tuple(Past(fate=fate, commit=commit) for fate, commit in fates(home, repo, kind))

    return LocalExaminer(
        home, past, lambda run: network_of(home, run), lambda agent: family_of(agent, settings.agents), without,
        observer or _unobserved, lambda run: outputs_of(home, run), lambda repo, kind: word(home, repo, kind),
    )  # fmt: skip


def forge_for(
    settings: Settings, home: Path, token: str, without: Redactor, secrets: Sequence[str], observer: Observer
) -> Forge | None:
    """The forge of this machine; None where the settings name none. token: this process's alone."""
    if settings.forge.kind == "none":
        return None
    return GitHubForge(home, settings.forge, token, without=without, secrets=secrets, observer=observer)


def judges_for(settings: Settings, environ: Mapping[str, str], box: Box | None = None) -> tuple[ModelJudge, ...]:
    """The judges of this machine. environ: where their keys are. box: for those that are CLIs; the machine's by default."""

    def judge(name: str, each: JudgeSettings) -> ModelJudge:
        route = route_of(each)
        if each.kind is JudgeKind.CLAUDE:
            route = replace(planned(settings.agents.claude, environ), allowed=route.allowed)
        gateway = GatewayWay(route, each.model, VENDORS[each.kind].bills, settings.prices, environ)
        way = gateway if route.proxied else DirectWay(route)
        if each.kind is not JudgeKind.CLAUDE:
            return ModelJudge(name, each, way)
        speaker = ClaudeSpeaker(settings.agents.claude, each.model, environ)
        return BoxedJudge(name, each, way, speaker, box or box_for(settings, BoxLevel.NONE), environ)

    return tuple(judge(name, each) for name, each in settings.judges.items())


def outputs_of(home: Path, run: str) -> Iterator[str]:
    """What tools gave a run's agent to read, as far as its session's record says."""
    with contextlib.suppress(FileNotFoundError), (Path(run_dir(str(home), run)) / AGENT).open("rb") as lines:
        yield from tool_outputs(lines)


def purse_for(journal: Journal, settings: Settings, environ: Mapping[str, str] = os.environ) -> LedgerPurse:
    """The purse over a journal. environ: the wardens'."""
    home = journal.home

    def paid(name: str) -> bool:
        try:
            return choose_agent(name, settings.agents, environ).route().paid
        except OvernightError:  # it can't start, or only once something has changed
            return True

    def bill_of(run: str, outcome: RunOutcome | None) -> Bill | None:
        folder = Path(run_dir(str(home), run))
        outcome = outcome or read_outcome(folder)
        if outcome is not None and outcome.bill is not None:
            return outcome.bill
        warden = read_identity(folder)
        if warden is not None and warden.boot != boot_id():
            return None  # the machine went down over it: what it wrote last may not have reached the disk
        return read_bill(folder)

    return LedgerPurse(journal, settings.budget, paid, bill_of)


def network_of(home: Path, run: str) -> tuple[str, ...]:
    """The hosts that a run's box asked for, each once, with what was said to it."""
    events = read_events(Path(run_dir(str(home), run)) / "events.ndjson")
    asked = (
        f"{each.target} {'allowed' if each.allowed else 'refused'}" for each in events if isinstance(each, Reached)
    )
    return tuple(dict.fromkeys(asked))


def has_begun(home: Path, run: str) -> bool:
    """Whether a run was ever started."""
    folder = Path(run_dir(str(home), run))
    return read_identity(folder) is not None or read_outcome(folder) is not None


def admitted(
    house: House, journal: Journal, desk: Desk, settings: Settings, environ: Mapping[str, str] = os.environ
) -> House:
    """The house, whose runs start only where their account allows it. environ: the wardens'."""

    home = journal.home

    def account_of(agent: str) -> str:
        try:
            return choose_agent(agent, settings.agents, environ).route().account(agent)
        except OvernightError:  # it can't start, or only once something has changed
            return agent

    def going(run: str) -> bool:
        folder = Path(run_dir(str(home), run))
        warden = read_identity(folder)
        return warden is not None and is_alive(warden) and read_outcome(folder) is None

    def release(reason: HoldReason, about: str) -> None:
        desk.call("release", {"actor": "daemon", "reason": reason.value, "about": about})

    admission = Admission(journal, settings.limits.window, account_of, going, release)
    return replace(
        house,
        fleet=AdmittedFleet(house.fleet, admission, lambda run: has_begun(home, run)),
        purse=AdmittedPurse(house.purse, admission),
    )


async def door(sock: socket.socket, hosts: tuple[str, ...]) -> Callable[[], Awaitable[None]]:
    """A way out of a check's box, to these hosts only. What it refuses shows in the check's own output."""
    server = await serve(sock, Egress(hosts, lambda _event: None).handle)
    return server.close


async def keep(
    folder: Path,
    spec: RunSpec,
    stop: asyncio.Event,
    environ: Mapping[str, str] = os.environ,
    dress: Callable[[Agent], Agent] = lambda agent: agent,
    *,
    changed: Callable[[Settings], Settings] = lambda settings: settings,
    playback: Callable[[Surroundings, Callable[[str], str]], Playback] | None = None,
) -> RunOutcome:
    """Keep one run, in this process. What keeps it from starting is its outcome.

    dress: changes the agent before it is started, for a rehearsal. changed: the same for the settings. playback: makes
    what answers the model traffic from a recording.
    """
    started = time.time()
    try:
        settings = changed(read_settings(environ))
        if playback is None and spec.fork is not None:
            playback = _forked(folder.parents[3], spec.fork)
        guard = guard_of(spec, folder, settings, environ)
        keeper = Keeper(
            folder,
            spec,
            dress(choose_agent(spec.agent, settings.agents, environ)),
            box_for(settings, spec.box.minimum),
            guard,
            environ,
            stop,
            paused=lambda: pauses.ends(folder.parents[3], spec.repo),
            audit=lambda version, level, without: RunAudit(folder.parents[3], spec, without, version, level),
            secrets=settings.redact.patterns,
            tools=tool_folders(settings.box),
            path=inside_path(settings.box),
            prices=settings.prices,
            tape=_recorder(folder, settings) if settings.cassette.record else None,
            playback=playback,
            ceilings=settings.limits.window,
            lifted=lambda: (lifted_until(folder.parents[3]) or 0.0) > time.time(),
            checkpoint=checkpoints(spec, folder, settings),
        )
    except OvernightError as error:
        launch = FailureClass.LAUNCH
        return RunOutcome(
            run=spec.id, end=End.FAILED, failure=launch, why=str(error), started=started, ended=time.time()
        )
    return replace(await keeper.keep(), questions=guard.questions)


def checkpoints(spec: RunSpec, folder: Path, settings: Settings) -> Callable[[], Awaitable[str]] | None:
    """Puts a run's work tree into a ref, while the run goes on; None where nobody said where the repository is."""
    if not spec.repository:
        return None
    return Checkpoints(folder / "checkpoint", spec, box_for(settings, BoxLevel.NONE)).make


def _forked(state: Path, fork: Fork) -> Callable[[Surroundings, Callable[[str], str]], Playback]:
    """Makes what answers the beginning of a fork. Raises NoCassette, CassetteBroken."""
    cassette, _ = recording(state, fork.run)
    return lambda here, without: Playback(cassette, here, without, until=fork.exchange, live=True)


def recording(state: Path, run: str) -> tuple[Cassette, RunOutcome | None]:
    """The cassette of a run, and how that ended. Raises NoCassette, CassetteBroken."""
    folder = Path(run_dir(str(state), run))
    outcome = read_outcome(folder)
    if outcome is not None and outcome.tape is None and outcome.end is not End.LOST:
        raise NoCassette(run=run, why="nothing was recorded while it ran")
    return read_cassette(folder / entries.NAME, run, outcome.tape if outcome else None), outcome


def _recorder(folder: Path, settings: Settings) -> Callable[[Opened, Callable[[str], str]], Recorder]:
    """Makes what records a run."""
    own = settings.guard.tables(attended=False)[0]
    path = folder / entries.NAME
    return lambda opened, without: Recorder(path, replace(opened, guard=own), without, settings.cassette.most)


class guard_of:  # noqa: N801 (reads as the function that it is)
    """The guard of one run, with its memory of what the run wrote, was refused, and would have been asked about."""

    def __init__(
        self, spec: RunSpec, folder: Path, settings: Settings, environ: Mapping[str, str] = os.environ
    ) -> None:
        """environ: the warden's, whose secrets are kept out of questions."""
        home = str(folder / "home")
        self._filed, self._without = folder / QUESTIONS, Redactor(known_secrets(environ), settings.redact.patterns)
        self._spec = spec
        self._bounds = Bounds(worktree=os.path.realpath(spec.worktree), home=os.path.realpath(home))
        self._layers = Layers(
            user=settings.guard.tables(attended=False), repo=spec.guard, sensitive=spec.sensitive, reach=spec.box.egress
        )
        self._world, self._policy, self._ledger = RunDisk(spec.worktree, home), self._layers.policy(), Ledger()
        self._questions: dict[str, Question] = {}

    @property
    def questions(self) -> tuple[Question, ...]:
        """What a person would have been asked so far, each wish once."""
        return tuple(self._questions.values())

    def __call__(self, call: Call) -> Verdict:
        assessed = assess(call, self._policy, self._bounds, self._world, self._ledger)
        self._ledger = assessed.ledger
        effects = tuple(effect_line(effect) for effect in assessed.effects)
        known = msgspec.structs.asdict(assessed.verdict)
        if assessed.verdict.decision is Decision.ASK:
            known["reason"] += f". {self._file(call, assessed)}"
        return Weighed(**known, effects=effects, fingerprint=assessed.fingerprint)

    def _file(self, call: Call, assessed: Assessment) -> str:
        """Note the question for a person; what the agent is told of it."""
        asked = question(self._spec.task, self._spec.id, f"{call.tool} {gist(call.input)}", assessed, self._layers)
        known = self._questions.get(asked.id)
        if known is None and len(self._questions) >= MOST_QUESTIONS:
            return "Nobody is there to ask, so it is denied. Do the task another way."
        self._questions[asked.id] = replace(known, times=known.times + 1) if known else asked
        if known is None:
            with contextlib.suppress(OSError):  # the run's outcome has them as well
                write_atomically(self._filed, encode(tuple(scrubbed(each, self._without) for each in self.questions)))
        return "Nobody is there to ask, so it is denied, and a person will see the question. Do the task another way."


async def try_checks(root: Path, policy: Policy) -> tuple[CheckResult, ...]:
    """The checks of a policy on the commit that is checked out in root, once, for `init`.

    Raises BoxUnavailable, EmptyRepository and the like.
    """
    settings = read_settings()
    with tempfile.TemporaryDirectory(prefix="overnight-init-") as state:
        house = house_for(settings, Path(state))
        if (git_dir := find_git_dir(root)) is None:
            raise NotARepository(path=root)
        commit = await Git(git_dir).text("rev-parse", "--verify", "HEAD^{commit}")
        task = Task(id="init", repo=Repo(name="init", path=str(root), target=policy.target), title="init", text="init")
        return await house.checks.run(task, commit, policy.checks, "init")
