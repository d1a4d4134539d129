"""What a run sees of its model's service: windows, failures, answers. Kept in `contact.json` while the run goes on, so
that others need not find out the same again; part of the outcome at its end.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from overnight.judge.limits import Ceilings, merged, over
from overnight.missions.codec import encode
from overnight.missions.limits import Contact, Trouble, Window
from overnight.missions.places import CONTACT
from overnight.missions.run import End, FailureClass, RunOutcome
from overnight.ports import AgentEvent
from overnight.usage.ratelimits import retry_at, windows_of
from overnight.warden.http import Request

#: Failures of the service further back than this say nothing any more.
STRIKES_S = 900.0
#: So often it is written that the model still answers, and looked up whether a ceiling was lifted.
AGAIN_S = 15.0
#: The service is there, and asks to be asked later.
_BUSY = frozenset({429, 503, 529})


class Contacts:
    """One run's. Made when its route is known, before its agent starts."""

    def __init__(
        self,
        folder: Path,
        account: str,
        ceilings: Ceilings,
        lifted: Callable[[], bool],
        *,
        proxied: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        """account: whose limits these are. lifted: whether a person lets runs go beyond the ceilings for now. proxied:
        model traffic passes here, so nothing that is said inside of limits and failures is needed, or believed."""
        self._path, self._ceilings, self._lifted, self._proxied, self._now = (
            folder / CONTACT,
            ceilings,
            lifted,
            proxied,
            now,
        )
        self.seen = self._kept = Contact(account=account)
        self._strikes: deque[float] = deque(maxlen=1000)
        self._lifted_at, self._is_lifted = 0.0, False
        self._away = False
        #: The window that the run was ended for.
        self._full: Window | None = None

    # -- hearing --------------------------------------------------------------------------------------------

    def tap(self, _request: Request) -> _Exchange:
        """A tap for the gateway."""
        return _Exchange(self)

    def heard(self, event: AgentEvent) -> None:
        """Something in the agent's output."""
        changes: dict[str, object] = {}
        if event.session and self.seen.session is None:
            changes["session"] = event.session
        if event.windows and not self._proxied:
            now = self._now()
            said = (replace(window, source="stream", seen=now) for window in event.windows)
            changes["windows"] = merged(self.seen.windows, said)
        if event.turn:
            changes["answered"] = self._now()
            self._away = False
            if (
                not self._proxied
            ):  # what passes here is known before the agent prints it, which may come after a refusal
                changes["retry_at"] = None
        if event.struck and not self._proxied:
            self._struck()
        self._know(**changes)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of an answer of the model's API."""
        now, said = self._now(), tuple(windows_of(headers, self._now()))
        self._away = False
        if said:
            self._know(windows=merged(self.seen.windows, said))
        if status in _BUSY:
            self._know(retry_at=retry_at(headers, now))
        elif status < 400:
            self._know(retry_at=None)
        if status >= 500:
            self._struck()

    def unanswered(self) -> None:
        """Nothing is there, or it broke off before an answer."""
        self._away = True
        self._struck()

    def _struck(self) -> None:
        now = self._now()
        self._strikes.append(now)
        while self._strikes[0] <= now - STRIKES_S:
            self._strikes.popleft()
        self._know(strikes=len(self._strikes))

    def _know(self, **changes: object) -> None:
        if not changes:
            return
        self.seen = replace(self.seen, **changes)
        still = replace(self.seen, answered=None) == replace(self._kept, answered=None)
        if still and (self.seen.answered or 0) < (self._kept.answered or 0) + AGAIN_S:
            return
        self._kept = self.seen
        part = self._path.with_suffix(".part")
        with contextlib.suppress(OSError):  # the outcome says it too
            part.write_bytes(encode(self.seen))
            part.replace(self._path)

    # -- what comes of it -----------------------------------------------------------------------------------

    def over(self) -> tuple[End, FailureClass | None, str] | None:
        """Why the run has to end so that a person keeps their share of a window."""
        now = self._now()
        full = over(self.seen.windows, self._ceilings, now)
        if full is None or self._excused(now):
            return None
        self._full = full
        why = f"the {full.name} window of {self.seen.account} is {full.used or 0:.0%} used"
        return End.STOPPED_BY_LIMIT, FailureClass.LIMIT, f"{why}, and runs go on below {self._bound(full)} % only"

    def _bound(self, window: Window) -> int | None:
        return self._ceilings.of(window).stop_above

    def _excused(self, now: float) -> bool:
        if now >= self._lifted_at + AGAIN_S:
            self._lifted_at, self._is_lifted = now, self._lifted()
        return self._is_lifted

    def closed(self, outcome: RunOutcome) -> RunOutcome:
        """The outcome with what was seen, and with the time at which the cause of its end passes."""
        trouble, until = outcome.trouble, outcome.until
        if self._full is not None and outcome.end is End.STOPPED_BY_LIMIT and outcome.failure is FailureClass.LIMIT:
            trouble, until = Trouble.CEILING, self._full.resets
        elif outcome.failure is FailureClass.VENDOR and self._away:
            trouble = Trouble.NETWORK
        session = outcome.session or self.seen.session
        return replace(outcome, trouble=trouble, until=until, session=session, contact=self.seen)


class _Exchange:
    """One exchange, as it passes the gateway."""

    def __init__(self, contacts: Contacts) -> None:
        self._contacts, self._begun = contacts, False

    def begun(self, status: int, headers: Mapping[str, str]) -> None:
        self._begun = True
        self._contacts.answered(status, headers)

    def feed(self, piece: bytes) -> None:
        """What it says is no business of this."""

    def over(self, *, whole: bool, left: bool) -> None:  # noqa: ARG002
        if not (self._begun or left):
            self._contacts.unanswered()
