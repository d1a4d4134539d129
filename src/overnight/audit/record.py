"""The audit of one run, as its warden writes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overnight.audit.chained import ChainedFile, Link
from overnight.audit.entries import Called, Closed, Opened, Resulted, RunClosed, RunOpened, Unseen
from overnight.audit.places import HEADS, Places, day_at
from overnight.guard.redact import sanitised
from overnight.guard.verdict import Call, Verdict, Weighed
from overnight.missions.run import RunOutcome, RunSpec

#: Bytes of one run's file. The agent chooses how often it calls; when this is used up, nothing passes any more.
MOST_AUDIT = 256 << 20
#: Characters of an input, and of every other text, that are kept.
MOST_INPUT, MOST_TEXT = 4000, 1000
#: Effects of a call that are kept.
MOST_EFFECTS = 30


class RunAudit:
    """Writes `STATE/audit/DAY/RUN.ndjson` and says in the day's heads that it is there. Every line is on disk when its
    method returns; raises OSError when it can't be.
    """

    def __init__(
        self, state: Path, spec: RunSpec, clean: Callable[[str], str], version: str = "", box: str = ""
    ) -> None:
        """clean: takes secrets out of a text. The file must not be there yet: a run has one warden, once."""
        self._places, self._day, self._spec, self._clean = Places(state), day_at(), spec, clean
        self._calls = 0
        self._places.make(self._day)
        name = f"{self._day}/{spec.id}"
        self._file = ChainedFile(self._places.path(name), name, new=True, most=MOST_AUDIT)
        try:
            self._file.append(Opened(run=spec.id, task=spec.task, agent=spec.agent, version=version, box=box))
            self._tell(RunOpened(run=spec.id))
        except BaseException:
            self._file.close()
            raise

    def called(self, call: Call, shown: str, verdict: Verdict, *, again: bool = False) -> None:
        """Before a decision takes effect. shown: the call's input in one text."""
        whole = canonical(call.input)
        effects, fingerprint = (verdict.effects, verdict.fingerprint) if isinstance(verdict, Weighed) else ((), "")
        fit = self._fit
        self._file.append(
            Called(
                run=self._spec.id, agent=self._spec.agent, call=fit(call.id, 200), tool=fit(call.tool, 200),
                input=fit(shown, MOST_INPUT), digest=hashlib.sha256(whole).hexdigest(), size=len(whole),
                decision=verdict.decision, rule=verdict.rule, reason=fit(verdict.reason),
                effects=tuple(fit(effect) for effect in effects[:MOST_EFFECTS]), fingerprint=fit(fingerprint), again=again,
            )
        )  # fmt: skip
        self._calls += 1

    def resulted(self, call: str, tool: str, output: Any, *, failed: bool, ms: float | None) -> None:
        """After a call. output: what the CLI tells of it, None for nothing; only its digest is kept."""
        whole = b"" if output is None else canonical(output)
        digest = hashlib.sha256(whole).hexdigest() if whole else ""
        self._file.append(
            Resulted(
                call=self._fit(call, 200), tool=self._fit(tool, 200), failed=failed, digest=digest, size=len(whole), ms=ms
            )
        )  # fmt: skip

    def unseen(self, call: str, tool: str, why: str) -> None:
        """A call ran that should not have."""
        self._file.append(Unseen(call=self._fit(call, 200), tool=self._fit(tool, 200), why=self._fit(why)), last=True)

    def close(self, outcome: RunOutcome | None = None) -> None:
        """The end of the run, and of this; without an outcome only the file is let go. A second call does nothing."""
        try:
            if outcome is not None and self._file.open:
                failure = outcome.failure.value if outcome.failure else None
                head = self._file.append(Closed(end=outcome.end.value, failure=failure, calls=self._calls), last=True)
                self._tell(RunClosed(run=self._spec.id, head=head))
        finally:
            self._file.close()

    def _tell(self, entry: Link) -> None:
        """In the day's heads, which every warden of that day writes."""
        tell(self._places, self._day, entry)

    def _fit(self, text: str, most: int = MOST_TEXT) -> str:
        kept = self._clean(sanitised(text))
        return kept if len(kept) <= most else f"{kept[:most]} … ({len(kept) - most} characters left out)"


def tell(places: Places, day: str, entry: Link) -> None:
    """Append to a day's heads, whoever else does."""
    name = f"{day}/{HEADS}"
    places.make(day)
    file = ChainedFile(places.path(name), name)
    try:
        with file.alone():
            file.append(entry)
    finally:
        file.close()


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no blanks: equal values have equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
