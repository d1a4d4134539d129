"""A recorded run once more: the real agent in a fresh box at the same commit, its model played from the cassette."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from overnight.cassette import entries
from overnight.cassette.comparing import Files, Replay, differing, notes
from overnight.cassette.entries import Surroundings
from overnight.cassette.playback import Playback
from overnight.cassette.reading import Cassette, read
from overnight.cassette.rules import moved
from overnight.config import Settings, read_settings
from overnight.config.guard import GuardSettings
from overnight.errors import BadInput, NoCassette
from overnight.guard.decide import assess
from overnight.guard.ledger import Ledger
from overnight.guard.policy import Layers
from overnight.guard.verdict import Decision
from overnight.guard.world import Bounds
from overnight.landing.again import Place, changed_files, files_after, files_before, place, same_but
from overnight.missions.codec import decode
from overnight.missions.guarding import GuardTable
from overnight.missions.places import run_dir
from overnight.missions.run import End, RunOutcome, RunSpec
from overnight.warden.hooks import gist
from overnight.warden.world import RunDisk
from overnight.wiring import box_for, keep, recording

#: Nothing listens here: what is not in the recording goes nowhere.
_NOWHERE = "http://127.0.0.1:9"


class Recording(Struct, frozen=True):
    """A run that can be replayed."""

    folder: Path
    spec: RunSpec
    cassette: Cassette
    outcome: RunOutcome | None


def recorded(state: Path, run: str) -> Recording:
    """The recording of a run. Raises NoCassette, CassetteBroken."""
    folder = Path(run_dir(str(state), run))
    try:
        spec = decode((folder / "spec.json").read_bytes(), RunSpec)
    except FileNotFoundError:
        raise NoCassette(run=run, why="there is no such run, or its folder was removed") from None
    return Recording(folder, spec, *recording(state, run))


async def again(
    what: Recording,
    folder: Path,
    target: str,
    *,
    until: int | None = None,
    go_on: bool = False,
    environ: Mapping[str, str] = os.environ,
    stop: asyncio.Event | None = None,
) -> Replay:
    """Run it again below a folder of its own, which is left to the caller. target: the branch that its task was for.

    until: the exchange that is not answered any more. go_on: also after a request that does not fit. Raises BadInput
    where it can't be run again, BoxUnavailable, AgentUnavailable and the like in the outcome.
    """
    check_run(what)
    check_exchange(what.cassette, until)
    where = await place(folder, what.spec, target)
    played: list[Playback] = []

    def playback(here: Surroundings, without: Callable[[str], str]) -> Playback:
        ends = what.outcome is None or what.outcome.end is not End.COMPLETED
        played.append(Playback(what.cassette, here, without, until=until, go_on=go_on, ends=ends))
        return played[0]

    outcome = await keep(
        where.folder, where.spec, stop or asyncio.Event(), environ,
        changed=lambda settings: _as_then(settings, what.cassette), playback=playback,
    )  # fmt: skip
    if not played:
        raise BadInput(problem=f"{what.spec.id} could not be started again: {outcome.why}")
    now = read(where.folder / entries.NAME, what.spec.id, outcome.tape)
    files = await _files(what, where, environ, compare=until is None)
    whole = until is None
    calls = differing(what.cassette, now, whole=whole)
    deck = played[0]
    same = not (
        deck.mismatches or calls or (whole and (deck.unasked or files.same is not True or what.cassette.missing))
    )
    return Replay(
        run=what.spec.id, same=same, end=outcome.end.value, why=outcome.why, recorded=len(what.cassette.exchanges),
        played=tuple(deck.played), mismatches=tuple(deck.mismatches), unasked=deck.unasked if whole else (),
        calls=len(now.calls), differing=calls, files=files, rules=deck.rules, notes=notes(what.cassette, now, deck),
        left=where.spec.worktree,
    )  # fmt: skip


def check_run(what: Recording) -> None:
    """Raises BadInput for a run that can't begin again as it did."""
    if what.spec.resume is not None:
        problem = f"{what.spec.id} went on with a session of a run before it, whose files are not recorded"
        raise BadInput(problem=f"{problem}: replay a run that began its own.")
    if what.cassette.opened.agent != "claude":
        problem = f"{what.spec.id} is of the agent {what.cassette.opened.agent!r}, which can't be replayed yet"
        raise BadInput(problem=f"{problem}: only `claude` can.")


def check_exchange(cassette: Cassette, n: int | None) -> None:
    """Raises BadInput for an exchange that is not in it."""
    last = max((exchange.n for exchange in cassette.exchanges), default=0)
    if n is not None and not 1 <= n <= last:
        raise BadInput(problem=f"The recording has exchanges 1 to {last}, so there is none of number {n}.")


