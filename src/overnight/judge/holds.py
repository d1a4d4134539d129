"""Holds for what comes from outside: a vendor's limit, an outage, a refused login. Each says what releases it, when the
task is tried again by itself, and what happens then."""

from __future__ import annotations

from collections.abc import Sequence

from overnight.judge.breaker import LAUNCH_N, Breaker, Shut
from overnight.judge.limits import Ceilings, backoff, wake
from overnight.judge.verdict import Opinion, Outside
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.limits import Trouble, Window
from overnight.missions.run import FailureClass, RunOutcome

_LIFT = "`overnight limits lift`"
_LIMIT = {
    Trouble.WINDOW: "the window begins anew",
    Trouble.CEILING: f"the window begins anew, or {_LIFT}",
}


def hold_for(outcome: RunOutcome, row: int, task: str) -> Hold | None:
    """The hold of a task whose last run failed outside, `row` times in a row; None for every other end."""
    contact, resume = outcome.contact, f"`overnight resume {task}`"
    until: float | None
    match outcome.failure:
        case FailureClass.LIMIT:
            reason, until = HoldReason.LIMIT_REACHED, outcome.until
            how = _LIMIT.get(outcome.trouble or Trouble.RATE, "the vendor takes requests again")
            until = wake(until if until is not None else contact.retry_at, outcome.ended, row, outcome.run)
        case FailureClass.VENDOR:
            lost = outcome.trouble is Trouble.NETWORK
            reason = HoldReason.NETWORK_LOST if lost else HoldReason.VENDOR_OUTAGE
            how = "the vendor can be reached again" if lost else "the vendor answers again"
            later = outcome.ended + backoff(row, outcome.run)
            asked = contact.retry_at
            until = later if asked is None or asked <= later else wake(asked, later, row, outcome.run)
        case FailureClass.AUTH:
            reason, until = HoldReason.AUTH_EXPIRED, None
            how = f"log in again, then {resume}; every other task on {contact.account or 'this login'} goes on with it"
        case FailureClass.MONEY:
            # A budget of a day or a month begins anew by itself; a task's, or the vendor's credit, does not.
            reason, until = HoldReason.ALLOWANCE_SPENT, outcome.until
            how = f"`overnight budget set` or new credit, then {resume}"
        case FailureClass.LAUNCH:
            # What fails once may pass by itself, and nobody is there at night; what fails again and again does not.
            reason, until = HoldReason.BOX_UNAVAILABLE, outcome.ended + backoff(row, outcome.run)
            if row >= LAUNCH_N:
                reason, until = HoldReason.BREAKER_OPEN, None
            how = f"mend what it says, then {resume}"
        case _:
            return None
    return Hold(
        reason=reason, why=outcome.why, releases_on=how, until=until, then=_then(outcome), about=contact.account
    )


def _then(outcome: RunOutcome) -> str:
    if outcome.failure is FailureClass.LAUNCH:
        return "another run begins"
    return "its session goes on" if outcome.session else "another run begins from its work tree"


def shut(breaker: Breaker, found: Shut, account: str, task: str, run: str) -> Hold:
    """The hold of a task that is not even tried, since its account's breaker is open."""
    match breaker.cause, breaker.trouble:
        case FailureClass.AUTH, _:
            reason = HoldReason.AUTH_EXPIRED
        case FailureClass.VENDOR, Trouble.NETWORK:
            reason = HoldReason.NETWORK_LOST
        case FailureClass.VENDOR, _:
            reason = HoldReason.VENDOR_OUTAGE
        case _:
            reason = HoldReason.BREAKER_OPEN
    trying = f"; {breaker.probe} tries it" if breaker.probe else ""
    how = f"a run on {account} works again; `overnight resume {task}` tries with this one"
    until = None if found.until is None else wake(found.until, found.until - 1.0, 1, run)
    return Hold(
        reason=reason,
        why=f"{account} does not work: {breaker.why}{trying}",
        releases_on=how,
        until=until,
        then="it is tried, if no other is",
        about=account,
    )


def used_up(window: Window, account: str, now: float, run: str) -> Hold:
    """The hold of a task that is not even tried, since its account's window is used up."""
    return Hold(
        reason=HoldReason.LIMIT_REACHED,
        why=f"the {window.name} window of {account} is used up",
        releases_on="the window begins anew",
        until=wake(window.resets, now, 1, run),
        then="a run begins",
        about=account,
    )


def kept_free(window: Window, ceilings: Ceilings, account: str, now: float, run: str) -> Hold:
    """The hold of a task that is not tried, so that a person keeps their share of a window."""
    bound = ceilings.of(window).start_below
    return Hold(
        reason=HoldReason.LIMIT_REACHED,
        why=f"the {window.name} window of {account} is {window.used or 0:.0%} used, and runs start below {bound} % only",
        releases_on=_LIMIT[Trouble.CEILING],
        until=wake(window.resets, now, 1, run),
        then="a run begins",
        about=account,
    )


def nobody_knows(account: str, scout: str, now: float, run: str) -> Hold:
    """The hold of a task that waits until another run has seen how much of the windows is used."""
    return Hold(
        reason=HoldReason.LIMIT_REACHED,
        why=f"nobody knows yet how much of the windows of {account} is used; {scout} finds out",
        releases_on=f"it has found out, or {_LIFT}",
        until=now + backoff(2, run),
        then="a run begins, if there is room",
        about=account,
    )


_OUTSIDE = {
    Outside.LIMIT: HoldReason.LIMIT_REACHED,
    Outside.VENDOR: HoldReason.VENDOR_OUTAGE,
    Outside.NETWORK: HoldReason.NETWORK_LOST,
}


def judges_away(missing: Sequence[Opinion], row: int, task: str) -> Hold:
    """The hold of a result whose judges could not be reached, `row` times in a row. missing: at least one of them."""
    first = min(missing, key=lambda each: list(_OUTSIDE).index(each.outside or Outside.NETWORK))
    seen = max(each.retry_at or 0.0 for each in missing)
    return Hold(
        reason=_OUTSIDE[first.outside or Outside.NETWORK],
        why="; ".join(f"judge {each.judge} gave no verdict: {each.why}" for each in missing),
        releases_on=f"a later try, by itself; `overnight resume {task}` tries now",
        until=seen + backoff(row, f"{task} {first.commit}"),
        then="whoever gave no verdict is asked again",
    )
