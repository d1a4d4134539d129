"""What differs between two runs of the same thing and means nothing, by named rules. Nothing else is overlooked."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, cast

from msgspec import Struct

from overnight.cassette.entries import Surroundings
from overnight.cassette.packing import Change, changed

#: The header in which the Claude CLI names its session.
SESSION = "x-claude-code-session-id"
#: Rule -> what it overlooks.
RULES = {
    "worktree": "the path of the work tree, also as the agent's CLI makes a folder's name of it",
    "home": "the path of the run's HOME, and of the files that its launch was given",
    "branch": "the task's own branch",
    "session": "the id of the agent's session",
    "device": "the id that the agent's CLI gives to its HOME",
    "context": "the token that shows whether a session was told again what must not be lost",
    "sub-agent": "ids of sub-agents, which the CLI draws by lot",
    "duration": "how many milliseconds a sub-agent took",
    "at once": "the order in which results came in of calls that were made at once",
    "date": "the day, where the CLI says it",
    "ports": "ports of the warden's listeners",
    "uid": "the user's number in the name of the CLI's temporary folder",
}


class Applied(Struct, frozen=True, kw_only=True):
    """A rule that was needed."""

    rule: str
    what: str
    #: Places in the requests where it put the same word for what may differ.
    times: int


class Rules:
    """Puts words such as `<worktree>` for what may differ. Counts what it did."""

    def __init__(self, around: Surroundings, session: str = "") -> None:
        self.used: Counter[str] = Counter()
        self._rules = [(name, re.compile(pattern), word) for name, pattern, word in _patterns(around, session)]

    def __call__(self, value: Any) -> Any:
        """A JSON value without what may differ."""
        return self._ordered(changed(value, self._text))

    def _ordered(self, value: Any) -> Any:
        """With the results of calls that were made at once in the order of the calls' names."""
        if isinstance(value, dict):
            return {key: self._ordered(part) for key, part in cast("dict[str, Any]", value).items()}
        if not isinstance(value, list):
            return value
        parts = [self._ordered(part) for part in cast("list[Any]", value)]
        places = [at for at, part in enumerate(parts) if _result(part) is not None]
        right = sorted((parts[at] for at in places), key=lambda part: str(_result(part)))
        if right == [parts[at] for at in places]:
            return parts
        self.used["at once"] += 1
        for at, part in zip(places, right, strict=True):
            # Where a cache ends is said of a place, not of a result.
            cached = {key: held for key, held in parts[at].items() if key == "cache_control"}
            parts[at] = {key: held for key, held in part.items() if key != "cache_control"} | cached
        return parts

    def _text(self, text: str) -> str:
        for name, pattern, word in self._rules:
            text, times = pattern.subn(word, text)
            if times:
                self.used[name] += times
        return text


def _result(part: Any) -> str | None:
    """The call that a part of a message is the result of; None when it is of none."""
    held = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
    return held.get("tool_use_id") if held.get("type") == "tool_result" else None


def applied(used: Counter[str]) -> tuple[Applied, ...]:
    """The rules that were needed, for a report."""
    return tuple(Applied(rule=name, what=RULES[name], times=used[name]) for name in RULES if used[name])


def _patterns(around: Surroundings, session: str) -> list[tuple[str, str, str]]:
    found = [
        ("worktree", _path(around.worktree), "<worktree>"),
        ("worktree", re.escape(slug(around.worktree)), "<worktree>"),
        ("home", _path(around.home), "<home>"),
        ("home", _path(around.given), "<given>"),
        ("device", r'(?<="device_id":")[0-9a-f]{64}(?=")', "<device>"),
        ("context", r"(?<=overnight-context )[0-9a-f]{16}\b", "<token>"),
        ("sub-agent", r"\ba[0-9a-f]{16}\b", "<agent>"),
        ("duration", r"(?<=duration_ms: )\d+(?=</usage>)", "<ms>"),
        ("date", r"(?<=Today's date is )\d{4}-\d\d-\d\d", "<day>"),
        ("uid", r"(?<=/tmp/claude-)\d+(?=/)", "<uid>"),
    ]
    if around.branch:
        found.append(("branch", _path(around.branch), "<branch>"))
    if session:
        found.append(("session", re.escape(session), "<session>"))
    if around.ports:
        ports = "|".join(map(str, around.ports))
        found.append(("ports", rf"(?<=127\.0\.0\.1:)(?:{ports})(?!\d)", "<port>"))
    return found


def slug(path: str) -> str:
    """A path as the Claude CLI makes a folder's name of it."""
    return re.sub(r"[^A-Za-z0-9]", "-", path)


def _path(path: str) -> str:
    return re.escape(path) + r"(?![A-Za-z0-9_-])"


def moved(there: Surroundings, here: Surroundings) -> Change:
    """Puts the paths of one run for those of another, in what a model said."""
    pairs = [
        (_path(there.worktree), here.worktree), (_path(there.home), here.home), (_path(there.given), here.given),
        (re.escape(slug(there.worktree)), slug(here.worktree)),
    ]  # fmt: skip
    if there.branch and here.branch:
        pairs.append((_path(there.branch), here.branch))
    # In one go, so that a new path that holds an old one is not moved again; the longest first.
    pairs.sort(key=lambda pair: len(pair[0]), reverse=True)
    pattern = re.compile("|".join(f"({path})" for path, _ in pairs))
    return lambda text: pattern.sub(lambda match: pairs[(match.lastindex or 1) - 1][1], text)
