"""The calls on record, for a person: each with its decision and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from overnight.audit.chained import Line, decoded
from overnight.audit.entries import Called, Resulted, RunLine, Unseen
from overnight.audit.places import Places, run_of, task_of
from overnight.audit.verify import lines_of
from overnight.guard.verdict import Decision


class CallView(Struct, frozen=True, kw_only=True):
    """One tool call as `overnight audit show --json` prints it."""

    run: str
    #: Epoch seconds at which it was decided.
    at: float
    #: Name of the file below the audit's folder, and the line in it.
    file: str
    line: int
    #: The agent's own id of the call.
    call: str
    tool: str
    #: Without secrets, cut.
    input: str
    #: SHA-256 of the whole input, hex.
    digest: str
    #: `allow`, `deny`, `ask`; null for a call that ran without any decision.
    decision: Decision | None
    rule: str
    reason: str
    #: What the guard found that it would do.
    effects: tuple[str, ...] = ()
    #: Whether it failed; null when no result of it is known.
    failed: bool | None = None
    #: Bytes of its output; null when no result of it is known.
    size: int | None = None
    #: How long it took.
    ms: float | None = None


def calls(state: Path, name: str) -> list[CallView]:
    """Every call on record in one run's file, in order. Lines that are not whole are left out: see `verify`."""
    found: list[CallView] = []
    open_calls: dict[str, int] = {}
    for line in lines_of(state, name):
        match cast("RunLine | None", decoded(line, RunLine)):
            case Called() as called:
                open_calls[called.call] = len(found)
                found.append(_called(name, line, called))
            case Resulted() as result if result.call in open_calls:
                n = open_calls.pop(result.call)
                found[n] = _with_result(found[n], result)
            case Unseen() as unseen:
                found.append(_unseen(name, line, unseen))
            case _:
                pass
    return found


def files_of(state: Path, wanted: str | None) -> list[str]:
    """The files of a run, of a task's runs, or of all; empty when there are none. wanted: an id, or its beginning."""
    names = Places(state).runs()
    if wanted is None:
        return names
    exact = [name for name in names if wanted in (run_of(name), task_of(name))]
    return exact or [name for name in names if run_of(name).startswith(wanted)]


def denied(views: Iterable[CallView]) -> Iterator[CallView]:
    """Those that were not let through, and those that ran all the same."""
    return (view for view in views if view.decision is not Decision.ALLOW)


def _called(name: str, line: Line, called: Called) -> CallView:
    return CallView(
        run=called.run, at=called.at, file=name, line=line.number, call=called.call, tool=called.tool,
        input=called.input, digest=called.digest, decision=called.decision, rule=called.rule, reason=called.reason,
        effects=called.effects,
    )  # fmt: skip


def _with_result(view: CallView, result: Resulted) -> CallView:
    return msgspec.structs.replace(view, failed=result.failed, size=result.size, ms=result.ms)


def _unseen(name: str, line: Line, unseen: Unseen) -> CallView:
    return CallView(
        run=run_of(name), at=unseen.at, file=name, line=line.number, call=unseen.call, tool=unseen.tool, input="",
        digest="", decision=None, rule="unseen", reason=unseen.why,
    )  # fmt: skip
