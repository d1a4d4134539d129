"""Value in, value out: one more fact about a run, and what is to be found about it now.

A *pattern* is told to the agent at its threshold and ends the run at twice that, so the telling always comes first.
A *limit* is told at four fifths and ends the run when it is passed. Time is only what the facts say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from overnight.judge.stall.errors import ErrorClass
from overnight.judge.stall.facts import (
    Called,
    Failed,
    Looked,
    Observation,
    Passed,
    Progress,
    Said,
    Scope,
    Ticked,
    Turned,
)
from overnight.judge.stall.findings import Condition, Finding
from overnight.judge.stall.similar import alike, tokens
from overnight.missions.units import show_duration

#: A limit is told of when this share of it is used up.
SOON = 0.8
MINUTE_S = 60.0
#: Files that a step changes at most as a rule, for looks that come after several.
ORDINARY = 10
#: How far back a message is compared, so that two that take turns are found too.
MESSAGES_BACK = 4
#: Kinds of errors that are kept apart; the agent chooses how many there are.
MOST_KINDS = 200
#: Calls that are remembered at most.
MOST_CALLS = 2000


class Errors(Struct, frozen=True):
    """Errors of one kind since something about them changed."""

    error: ErrorClass
    fingerprint: str
    count: int = 1
    #: A file was changed since the last one.
    edited: bool = False


class State(Struct, frozen=True, kw_only=True):
    """What is remembered of a run. Bounded, whatever its agent does."""

    scope: Scope = Scope()
    steps: int = 0
    turns: int = 0
    tokens: int = 0
    #: When the last change to a file was seen. What was done or said before it counts for no repetition, also when the
    #: fact comes later.
    edited_at: float = float("-inf")
    #: Limits that the agent was told of.
    told: frozenset[Condition] = frozenset()
    #: Times of the calls of the last minute.
    minute: tuple[float, ...] = ()
    hurried: bool = False
    #: (time, fingerprint) of the calls since the last edit, within the window.
    calls: tuple[tuple[float, str], ...] = ()
    #: Fingerprints that the agent was told of since the last edit.
    repeated: frozenset[str] = frozenset()
    errors: tuple[Errors, ...] = ()
    said: tuple[tuple[str, ...], ...] = ()
    #: Messages in a row that were like one of those before them.
    alike: int = 0
    #: The best that was ever seen of each figure.
    best: Progress = Progress()
    #: Looks in a row that should have found progress and did not.
    idle: int = 0
    #: Calls since the last further box was ticked.
    unticked: int = 0
    #: Steps that changed too many files.
    floods: int = 0
    #: Most files outside of the task's paths that were seen.
    outside: int = 0


Found = tuple[State, tuple[Finding, ...]]


def begin(scope: Scope) -> State:
    """Nothing has happened yet."""
    return State(scope=scope)


def look(state: State, seen: Observation) -> Found:
    """The state with one more fact, and what it makes to be found."""
    state, found = _fact(state, seen)
    late, timed = _clock(state, seen.at)
    return late, (*found, *timed)


def _fact(state: State, seen: Observation) -> Found:
    match seen:
        case Called():
            return _called(state, seen)
        case Failed():
            return _failed(state, seen)
        case Passed():
            kept = tuple(each for each in state.errors if each.fingerprint != seen.fingerprint)
            state = replace(state, errors=kept)
            return (_edited(state, seen.at) if seen.edited else state), ()
        case Said():
            return _said(state, seen)
        case Turned():
            return _turned(state, seen)
        case Looked():
            return _looked(state, seen)
        case Ticked():
            return state, ()


def _edited(state: State, at: float) -> State:
    """What was tried before may come out otherwise now. Errors begin anew only if they do."""
    errors = tuple(replace(each, edited=True) for each in state.errors)
    return replace(state, calls=(), repeated=frozenset(), said=(), alike=0, errors=errors, edited_at=at)


# -- limits -------------------------------------------------------------------------------------------------


def _limit(state: State, condition: Condition, used: float, most: float, soon: str, over: str) -> Found:
    if used > most:
        return state, (Finding(condition=condition, stop=True, why=over),)
    if used >= SOON * most and condition not in state.told:
        told = replace(state, told=state.told | {condition})
        return told, (Finding(condition=condition, stop=False, why=soon),)
    return state, ()


def _turned(state: State, seen: Turned) -> Found:
    scope = state.scope
    state = replace(state, turns=state.turns + 1, tokens=state.tokens + seen.tokens)
    state, turns = _limit(
        state, Condition.TURNS, state.turns, scope.turns,
        f"{state.turns} of {scope.turns} turns are used", f"it took more than {scope.turns} turns",
    )  # fmt: skip
    most = scope.limits.tokens
    state, spent = _limit(
        state, Condition.TOKENS, state.tokens, most,
        f"{state.tokens:,} of {most:,} tokens are used", f"it used more than {most:,} tokens",
    )  # fmt: skip
    return state, (*turns, *spent)


def _clock(state: State, at: float) -> Found:
    """What is only a matter of time. The wall clock's own end is its keeper's."""
    scope, found = state.scope, list[Finding]()
    if at >= SOON * scope.wall and Condition.WALL not in state.told:
        state = replace(state, told=state.told | {Condition.WALL})
        why = f"{show_duration(at)} of {show_duration(scope.wall)} have passed"
        found.append(Finding(condition=Condition.WALL, stop=False, why=why))
    if scope.estimate is None or at <= scope.estimate:
        return state, tuple(found)
    estimate = show_duration(scope.estimate)
    if Condition.ESTIMATE not in state.told:
        state = replace(state, told=state.told | {Condition.ESTIMATE})
        why = f"the {estimate} that the task was thought to take are over"
        found.append(Finding(condition=Condition.ESTIMATE, stop=False, why=why))
    elif at > scope.estimate * scope.limits.overrun / 100:
        why = f"it took longer than {scope.limits.overrun} % of the {estimate} that the task was thought to take"
        found.append(Finding(condition=Condition.ESTIMATE, stop=True, why=why))
    return state, tuple(found)


# -- patterns -----------------------------------------------------------------------------------------------


def _called(state: State, seen: Called) -> Found:
    limits = state.scope.limits
    state, steps = _limit(
        replace(state, steps=state.steps + 1), Condition.STEPS, state.steps + 1, limits.steps,
        f"{state.steps + 1} of {limits.steps} tool calls are used", f"it made more than {limits.steps} tool calls",
    )  # fmt: skip
    state, pace = _hurry(state, seen)
    state, repeats = _repeat(state, seen)
    state, ticks = _tick(state)
    return state, (*steps, *pace, *repeats, *ticks)


def _tick(state: State) -> Found:
    """Work that goes on and on at one step of the checklist, however much it changes."""
    most = state.scope.calls
    if most is None:
        return state, ()
    state = replace(state, unticked=state.unticked + 1)
    why = f"{state.unticked} tool calls were made since the last box was ticked"
    return state, tuple(_pattern(Condition.TICKS, state.unticked, most, why))


def _hurry(state: State, seen: Called) -> Found:
    most = state.scope.limits.pace
    minute = (*(at for at in state.minute[-2 * most :] if at > seen.at - MINUTE_S), seen.at)
    many, hurried = len(minute), len(minute) > most
    why = f"{many} tool calls were made within a minute"
    found = list[Finding]()
    if many > 2 * most and state.hurried:
        found.append(Finding(condition=Condition.PACE, stop=True, why=why))
    elif hurried and not state.hurried:
        found.append(Finding(condition=Condition.PACE, stop=False, why=why))
    return replace(state, minute=minute, hurried=hurried), tuple(found)


def _repeat(state: State, seen: Called) -> Found:
    if seen.at < state.edited_at:
        return state, ()
    limits = state.scope.limits
    recent = (call for call in state.calls[-MOST_CALLS:] if call[0] > seen.at - limits.window)
    calls = (*recent, (seen.at, seen.fingerprint))
    count = sum(1 for _, fingerprint in calls if fingerprint == seen.fingerprint)
    repeated = state.repeated & {fingerprint for _, fingerprint in calls}
    told = seen.fingerprint in repeated
    state = replace(state, calls=calls, repeated=repeated)
    stop = count > 2 * limits.repeats and told
    if not stop and (count <= limits.repeats or told):
        return state, ()
    why = f"the same call was made {count} times within {show_duration(limits.window)}, and no file changed in between"
    state = replace(state, repeated=repeated | {seen.fingerprint})
    return state, (Finding(condition=Condition.REPEATS, stop=stop, why=why, about=seen.what),)


def _failed(state: State, seen: Failed) -> Found:
    before = next((each for each in state.errors if each.error.kind == seen.error.kind), None)
    others = tuple(each for each in state.errors if each is not before)
    same = before is not None and seen.error.exact and before.error.exact == seen.error.exact
    anew = before is None or (before.edited and not same)
    now = Errors(
        seen.error,
        seen.fingerprint,
        1 if before is None or anew else before.count + 1,
        edited=seen.at < state.edited_at,
    )
    state = replace(state, errors=(*others, now)[-MOST_KINDS:])
    why = f"the same error came {now.count} times"
    return state, tuple(_pattern(Condition.ERRORS, now.count, state.scope.limits.errors, why, seen.error.kind))


def _said(state: State, seen: Said) -> Found:
    words = tokens(seen.text)
    if not words or seen.at < state.edited_at:
        return state, ()
    again = any(alike(words, before) for before in state.said)
    # The first of them is one of those that are alike.
    count = max(2, state.alike + 1) if again else 0
    state = replace(state, said=(*state.said, words)[-MESSAGES_BACK:], alike=count)
    why = f"the last {count} messages say almost the same"
    about = " ".join(seen.text.split())[:160]
    return state, tuple(_pattern(Condition.MESSAGES, count, state.scope.limits.messages, why, about))


def _looked(state: State, seen: Looked) -> Found:
    state = _edited(state, seen.at) if seen.changed else state
    found = list[Finding]()
    for judge in (_idle, _flood, _stray):
        state, more = judge(state, seen)
        found += more
    return state, tuple(found)


def _idle(state: State, seen: Looked) -> Found:
    if (seen.progress.ticks or 0) > (state.best.ticks or 0):
        state = replace(state, unticked=0)
    best, better = _best(state.best, seen.progress)
    if better:
        return replace(state, best=best, idle=0), ()
    state = replace(state, best=best)
    if not seen.counts or seen.progress.size is None:  # what was not seen may be progress
        return state, ()
    state = replace(state, idle=state.idle + 1)
    why = f"{state.idle} looks in a row found no new progress"
    return state, tuple(_pattern(Condition.PROGRESS, state.idle, state.scope.limits.looks, why))


def _best(best: Progress, now: Progress) -> tuple[Progress, bool]:
    """The best of both; whether anything is better now than ever."""
    figures: list[Callable[[Progress], int | None]] = [
        lambda p: p.size,
        lambda p: p.files,
        lambda p: p.ticks,
        lambda p: p.passing,
    ]
    pairs = [(figure(best), figure(now)) for figure in figures]
    size, files, ticks, passing = (max((n for n in pair if n is not None), default=None) for pair in pairs)
    better = any(new is not None and new > (old or 0) for old, new in pairs)
    return Progress(size=size, files=files, ticks=ticks, passing=passing), better


def _flood(state: State, seen: Looked) -> Found:
    if seen.changed <= state.scope.limits.files + ORDINARY * max(0, seen.steps - 1):
        return state, ()
    state = replace(state, floods=state.floods + 1)
    why = f"{seen.changed} files were changed in {'one step' if seen.steps <= 1 else f'{seen.steps} steps'}"
    return state, (Finding(condition=Condition.FILES, stop=state.floods > 1, why=why),)


def _stray(state: State, seen: Looked) -> Found:
    """Files outside of the task's paths: told of, and ended when more come after that."""
    strays = seen.progress.outside
    if len(strays) <= state.outside:
        return state, ()
    first = state.outside == 0
    why = f"{len(strays)} changed files lie outside of the task's paths"
    more = f" and {len(strays) - 3} more" if len(strays) > 3 else ""
    about = ", ".join(strays[:3]) + more
    found = Finding(condition=Condition.SCOPE, stop=not first, why=why, about=about)
    return replace(state, outside=len(strays)), (found,)


def _pattern(condition: Condition, count: int, threshold: int, why: str, about: str = "") -> Iterator[Finding]:
    """Told of when it is reached, which it always is before twice that."""
    if count == threshold or count >= 2 * threshold:
        yield Finding(condition=condition, stop=count >= 2 * threshold, why=why, about=about)
