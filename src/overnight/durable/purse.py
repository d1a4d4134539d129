"""The purse: gives each run its allowance before it starts, and takes afterwards what it used.

Both may be asked again after an interruption: a run is in the ledger once, whatever happens in between.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from overnight.durable.journal import Journal
from overnight.durable.ledger import ASKING, SPANS, Ledger, Run, Scope
from overnight.judge.budget import BudgetSettings, Short, Sum, Window, charge, grant, left_of, show_amount
from overnight.judge.budget import loan as can_lend
from overnight.missions.codec import convert
from overnight.missions.hold import Held, Hold, HoldReason
from overnight.missions.money import Allowance, Amount, Bill, Budget, Grant, Lent
from overnight.missions.run import RunOutcome
from overnight.missions.task import Task
from overnight.missions.units import Money

#: The kind of record that holds a limit that a person set.
RECORD = "budget"
#: What is only set aside for others may come back any time.
LOOK_AGAIN_S = 120.0


class LedgerPurse:
    """Port `Purse`, over the journal."""

    def __init__(
        self,
        journal: Journal,
        budget: BudgetSettings,
        paid: Callable[[str], bool],
        bill_of: Callable[[str, RunOutcome | None], Bill | None],
    ) -> None:
        """paid: whether an agent, by name, may be billed by use; True where that is not known. bill_of: a run's bill;
        None when nobody knows what it used."""
        self._journal, self._budget, self._paid, self._bill_of = journal, budget, paid, bill_of
        self._ledger = Ledger(journal)

    async def grant(self, task: Task, run: str, agent: str, budget: Budget) -> Grant:
        """Set aside what the run may spend. budget: the repo's own limits. Raises Held when too little is left."""
        journal, paid = self._journal, self._paid(agent)
        who = Run(id=run, task=task.id, repo=task.repo.name, at=journal.clock.now())
        with journal.tx("grant"):
            known = self._ledger.run(run)
            who = known[0] if known is not None else who
            windows = self._ledger.windows(who, self.scopes(task, budget))
            left = left_of(windows, paid=paid)
            if (before := self._ledger.granted(run)) is not None:
                return Grant(allowance=before, left=left)
            return Grant(allowance=self._give(task, who, windows, paid=paid), left=left)

    async def take_up(self, task: Task, run: str, agent: str, budget: Budget) -> Allowance:
        """What the run may spend, now that it starts: as granted, or anew where that was given back meanwhile."""
        journal, paid = self._journal, self._paid(agent)
        with journal.tx("take up"):
            before = self._ledger.granted(run)
            if before is not None and not self._ledger.resting(run):
                return before
            who = Run(id=run, task=task.id, repo=task.repo.name, at=journal.clock.now())
            return self._give(task, who, self._ledger.windows(who, self.scopes(task, budget)), paid=paid)

    def _give(self, task: Task, who: Run, windows: tuple[Window, ...], *, paid: bool) -> Allowance:
        found = grant(windows, paid=paid)
        if isinstance(found, Short):
            raise Held(self._hold(task, found))
        allowance = msgspec.structs.replace(found, usual=self._ledger.usual(who.repo) if paid else None)
        self._ledger.reserve(who, allowance, windows, paid=paid)
        return allowance

    async def settle(self, run: str, outcome: RunOutcome) -> Sum:
        """Take what the run used, and give back the rest."""
        return self._settle(run, self._bill_of(run, outcome))

    async def release(self, task: Task) -> int:
        """Settle what a task was given and did not say the end of; how many runs."""
        runs = self._ledger.open_runs(task.id)
        for run in runs:
            self._settle(run, None if ASKING in run else self._bill_of(run, None))
        return len(runs)

    async def lend(self, task: Task, asking: str, most: Allowance, budget: Budget, *, paid: bool) -> Lent:
        """Set aside what a judge's verdict may take, whole or not at all."""
        before = self._ledger.loans(asking)
        for loan in before:  # its process ended without a word of what it used
            self._settle(loan, None)
        journal = self._journal
        who = Run(id=f"{asking}/{len(before) + 1}", task=task.id, repo=task.repo.name, at=journal.clock.now())
        with journal.tx("lend"):
            windows = self._ledger.windows(who, self.scopes(task, budget))
            if (short := can_lend(windows, most, paid=paid)) is not None:
                cost = show_amount(Amount(usd=Money(most.usd) if paid and most.usd else None, tokens=most.tokens))
                return Lent(
                    why=f"{short.name} of {show_amount(short.limit)} leaves less than its verdict may take: {cost}"
                )
            self._ledger.reserve(who, most, windows, paid=paid)
        return Lent(id=who.id)

    async def repay(self, loan: str, bill: Bill | None) -> Sum:
        """Take what a judge used, and give back the rest."""
        return self._settle(loan, bill)

    def _settle(self, run: str, bill: Bill | None) -> Sum:
        with self._journal.tx("settle"):
            known, allowance = self._ledger.run(run), self._ledger.granted(run)
            if known is None:
                return Sum()
            who, paid, windows = known
            took = charge(bill, allowance or Allowance(), paid=paid)
            unpriced = bill is None or (bill.paid and (bill.cost is None or bill.unknown > 0))
            if self._ledger.settle(run, took, unpriced=unpriced and paid):
                self._ledger.tell_thresholds(who, self._ledger.now(who, windows))
        return took

    def scopes(self, task: Task, policy: Budget) -> tuple[Scope, ...]:
        """Every set of limits that a task is under. What a person set goes before the settings."""
        own = self._set(None, self._budget)
        if (of_task := self._record(f"task {task.id}")) is not None:
            own = msgspec.structs.replace(own, task=of_task)
            policy = msgspec.structs.replace(policy, task=None)
        each = self._set(task.repo.name, self._budget.repo)
        return (
            Scope(repo=None, budget=own, by="this machine's"),
            Scope(repo=task.repo.name, budget=each, by="this machine's for each repo"),
            Scope(repo=task.repo.name, budget=policy, by="the repo's"),
        )

    def _set(self, repo: str | None, budget: Budget) -> Budget:
        """A budget of the settings, with what a person set instead."""
        prefix = "" if repo is None else f"repo {repo} "
        changed = {span: found for span in SPANS if (found := self._record(prefix + span)) is not None}
        return Budget(**{span: changed.get(span, getattr(budget, span)) for span in SPANS})

    def _record(self, key: str) -> Amount | None:
        value = self._journal.get(RECORD, key)
        return None if value is None else convert(msgspec.json.decode(value), Amount)

    def _hold(self, task: Task, short: Short) -> Hold:
        window, now = short.window, self._journal.clock.now()
        why = f"{window.name} of {show_amount(window.limit)} leaves too little for a run"
        why += ": the rest is set aside for runs that go on" if short.only_reserved else ""
        how = f"`overnight budget set` raises it; or `overnight resume {task.id}`"
        until = now + LOOK_AGAIN_S if short.only_reserved else window.until
        return Hold(reason=HoldReason.ALLOWANCE_SPENT, why=why, releases_on=how, until=until)
