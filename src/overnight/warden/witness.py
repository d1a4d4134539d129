"""Every call that runs was decided before, and let through: whatever shows otherwise ends the run.

Two accounts of a run are held against each other: what the hooks were asked, and what the agent's own output and its
hooks tell of results. A hook's request is answered before its call runs, so a result never comes first.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.run import RunOutcome
from overnight.ports import AgentEvent


class Audit(Protocol):
    """Where it goes on record. Each method returns once it is on disk, and raises OSError when it can't be."""

    def called(self, call: Call, shown: str, verdict: Verdict, *, again: bool = False) -> None: ...

    def resulted(self, call: str, tool: str, output: Any, *, failed: bool, ms: float | None) -> None: ...

    def unseen(self, call: str, tool: str, why: str) -> None: ...

    def close(self, outcome: RunOutcome | None = None) -> None: ...


class Witness:
    """Compares the accounts of one run, and keeps the audit."""

    def __init__(self, audit: Audit | None = None) -> None:
        #: None for an agent without hooks, whose calls nobody sees.
        self.audit = audit
        #: Hashes of ids: their length is the agent's choice.
        self._asked, self._allowed = set[int](), set[int]()
        #: Why the run must end; None while all is well.
        self.broken: str | None = None
        #: Set with it.
        self.alarm = asyncio.Event()

    def knows(self, call: str) -> bool:
        """Whether a call of this id was asked about before."""
        return hash(call) in self._asked

    def decided(self, call: Call, shown: str, verdict: Verdict) -> None:
        """Before a verdict takes effect. shown: the input in one text. Raises OSError: then it must not."""
        again = self.knows(call.id)
        self._asked.add(hash(call.id))
        if self.audit is not None:
            self.audit.called(call, shown, verdict, again=again)
        if verdict.decision is Decision.ALLOW:
            self._allowed.add(hash(call.id))

    def resulted(self, call: str, tool: str, output: Any, *, failed: bool, ms: float | None) -> None:
        """A hook tells that a call is over. Raises OSError."""
        self._ran(call, tool)
        if self.audit is not None:
            self.audit.resulted(call, tool, output, failed=failed, ms=ms)

    def heard(self, event: AgentEvent) -> None:
        """Something in the agent's output. A result says whether its call was refused; if not, it ran."""
        if event.kind == "tool-result" and not event.refused and self.audit is not None:
            self._ran(event.call, event.tool)

    def close(self, outcome: RunOutcome | None = None) -> None:
        """The end of the run. What can't be put on record any more is not."""
        if self.audit is not None:
            with contextlib.suppress(OSError):
                self.audit.close(outcome)

    def _ran(self, call: str, tool: str) -> None:
        if hash(call) in self._allowed or self.broken is not None:
            return
        what = f"{tool or 'a tool'} ({call})" if call else tool or "a tool"
        how = "ran though it was refused" if self.knows(call) else "ran and nobody had decided it"
        self.broken = f"{what} {how}: this agent's hooks can't be relied on"
        self.alarm.set()
        if self.audit is not None:
            with contextlib.suppress(OSError):  # the run's outcome says it as well
                self.audit.unseen(call, tool, self.broken)