def _as_then(settings: Settings, cassette: Cassette) -> Settings:
    """The settings with the guard's policy of then, and a model that is nowhere."""
    then = cassette.opened.guard
    guard = GuardSettings(**{name: getattr(then, name) for name in GuardTable.__struct_fields__})
    claude = replace(settings.agents.claude, route="local", local=_NOWHERE)
    return replace(
        settings, guard=guard, agents=replace(settings.agents, claude=claude),
        cassette=replace(settings.cassette, record=True),
    )  # fmt: skip


def _around(where: Place) -> Surroundings:
    """What is different this time, as far as it may be in files."""
    folder, spec = where.folder, where.spec
    return Surroundings(
        worktree=spec.worktree, home=str(folder / "home"), given=str(folder / "given"), branch=f"overnight/{spec.task}"
    )


async def _files(what: Recording, where: Place, environ: Mapping[str, str], *, compare: bool) -> Files:
    if not compare:
        return Files(same=None, why="it was to go no further")
    before = await files_before(where, what.folder)
    if not before:
        return Files(same=None, why="the recorded run's files were never collected, or are gone")
    after = await files_after(where, box_for(read_settings(environ), what.spec.box.minimum))
    if after is None:
        return Files(same=None, why="the files could not be read out of the box", recorded=before[-1])
    if after in before:
        return Files(same=True, recorded=after, now=after)
    here = _around(where)
    for each in before:
        if await same_but(where, each, after, moved(what.cassette.opened.around, here)):
            why = "but for the path of the work tree, which files hold"
            return Files(same=True, why=why, recorded=each, now=after)
    changed = await changed_files(where, before[-1], after)
    return Files(same=False, recorded=before[-1], now=after, changed=changed)


# -- another policy -----------------------------------------------------------------------------------------


class Reconsidered(Struct, frozen=True, kw_only=True):
    """A recorded call under another policy."""

    call: str
    tool: str
    #: The command or path.
    what: str
    then: Decision
    rule_then: str
    now: Decision
    rule_now: str
    reason: str
    #: The guard, asked again with the policy of then, does not say what it said then: it sees the files of the commit
    #: that the run began from, and what the run wrote with its tools, not what its programs wrote.
    unsure: bool

    @property
    def changed(self) -> bool:
        """Whether the policy makes a difference."""
        return (self.then is Decision.ALLOW) != (self.now is Decision.ALLOW)


async def reconsider(
    what: Recording, folder: Path, target: str, *, user: GuardTable | None = None, repo: tuple[GuardTable, tuple[str, ...]] | None = None
) -> tuple[Reconsidered, ...]:  # fmt: skip
    """Every recorded call, in order, under another policy: the machine's or the repo's, the other one as it was."""
    where = await place(folder, what.spec, target)
    spec, own = what.spec, what.cassette.opened.guard
    then = Layers(user=(own,), repo=spec.guard, sensitive=spec.sensitive, reach=spec.box.egress)
    table, sensitive = repo if repo is not None else (spec.guard, spec.sensitive)
    now = Layers(user=(user if user is not None else own,), repo=table, sensitive=sensitive, reach=spec.box.egress)
    world = _Moved(what.cassette.opened.around, where)
    old, new = _decisions(what, then, world), _decisions(what, now, world)
    return tuple(
        Reconsidered(
            call=decided.call.id, tool=decided.call.tool, what=gist(decided.call.input), then=decided.decision,
            rule_then=decided.rule, now=after[0], rule_now=after[1], reason=after[2],
            unsure=before[0] is not decided.decision,
        )
        for decided, before, after in zip(what.cassette.calls, old, new, strict=True)
    )  # fmt: skip


def _decisions(what: Recording, layers: Layers, world: _Moved) -> list[tuple[Decision, str, str]]:
    around, policy, ledger = what.cassette.opened.around, layers.policy(), Ledger()
    bounds = Bounds(worktree=os.path.realpath(around.worktree), home=os.path.realpath(around.home))
    found: list[tuple[Decision, str, str]] = []
    for decided in what.cassette.calls:
        assessed = assess(decided.call, policy, bounds, world, ledger)
        ledger = assessed.ledger
        found.append((assessed.verdict.decision, assessed.verdict.rule, assessed.verdict.reason))
    return found


class _Moved:
    """The guard's `World` for paths of a run whose files lie elsewhere now."""

    def __init__(self, around: Surroundings, where: Place) -> None:
        home = str(where.folder / "home")
        self._disk = RunDisk(where.spec.worktree, home)
        there = (os.path.realpath(around.worktree), os.path.realpath(around.home))
        here = (os.path.realpath(where.spec.worktree), os.path.realpath(home))
        self._pairs = tuple(zip(there, here, strict=True))

    def realpath(self, path: str) -> str:
        real = self._disk.realpath(self._here(path))
        for there, here in self._pairs:
            if real == here or real.startswith(here + "/"):
                return there + real[len(here) :]
        return real

    def read(self, path: str) -> str | None:
        return self._disk.read(self._here(path))

    def _here(self, path: str) -> str:
        for there, here in self._pairs:
            if path == there or path.startswith(there + "/"):
                return here + path[len(there) :]
        return path
