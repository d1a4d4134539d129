"""Going on with an agent's own session, after something outside interrupted it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from overnight.missions.run import Attempt, End, FailureClass

_OUTSIDE = frozenset(
    {FailureClass.LIMIT, FailureClass.VENDOR, FailureClass.AUTH, FailureClass.MONEY, FailureClass.MACHINE}
)


class Resume(Struct, frozen=True, kw_only=True):
    """The session that a run goes on with."""

    #: By the agent's own name for it.
    session: str
    #: The run that had it last: its home holds it.
    run: str
    #: What the agent is told when its session goes on.
    prompt: str


def resumption(attempts: Sequence[Attempt]) -> Resume | None:
    """The session of the last run, if something outside ended it once the model had answered; None begins anew.

    A run that was ended for what it did, or whose session could not be gone on with, is followed by a fresh one.
    """
    if not attempts:
        return None
    outcome = attempts[-1].outcome
    outside = outcome.failure in _OUTSIDE or (outcome.failure is None and outcome.end is End.STOPPED)
    session = outcome.session or outcome.contact.session
    if not outside or session is None or not (outcome.turns or outcome.contact.answered):
        return None
    return Resume(session=session, run=outcome.run, prompt=_words(outcome.why))


def _words(why: str) -> str:
    return (
        "You were interrupted, by nothing that you did:\n\n"
        + "\n".join(f"> {line}" for line in why.splitlines())
        + "\n\nTool calls that were under way were ended. The folder is as you left it; what you had committed is on the "
        "current branch. Look at where you are (`git status`, `git log`), then go on with the task as before. All rules hold.\n"
    )
