"""Admission: no run starts whose account is shut, used up, or kept free for a person; what each run saw is remembered.

Two ports are wrapped, so that nothing is set aside for a run that may not start: the purse asks, the fleet asks again
and takes the try that a half-open breaker gives. A run that has begun is none of its business: it is attached to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from overnight.durable.journal import Journal
from overnight.durable.limits import LimitBook, read_contact
from overnight.judge.breaker import Breaker, Probe, Shut, admit, given_back, heard
from overnight.judge.budget import Sum
from overnight.judge.holds import kept_free, nobody_knows, shut, used_up
from overnight.judge.limits import Ceilings, crowded, merged, rejecting, unknown
from overnight.missions.hold import UNTIL_IT_WORKS, Held, HoldReason
from overnight.missions.limits import Window
from overnight.missions.money import Allowance, Bill, Budget, Grant, Lent
from overnight.missions.run import RunOutcome, RunSpec
from overnight.missions.task import Task
from overnight.ports import Fleet, Purse


class Release(Protocol):
    """Lets tasks go on that are held."""

    def __call__(self, reason: HoldReason, about: str) -> None:
        """Those with this reason whose hold is about this account."""
        ...


class Admission:
    """Decides for one journal. Used from its thread only."""

    def __init__(
        self,
        journal: Journal,
        ceilings: Ceilings,
        account_of: Callable[[str], str],
        going: Callable[[str], bool],
        release: Release,
    ) -> None:
        """account_of: whose limits an agent shares now, by the agent's name; the name alone where nobody can say. going: whether a run's warden lives."""
        self._journal, self._ceilings, self._account_of = journal, ceilings, account_of
        self._going, self._release, self._book = going, release, LimitBook(journal)
        #: Runs that this process waits for -> their accounts.
        self._under_way: dict[str, str] = {}

    # -- before ---------------------------------------------------------------------------------------------

    def check(self, task: str, run: str, agent: str, model: str | None = None) -> Breaker:
        """The account's breaker as it is once this run starts. Raises Held when it may not."""
        account, now = self._account_of(agent), self._journal.clock.now()
        breaker = self._breaker(account, task, run, now)
        windows = self._windows(account)
        used = rejecting(windows, now, model)
        if used is not None and (self._book.insisted(task) or 0.0) <= used.seen:
            raise Held(used_up(used, account, now, run))
        if account.endswith(" direct") and not self._book.lifted():
            self._keep_free(windows, account, run, now)
        return breaker

    def _breaker(self, account: str, task: str, run: str, now: float) -> Breaker:
        before = self._book.breaker(account)
        probe = Probe(going=False)
        if before.probe:
            seen = read_contact(self._journal.home, before.probe)
            going = before.probe in self._under_way or self._going(before.probe)
            probe = Probe(going=going, answered=seen.answered)
        after = admit(before, run, now, probe, insisted=self._book.insisted(task))
        if isinstance(after, Shut):
            raise Held(shut(before, after, account, task, run))
        if before.cause is not None and after.cause is None:
            self._change(account, before, after)
        return after

    def _keep_free(self, windows: tuple[Window, ...], account: str, run: str, now: float) -> None:
        if (full := crowded(windows, self._ceilings, now)) is not None:
            raise Held(kept_free(full, self._ceilings, account, now, run))
        if not unknown(windows, self._ceilings, now):
            return
        scouts = sorted(other for other, whose in self._under_way.items() if whose == account and other != run)
        if scouts:
            raise Held(nobody_knows(account, scouts[0], now, run))

    def _windows(self, account: str) -> tuple[Window, ...]:
        """As the journal has them, and as runs under way have seen them since."""
        found = self._book.windows(account)
        for run, whose in self._under_way.items():
            if whose == account:
                found = merged(found, read_contact(self._journal.home, run).windows)
        return found

    # -- while and after ------------------------------------------------------------------------------------

    def begin(self, spec: RunSpec) -> None:
        """Admit a run that starts now. Raises Held."""
        account = self._account_of(spec.agent)
        with self._journal.tx("admit"):
            self._change(account, self._book.breaker(account), self.check(spec.task, spec.id, spec.agent, spec.model))
        self._under_way[spec.id] = account

    def attach(self, spec: RunSpec) -> None:
        """A run that has begun goes on."""
        self._under_way[spec.id] = self._account_of(spec.agent)

    def gone(self, spec: RunSpec, *, begun: bool) -> None:
        """This process waits for the run no more. begun: it was started."""
        account = self._under_way.pop(spec.id, None)
        if account is not None and not begun:
            before = self._book.breaker(account)
            self._change(account, before, given_back(before, spec.id))

    def ended(self, spec: RunSpec, outcome: RunOutcome) -> RunOutcome:
        """Remember what a run saw and how it ended, and let go on what that releases; the outcome with its account."""
        account = outcome.contact.account or self._account_of(spec.agent)
        with self._journal.tx("limits"):
            self._see(account, outcome)
            before = self._book.breaker(account)
            self._change(account, before, heard(before, outcome, account))
        return replace(outcome, contact=replace(outcome.contact, account=account))

    def _see(self, account: str, outcome: RunOutcome) -> None:
        now, before = self._journal.clock.now(), self._book.windows(account)
        after = self._book.see(account, outcome.contact.windows)
        was, found = rejecting(before, now, None), rejecting(after, now, None)
        if found is not None and found != was:
            why = f"the {found.name} window of {account} is used up"
            self._journal.tell("limit.reached", why=why, account=account, window=found.name, until=found.resets)
        if was is not None and found is None:  # it began anew before its time
            self._journal.tell("limit.passed", why=f"the {was.name} window of {account}", account=account)
            self._release(HoldReason.LIMIT_REACHED, account)

    def _change(self, account: str, before: Breaker, after: Breaker) -> None:
        if after == before:
            return
        self._book.set_breaker(account, after)
        if after.probe and after.probe != before.probe:
            self._journal.tell("breaker.half-open", why=f"{after.probe} tries {account}", account=account)
        if after.cause is None and before.cause is not None:
            self._journal.tell("breaker.closed", why=f"{account} works again", account=account)
            for reason in UNTIL_IT_WORKS:
                for about in (account, account.partition(" ")[0]):
                    self._release(reason, about)
        elif after.times > before.times:
            self._journal.tell(
                "breaker.opened", why=f"{account}: {after.why}", account=account, cause=after.cause, until=after.until
            )


