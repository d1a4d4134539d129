"""What came of a run the second time, beside what came of it the first time."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from overnight.cassette.differences import Difference, differences
from overnight.cassette.playback import Mismatch, Playback
from overnight.cassette.reading import Cassette, Decided
from overnight.cassette.rules import Applied, Rules


class CallDiffers(Struct, frozen=True, kw_only=True):
    """A tool call that is not the one that was recorded."""

    #: The agent's own id of it, which comes with the recorded answer.
    call: str
    tool: str
    why: str
    differences: tuple[Difference, ...] = ()


class Files(Struct, frozen=True, kw_only=True):
    """The files at the end."""

    #: None: nobody can tell, for the reason in `why`.
    same: bool | None
    why: str = ""
    #: git's ids of the trees.
    recorded: str = ""
    now: str = ""
    #: `M PATH` and the like.
    changed: tuple[str, ...] = ()


class Replay(Struct, frozen=True, kw_only=True):
    """What `overnight replay --json` prints."""

    run: str
    #: Everything was as recorded, as far as it went.
    same: bool
    #: How the second run ended.
    end: str
    why: str
    #: Exchanges in the recording, and those that were played.
    recorded: int
    played: tuple[int, ...]
    mismatches: tuple[Mismatch, ...]
    #: Exchanges that the agent did not ask for this time.
    unasked: tuple[int, ...]
    #: Tool calls, and those that differ.
    calls: int
    differing: tuple[CallDiffers, ...]
    files: Files
    rules: tuple[Applied, ...]
    #: What a reader should know besides.
    notes: tuple[str, ...]
    #: The folder with the files, if it was left.
    left: str | None = None


def differing(recorded: Cassette, now: Cassette, *, whole: bool) -> tuple[CallDiffers, ...]:
    """The calls that differ, by the agent's ids. whole: also those that did not come again."""
    old, new = Rules(recorded.opened.around), Rules(now.opened.around)
    again = {decided.call.id: decided for decided in now.calls}
    first = {decided.call.id: decided for decided in recorded.calls}
    found: list[CallDiffers] = []
    for name, decided in first.items():
        other = again.get(name)
        if other is None:
            if whole:
                found.append(CallDiffers(call=name, tool=decided.call.tool, why="it did not come again"))
        elif told := differences(_told(decided, old), _told(other, new)):
            found.append(CallDiffers(call=name, tool=decided.call.tool, why="it is not the same", differences=told))
    found += [
        CallDiffers(call=name, tool=decided.call.tool, why="it did not happen when it was recorded")
        for name, decided in again.items()
        if name not in first
    ]
    return tuple(found)


def _told(decided: Decided, rules: Rules) -> Any:
    """What must be the same of a call. The reason of a verdict is words."""
    told = {"tool": decided.call.tool, "input": dict(decided.call.input), "cwd": decided.call.cwd}
    return {**rules(told), "decision": decided.decision.value, "rule": decided.rule}


def notes(recorded: Cassette, now: Cassette, playback: Playback) -> tuple[str, ...]:
    """What bears on how far the two can be compared."""
    found: list[str] = []
    if recorded.missing:
        found.append(f"the recording is incomplete: {recorded.missing}")
    if recorded.doubt:
        found.append(f"the recording may be incomplete: {recorded.doubt}")
    if recorded.opened.version != now.opened.version:
        found.append(
            f"recorded with version {recorded.opened.version} of the agent, replayed with {now.opened.version}"
        )
    cleaned = [
        str(exchange.n) for exchange in recorded.exchanges if exchange.redacted and exchange.n in playback.played
    ]
    if cleaned:
        found.append(
            f"secrets were taken out of the answers of exchange {', '.join(cleaned)}: the agent heard others then"
        )
    return tuple(found)
