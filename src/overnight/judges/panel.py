"""`Panel`: asks every judge that the machine has, at the same time, about one bundle of evidence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import Struct

from overnight.durable.ledger import ASKING
from overnight.errors import BadState
from overnight.judge.evidence import Evidence, digest, for_judges
from overnight.judge.verdict import Opinion, Outside, Said
from overnight.missions.codec import decode
from overnight.missions.money import Allowance, Bill, Budget
from overnight.missions.places import evidence_file
from overnight.missions.task import Task
from overnight.ports import Examined, Purse


class Answer(Struct, frozen=True, kw_only=True):
    """What came back from a judge."""

    #: None when it gave no usable answer.
    said: Said | None
    #: Why it gave none.
    why: str = ""
    #: What outside kept it from one, and the seconds after which it may be asked again.
    outside: Outside | None = None
    after: float = 0.0


class Judge(Protocol):
    """One judge. Its process is given the text and nothing else."""

    name: str
    #: Who made its model.
    family: str
    model: str
    #: Billed by use.
    paid: bool

    async def worst(self, text: str) -> Allowance:
        """What its verdict on this text may take at most."""
        ...

    async def ask(self, text: str, allowance: Allowance, told: Callable[[Bill], None]) -> Answer:
        """Its answer to the evidence as text, within the allowance. Never raises for what it does.

        told: hears what it used, the last word being the one that counts; also when this is cancelled.
        """
        ...


class Panel:
    """The port `Judges`. state: the state folder, where evidence is kept."""

    def __init__(self, state: Path, judges: Sequence[Judge]) -> None:
        self._state, self._judges = state, judges

    async def judge(
        self, task: Task, examined: Examined, run: str, purse: Purse, budget: Budget, heard: tuple[Opinion, ...] = ()
    ) -> tuple[Opinion, ...]:
        """See the port. Raises BadState when the evidence is not what its name says."""
        if not self._judges:
            return ()
        evidence = self._evidence(task, examined)
        asking = _Asking(task, examined, run, purse, budget, for_judges(evidence))
        about = (examined.commit, examined.evidence)
        stands = {each.judge: each for each in heard if each.said is not None and (each.commit, each.evidence) == about}
        asked = [judge for judge in self._judges if judge.name not in stands]
        said = await asyncio.gather(*(_Asked(judge, asking).opinion(empty=not evidence.files) for judge in asked))
        found = stands | {each.judge: each for each in said}
        return tuple(found[judge.name] for judge in self._judges)

    def _evidence(self, task: Task, examined: Examined) -> Evidence:
        path = Path(evidence_file(str(self._state), task.id, examined.evidence))
        try:
            evidence = decode(path.read_bytes(), Evidence)
        except (OSError, ValueError) as error:
            raise BadState(
                task=task.id, state="without its evidence", verb="judge", next=f"{path} can't be read: {error}"
            ) from error
        if digest(evidence) != examined.evidence:
            why = f"{path} was changed after it was written; `overnight retry {task.id}` begins anew."
            raise BadState(task=task.id, state="with changed evidence", verb="judge", next=why)
        if evidence.commit != examined.commit:
            why = f"{path} is about {evidence.commit}; `overnight retry {task.id}` begins anew."
            raise BadState(task=task.id, state="with evidence about another commit", verb="judge", next=why)
        return evidence


class _Asking(NamedTuple):
    """What all judges are asked."""

    task: Task
    examined: Examined
    run: str
    purse: Purse
    budget: Budget
    text: str


class _Asked:
    """One judge that is asked."""

    def __init__(self, judge: Judge, asking: _Asking) -> None:
        self._judge, self._asking = judge, asking
        #: None: nothing was used, or nobody knows what.
        self._bill: Bill | None = None
        self._lent = False

    async def opinion(self, *, empty: bool) -> Opinion:
        """What it says, or why it was not asked: that costs nothing then. empty: nothing was changed."""
        began = time.monotonic()
        if empty:
            answer = Answer(said=None, why="not asked: the evidence shows no change")
        elif self._judge.family == self._asking.examined.family:
            answer = Answer(said=None, why=f"not asked: the work is of its own family, {self._judge.family}")
        else:
            answer = await self._paid()
        return Opinion(
            judge=self._judge.name, family=self._judge.family, model=self._judge.model,
            commit=self._asking.examined.commit, evidence=self._asking.examined.evidence, said=answer.said,
            why=answer.why, outside=answer.outside,
            retry_at=time.time() + answer.after if answer.outside is not None else None, cost=_cost(self._bill) if self._lent else 0.0, took=round(time.monotonic() - began, 3),
        )  # fmt: skip

    async def _paid(self) -> Answer:
        task, _, run, purse, budget, text = self._asking
        most = await self._judge.worst(text)
        asking = f"{run}{ASKING}{self._judge.name}"
        lent = await purse.lend(task, asking, most, budget, paid=self._judge.paid)
        if not lent.id:
            return Answer(said=None, why=lent.why)
        self._lent = True
        try:
            return await self._judge.ask(text, most, self._told)
        finally:
            await purse.repay(lent.id, self._bill)

    def _told(self, bill: Bill) -> None:
        self._bill = bill


def _cost(bill: Bill | None) -> float | None:
    """Dollars; what may have been billed for an answer that nobody saw counts. None: not known."""
    if bill is None or bill.cost is None or bill.unknown:
        return None
    return float(bill.cost + bill.pending) if bill.paid else 0.0