class AdmittedFleet:
    """Port `Fleet` before another one."""

    def __init__(self, fleet: Fleet, admission: Admission, begun: Callable[[str], bool]) -> None:
        """begun: whether a run was ever started."""
        self._fleet, self._admission, self._begun = fleet, admission, begun

    async def run(self, spec: RunSpec) -> RunOutcome:
        """As the port says. Raises Held when the run may not start."""
        if self._begun(spec.id):
            self._admission.attach(spec)
        else:
            self._admission.begin(spec)
        try:
            outcome = await self._fleet.run(spec)
        except BaseException:
            self._admission.gone(spec, begun=self._begun(spec.id))
            raise
        outcome = self._admission.ended(spec, outcome)
        self._admission.gone(spec, begun=True)
        return outcome

    async def stop(self, run: str, why: str) -> None:
        await self._fleet.stop(run, why)


class AdmittedPurse:
    """Port `Purse` before another one."""

    def __init__(self, purse: Purse, admission: Admission) -> None:
        self._purse, self._admission = purse, admission

    async def grant(self, task: Task, run: str, agent: str, budget: Budget) -> Grant:
        """As the port says. Raises Held when the run may not start now."""
        self._admission.check(task.id, run, agent)
        return await self._purse.grant(task, run, agent, budget)

    async def take_up(self, task: Task, run: str, agent: str, budget: Budget) -> Allowance:
        """As the port says. Whether the run may start is asked by the fleet: one that has begun may always go on."""
        return await self._purse.take_up(task, run, agent, budget)

    async def settle(self, run: str, outcome: RunOutcome) -> Sum:
        return await self._purse.settle(run, outcome)

    async def release(self, task: Task) -> int:
        return await self._purse.release(task)

    async def lend(self, task: Task, asking: str, most: Allowance, budget: Budget, *, paid: bool) -> Lent:
        """As the port says. Judges have keys and servers of their own: no account of an agent's is asked."""
        return await self._purse.lend(task, asking, most, budget, paid=paid)

    async def repay(self, loan: str, bill: Bill | None) -> Sum:
        return await self._purse.repay(loan, bill)
