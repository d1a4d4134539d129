"""The breaker of one account: whether its runs are worth starting. What failed outside says nothing about the work.

Closed, runs start. Open, none does. Once its time has come, or a person insists, it is half open: one run tries. As soon
as the model answers that one, the breaker closes; if it fails too, the breaker stays open for longer.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from overnight.judge.limits import backoff
from overnight.missions.limits import Trouble
from overnight.missions.run import End, FailureClass, RunOutcome

#: Failures of the service within this time, and failed launches in a row, at which it opens. One refused login is
#: enough: nobody else's run would fare better with it.
WITHIN_S, VENDOR_N, LAUNCH_N = 900.0, 3, 3
#: Failures that say something about the account and nothing about the work.
OUTSIDE = frozenset({FailureClass.LAUNCH, FailureClass.AUTH, FailureClass.VENDOR})
#: While one run tries, others look again after this time.
LOOK_S = 30.0
_MOST = 20


class State(StrEnum):
    """As with the electrical part: open lets nothing through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Strike(Struct, frozen=True):
    """A run that failed outside."""

    run: str
    failure: FailureClass
    #: Epoch seconds.
    at: float
    #: How often the service failed for it.
    count: int = 1


class Breaker(Struct, frozen=True, kw_only=True):
    """What is remembered of one account."""

    #: The latest failures since it last worked.
    strikes: tuple[Strike, ...] = ()
    #: Why it is open; None while it is closed.
    cause: FailureClass | None = None
    trouble: Trouble | None = None
    #: What exactly failed last.
    why: str = ""
    #: Epoch seconds at which it opened.
    since: float = 0.0
    #: Epoch seconds at which one run may try; None waits for a person.
    until: float | None = None
    #: How often in a row it opened.
    times: int = 0
    #: The run that tries, and since when; empty when none does.
    probe: str = ""
    probed: float = 0.0

    def state(self, now: float) -> State:
        """What it is at an instant."""
        if self.cause is None:
            return State.CLOSED
        return State.HALF_OPEN if self.probe or (self.until is not None and self.until <= now) else State.OPEN


class Probe(Struct, frozen=True, kw_only=True):
    """What is known of the run that tries."""

    #: It goes on, or is about to.
    going: bool
    #: Epoch seconds of the model's last answer to it.
    answered: float | None = None


class Shut(Struct, frozen=True):
    """No run starts. until: epoch seconds of the next look; None waits for a person."""

    until: float | None


def heard(breaker: Breaker, outcome: RunOutcome, account: str) -> Breaker:
    """The breaker once a run has ended. Hearing of the same run again changes nothing."""
    failure = outcome.failure
    refused = failure is FailureClass.LAUNCH and outcome.resumed is not None  # the session, not the account
    if failure is not None and failure in OUTSIDE and not refused:
        return _failed(breaker, outcome, failure, account)
    proof = _proof(outcome)
    if proof is not None and proof > max(breaker.since, _last(breaker)):
        return Breaker()
    return replace(breaker, probe="") if breaker.probe == outcome.run else breaker


def _proof(outcome: RunOutcome) -> float | None:
    """When the run showed that the account works; None when it showed nothing."""
    worked = outcome.end in (End.COMPLETED, End.BLOCKED) or outcome.failure is FailureClass.LIMIT
    return outcome.ended if worked else outcome.contact.answered


def _last(breaker: Breaker) -> float:
    return max((strike.at for strike in breaker.strikes), default=0.0)


def _failed(breaker: Breaker, outcome: RunOutcome, failure: FailureClass, account: str) -> Breaker:
    if any(strike.run == outcome.run for strike in breaker.strikes):
        return breaker
    count = max(1, outcome.contact.strikes) if failure is FailureClass.VENDOR else 1
    strikes = (*breaker.strikes, Strike(outcome.run, failure, outcome.ended, count))[-_MOST:]
    after = replace(breaker, strikes=strikes, probe="" if breaker.probe == outcome.run else breaker.probe)
    if breaker.cause is not None and not _reopens(breaker, outcome):
        return after
    if breaker.cause is None and not _enough(strikes, failure, outcome.ended):
        return after
    times = breaker.times + 1
    until = None if failure is FailureClass.AUTH else outcome.ended + backoff(times, f"{account} {times}")
    return replace(
        after, cause=failure, trouble=outcome.trouble, why=outcome.why, since=outcome.ended, until=until, times=times
    )


def _reopens(breaker: Breaker, outcome: RunOutcome) -> bool:
    """The run that tried failed; or it is half open, and another one shows that it is too early."""
    if breaker.probe:
        return breaker.probe == outcome.run
    return breaker.state(outcome.ended) is State.HALF_OPEN


def _enough(strikes: tuple[Strike, ...], failure: FailureClass, now: float) -> bool:
    if failure is FailureClass.AUTH:
        return True
    if failure is FailureClass.VENDOR:
        recent = (s.count for s in strikes if s.failure is failure and s.at > now - WITHIN_S)
        return sum(recent) >= VENDOR_N
    return len(strikes) >= LAUNCH_N and all(s.failure is failure for s in strikes[-LAUNCH_N:])


def admit(breaker: Breaker, run: str, now: float, probe: Probe, *, insisted: float | None = None) -> Breaker | Shut:
    """Whether a run may start: the breaker as it is then, or Shut. probe: about the run that `breaker.probe` names.

    insisted: epoch seconds at which a person last said that this task is to be tried.
    """
    if breaker.cause is None or breaker.probe == run:
        return breaker
    if breaker.probe and probe.answered is not None and probe.answered > breaker.since:
        return Breaker()
    if breaker.probe and probe.going:
        return Shut(now + LOOK_S)
    wanted = insisted is not None and insisted > max(breaker.since, breaker.probed)
    if wanted or (breaker.until is not None and breaker.until <= now):
        return replace(breaker, probe=run, probed=now)
    return Shut(breaker.until)


def given_back(breaker: Breaker, run: str) -> Breaker:
    """A run that was to try never began: another one may."""
    return replace(breaker, probe="") if breaker.probe == run else breaker
