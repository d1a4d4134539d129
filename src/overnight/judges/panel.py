"""`Panel`: asks every judge that the machine has, at the same time, about one bundle of evidence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from overnight.errors import BadState
from overnight.judge.evidence import Evidence, digest, for_judges
from overnight.judge.verdict import Opinion, Said
from overnight.missions.codec import decode
from overnight.missions.places import evidence_file
from overnight.missions.task import Task
from overnight.ports import Examined


class Answer(Struct, frozen=True, kw_only=True):
    """What came back from a judge."""

    #: None when it gave no usable answer.
    said: Said | None
    #: Why it gave none.
    why: str = ""
    #: Dollars; None is unknown.
    cost: float | None = None


class Judge(Protocol):
    """One judge. Its process is given the text and nothing else."""

    name: str
    #: Who made its model.
    family: str
    model: str

    async def ask(self, text: str, label: str) -> Answer:
        """Its answer to the evidence as text. label names the request for the record. Never raises for what it does."""
        ...


class Panel:
    """The port `Judges`. state: the state folder, where evidence is kept."""

    def __init__(self, state: Path, judges: Sequence[Judge]) -> None:
        self._state, self._judges = state, judges

    async def judge(self, task: Task, examined: Examined, run: str) -> tuple[Opinion, ...]:
        """See the port. Raises BadState when the evidence is not what its name says."""
        if not self._judges:
            return ()
        text = for_judges(self._evidence(task, examined))
        asked = (self._ask(judge, text, examined, f"{run} {judge.name}") for judge in self._judges)
        return tuple(await asyncio.gather(*asked))

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
        return evidence

    @staticmethod
    async def _ask(judge: Judge, text: str, examined: Examined, label: str) -> Opinion:
        began = time.monotonic()
        answer = await judge.ask(text, label)
        return Opinion(
            judge=judge.name,
            family=judge.family,
            model=judge.model,
            commit=examined.commit,
            evidence=examined.evidence,
            said=answer.said,
            why=answer.why,
            cost=answer.cost,
            took=round(time.monotonic() - began, 3),
        )
