"""`overnight guard hook`: the guard as a command hook of an interactive Claude Code session.

A process is started for each tool call, so nothing is imported that is not needed, neither click nor rich. It fails
closed: the CLI lets a call through whose hook ends with 1, or with 0 and no decision, so every way out of here is a
decision on standard output or exit code 2.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, cast

#: The CLI blocks the call and gives standard error to the model.
BLOCKED = 2
_EVENT = "PreToolUse"
_CHUNK = 1 << 16


class Unreadable(Exception):
    """What came in is no tool call that waits. Its text says what is wrong with it."""


def run() -> int:
    """Standard input to standard output; the exit code. Never raises."""
    try:
        said = answer(_read(), os.environ)
        sys.stdout.buffer.write(said + b"\n")
        sys.stdout.buffer.flush()
    except BaseException as error:  # a missing module, no memory, Ctrl-C: whatever it is, no call may come of it
        return _block(error)
    return 0


def answer(body: bytes, environ: Mapping[str, str]) -> bytes:
    """The decision on a call, as the CLI reads it.

    Raises Unreadable, Malformed or NoBounds when there is none; SettingsInvalid, PolicyInvalid or GitFailed when it can't
    be known what the policy is.
    """
    import msgspec

    from overnight.cli.guard_place import Disk, bounds_around
    from overnight.cli.guard_policy import layers_at
    from overnight.cli.guard_session import Changed, began
    from overnight.guard.decide import decide
    from overnight.guard.envelope import decode
    from overnight.guard.ledger import Ledger
    from overnight.guard.verdict import Call

    event = decode(body)
    if event.get("hook_event_name") != _EVENT:
        raise Unreadable(f"this hook answers {_EVENT} alone: register it under no other event")
    given = event.get("tool_input")
    if not isinstance(given, dict):
        raise Unreadable("tool_input is missing or no object")
    cwd = _text(event, "cwd")
    if not cwd.startswith("/") or "\0" in cwd:
        raise Unreadable("cwd is no absolute path")
    call = Call(
        id=str(event.get("tool_use_id") or ""),
        tool=_text(event, "tool_name"),
        input=cast("dict[str, Any]", given),
        cwd=os.path.realpath(cwd),
    )
    # The session's folder, wherever the agent has gone since: bounds don't follow a `cd`.
    bounds = bounds_around(environ.get("CLAUDE_PROJECT_DIR") or cwd)
    disk = Disk()
    ledger = Ledger(files=Changed(disk, began(event, environ)))
    layers = layers_at(bounds.worktree, environ, attended=True)
    verdict = decide(call, layers.policy(), bounds, disk, ledger)
    reason = f"Overnight's guard: {verdict.reason} [{verdict.rule}]"
    decision = {
        "hookEventName": _EVENT,
        "permissionDecision": verdict.decision.value,
        "permissionDecisionReason": reason,
    }
    return msgspec.json.encode({"hookSpecificOutput": decision})


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{name} is missing or no text")
    return value


def _read() -> bytes:
    """All of standard input, so that its writer is not cut off; what is far too long is not kept."""
    from overnight.guard.envelope import SIZE

    kept = bytearray()
    while chunk := sys.stdin.buffer.read(_CHUNK):
        if len(kept) <= SIZE:
            kept += chunk
    return bytes(kept)


def _block(error: BaseException) -> int:
    words = "".join(c if c.isprintable() else " " for c in str(error) or type(error).__name__)[:500]
    try:
        os.write(
            2, f"Overnight's guard could not decide this call, so it is blocked: {words}.\n".encode(errors="replace")
        )
    except OSError:
        return BLOCKED
    return BLOCKED
