"""The entry: a call, a policy, the bounds and the world go in; a verdict comes out. Always one, never none."""

from __future__ import annotations

import re
from typing import Any

from overnight.guard.ledger import Ledger
from overnight.guard.paths import absolute, matches, under, writable
from overnight.guard.policy import NOT_SECRETS, PROTECTED, SECRETS, GuardPolicy
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.guard.world import Bounds, World

_READERS = {"Read": "file_path", "Glob": "path", "Grep": "path", "LS": "path"}
_WRITERS = {"Write": "file_path", "Edit": "file_path", "MultiEdit": "file_path", "NotebookEdit": "notebook_path"}
_HARMFUL = (
    (r"\bgit\b[^;&|\n]*\bpush\b", "git.push"),
    (r"\brm\b[^;&|\n]*\s-\w*[rR]\w*\b[^;&|\n]*\s(/|~|\$)", "path.delete"),
    (r"\|\s*(sudo\s+)?(ba|z|da|k)?sh\b", "exec.piped"),
    (r"\b(mkfs|dd|shred)\b", "device"),
    (r"\bgit\b[^;&|\n]*\breset\b[^;&|\n]*--hard", "git.discard"),
)


def decide(call: Call, policy: GuardPolicy, bounds: Bounds, world: World, ledger: Ledger) -> Verdict:
    """The verdict on one tool call."""
    del policy, ledger
    if call.tool in _READERS:
        return _path(call.input.get(_READERS[call.tool]) or call.cwd, call, bounds, world, write=False)
    if call.tool in _WRITERS:
        return _path(call.input.get(_WRITERS[call.tool]), call, bounds, world, write=True)
    if call.tool == "Bash":
        return _command(str(call.input.get("command", "")))
    if call.tool.startswith("mcp__"):
        return Verdict(decision=Decision.ASK, rule="tool.mcp", reason=f"{call.tool} is not in the policy's table")
    return Verdict(decision=Decision.ALLOW, rule="tool.harmless", reason="it touches neither files nor hosts")


def _path(named: Any, call: Call, bounds: Bounds, world: World, *, write: bool) -> Verdict:
    if not isinstance(named, str) or "\0" in named:
        return Verdict(decision=Decision.DENY, rule="envelope", reason="the path is missing or not text")
    home = re.sub(r"^~(?=/|$)", bounds.home, named)
    path = world.realpath(absolute(home, call.cwd))
    if matches(path, SECRETS) and not matches(path, NOT_SECRETS):
        return Verdict(decision=Decision.DENY, rule="path.secret", reason=f"{path} holds secrets", words=(named,))
    if write and matches(path, PROTECTED):
        return Verdict(decision=Decision.DENY, rule="path.protected", reason=f"{path} is protected", words=(named,))
    readable = not write and any(under(path, place) for place in ("/usr", "/etc", "/opt", "/lib", "/nix"))
    if not readable and not writable(path, bounds):
        return Verdict(decision=Decision.DENY, rule="path.outside", reason=f"{path} is outside", words=(named,))
    return Verdict(decision=Decision.ALLOW, rule="path.inside", reason=f"{path} is within bounds", words=(named,))


def _command(command: str) -> Verdict:
    for pattern, rule in _HARMFUL:
        found = re.search(pattern, command)
        if found:
            words = tuple(found.group(0).split())
            return Verdict(decision=Decision.DENY, rule=rule, reason="this would do harm", words=words)
    return Verdict(decision=Decision.ALLOW, rule="command.harmless", reason="nothing harmful was found")
