"""The agent's tools as effects: what Read, Write, Edit, Bash, WebFetch and MCP tools would do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

from overnight.guard.content import runnable
from overnight.guard.effects import Infra, Net, Read, Write
from overnight.guard.interpret import interpreter
from overnight.guard.judgement import Finding, denied
from overnight.guard.machine import Machine, Run
from overnight.guard.models.net import host_of
from overnight.guard.paths import absolute, under, writable
from overnight.guard.policy import GuardPolicy, strictest
from overnight.guard.state import first_state
from overnight.guard.text import SHOWN, Text, known
from overnight.guard.unwrap.python import python_effects
from overnight.guard.verdict import Call, Decision

#: Tool -> fields that name files.
READS = {
    "Read": ("file_path",),
    "NotebookRead": ("notebook_path",),
    "Glob": ("path",),
    "Grep": ("path",),
    "LS": ("path",),
    "View": ("file_path",),
}
WRITES = {
    "Write": ("file_path",),
    "Edit": ("file_path",),
    "MultiEdit": ("file_path",),
    "NotebookEdit": ("notebook_path",),
    "Create": ("file_path",),
}
#: Tools that touch neither files nor hosts: their own work comes back as calls of other tools.
HARMLESS = frozenset({
    "Task", "Agent", "TodoWrite", "TodoRead", "ExitPlanMode", "EnterPlanMode", "BashOutput", "TaskOutput", "KillShell", "KillBash", "TaskStop", "Skill", "SlashCommand",
    "AskUserQuestion", "ToolSearch", "TaskCreate", "TaskUpdate", "TaskList", "TaskGet", "StructuredOutput", "ListMcpResourcesTool", "ReadMcpResourceTool", "LSP", "Sleep",
    "EnterWorktree-",
})  # fmt: skip
SHELLS = frozenset({"Bash", "Shell", "run_shell_command", "shell", "PowerShell", "Monitor"})
#: Where reading outside the work tree is everyday: programs, libraries, system settings.
_READABLE = (
    "/usr",
    "/opt",
    "/lib",
    "/lib64",
    "/etc",
    "/nix",
    "/bin",
    "/sbin",
    "/proc",
    "/sys",
    "/var/lib",
    "/var/log",
    "/snap",
    "/System",
    "/Library",
    "/Applications",
)


def fields(tool: str) -> tuple[str, ...]:
    """The fields of a tool's input that are code or paths, where no control character belongs."""
    return (
        *READS.get(tool, ()),
        *WRITES.get(tool, ()),
        *(("command",) if tool in SHELLS else ()),
        "url",
        "pattern",
        "glob",
    )


def effects_of(call: Call, policy: GuardPolicy, machine: Machine) -> Finding | None:
    """Put the call's effects into the machine; a finding when the tool itself decides."""
    by_table = _strict_table(call.tool, policy)
    if by_table is not None and by_table.decision is Decision.DENY:
        return by_table
    # A table that asks about a tool does not make what the call would do any milder.
    found = _effects(call, policy, machine)
    return found if by_table is None or (found is not None and found.decision is Decision.DENY) else by_table


def _effects(call: Call, policy: GuardPolicy, machine: Machine) -> Finding | None:
    tool = call.tool
    if tool in SHELLS:
        return _shell(call, machine)
    if tool in READS or tool in WRITES:
        return _file(call, machine)
    if tool == "WebFetch":
        return _fetch(call, machine)
    if tool == "WebSearch":
        machine.emit(
            Net(
                host="search",
                url=str(call.input.get("query", ""))[:200],
                words=(str(call.input.get("query", ""))[:120],),
            )
        )
        return None
    if tool.startswith("mcp__"):
        return _mcp(tool, call.input, policy, machine)
    if tool in policy.tools or tool in HARMLESS:
        return None
    reason = f"{tool} is not a tool that is known"
    return Finding(decision=Decision.ASK, rule="tool.unknown", reason=reason, words=(tool,), knob="tools", subject=tool)


def _strict_table(tool: str, policy: GuardPolicy) -> Finding | None:
    """What the tables of tools say against a tool, of whatever kind it is."""
    mine, theirs = policy.tools.get(tool, Decision.ALLOW), policy.repo.tools.get(tool, Decision.ALLOW)
    decision = strictest(mine, theirs)
    if decision is Decision.ALLOW:
        return None
    knob = "tools" if decision is mine else "repo.tools"
    return Finding(
        decision=decision, rule="tool.policy", reason=f"the policy on {tool}", words=(tool,), knob=knob, subject=tool
    )


def _shell(call: Call, machine: Machine) -> Finding | None:
    command = call.input.get("command")
    if not isinstance(command, str):
        return denied("envelope", "the command is missing or not text", ())
    state = first_state(call.cwd, machine.bounds)
    out = interpreter(machine).code(command, state, "command")
    for code, then in machine.traps[:32]:
        machine.code(code, then.copy(), "trap")
    if out.taint & SHOWN:
        machine.emit(Infra(service="the environment", verb="secret", words=(command[:120],)))
    return None


def _named(call: Call, name: str, machine: Machine) -> str | None:
    value = call.input.get(name)
    if not isinstance(value, str) or not value:
        return None
    home = machine.bounds.home
    return absolute(home + value[1:] if value == "~" or value.startswith("~/") else value, call.cwd)


def _file(call: Call, machine: Machine) -> Finding | None:
    writes = call.tool in WRITES
    for name in (WRITES if writes else READS)[call.tool]:
        path = _named(call, name, machine)
        if path is None:
            if call.input.get(name) is not None and not isinstance(call.input.get(name), str):
                return denied("envelope", f"{name} is not text", ())
            if writes or call.tool == "Read":
                return denied("envelope", f"{name} is missing", ())
            path = call.cwd
        if writes:
            _written(call, path, machine)
            continue
        words = (call.tool, path)
        machine.emit(Read(path=path, listing=call.tool in ("Glob", "LS"), words=words))
        for pattern in ("pattern" if call.tool == "Glob" else "glob",):
            value = call.input.get(pattern)
            if isinstance(value, str) and value:
                machine.emit(Read(path=absolute(value, path), listing=call.tool == "Glob", words=(call.tool, value)))
        real = machine.world.realpath(path)
        for place in (path, real):
            if not (writable(place, machine.bounds) or any(under(place, folder) for folder in _READABLE)):
                return denied("path.outside", f"{place} lies outside the work tree", words)
    return None


def _written(call: Call, path: str, machine: Machine) -> None:
    words = (call.tool, path)
    text = _after(call, path, machine)
    machine.emit(Write(path=path, text=text, words=words))
    if text is not None:
        machine.written[path] = Text(text)


def written_code(call: Call, machine: Machine) -> None:
    """Look at what the call writes and other programs run by themselves: lifecycle scripts, conftest.py, setup.py."""
    for path, text in list(machine.written.items()):
        if not known(text):
            continue
        for what, code in runnable(path, text):
            state = first_state(call.cwd, machine.bounds)
            shell = interpreter(machine)
            if what.endswith(".py"):
                python_effects(Run(machine, state, [Text("python"), Text(path)], None), Text(code, text.taint))
            else:
                shell.code(Text(code, text.taint), state, what)


def _after(call: Call, path: str, machine: Machine) -> str | None:
    """The file's whole text after the call, when it can be known."""
    given = call.input
    if call.tool in ("Write", "Create"):
        value = given.get("content", given.get("file_text"))
        return value if isinstance(value, str) else None
    if call.tool == "NotebookEdit":
        value = given.get("new_source")
        return value if isinstance(value, str) else None
    state = first_state(call.cwd, machine.bounds)
    text = str(machine.content(path, state))
    edits: Any = given.get("edits") if call.tool == "MultiEdit" else [given]
    if not isinstance(edits, list):
        return None
    for each in cast("list[Any]", edits):
        if not isinstance(each, Mapping):
            return None
        edit = cast("Mapping[str, Any]", each)
        old, new = edit.get("old_string"), edit.get("new_string")
        if not isinstance(old, str) or not isinstance(new, str):
            return None
        if old not in text:
            return new
        text = text.replace(old, new) if edit.get("replace_all") else text.replace(old, new, 1)
    return text


def _fetch(call: Call, machine: Machine) -> Finding | None:
    url = call.input.get("url")
    if not isinstance(url, str) or not re.match(r"https?://", url):
        return denied("envelope", "the address is missing or not http", ())
    sends = "secret" if re.search(r"(?i)[?&](?:\w*(?:token|secret|passw|api_?key)\w*)=[^&]{12,}", url) else "none"
    machine.emit(Net(host=host_of(url), url=url, sends=sends, words=("WebFetch", url[:200])))
    return None


def _mcp(tool: str, given: Mapping[str, Any], policy: GuardPolicy, machine: Machine) -> Finding | None:
    fits, mine = _longest(tool, policy.mcp, policy.mcp_default)
    _, theirs = _longest(tool, policy.repo.mcp, policy.repo.mcp_default)
    decision = strictest(mine, theirs)
    for key, value in given.items():
        if isinstance(value, str) and re.search(r"path|file|uri|dir", key, re.IGNORECASE):
            machine.emit(
                Read(
                    path=absolute(value.removeprefix("file://"), machine.bounds.worktree),
                    certain=False,
                    words=(tool, value[:120]),
                )
            )
        if isinstance(value, str) and re.search(r"command|script|code|cmd", key, re.IGNORECASE):
            state = first_state(machine.bounds.worktree, machine.bounds)
            interpreter(machine).code(value, state, tool)
    reason = f"the policy on {tool}" if fits else f"{tool} is not in the policy's table of MCP tools"
    if decision is Decision.ALLOW:
        return None
    knob = "mcp" if decision is mine else "repo.mcp"
    return Finding(decision=decision, rule="tool.mcp", reason=reason, words=(tool,), knob=knob, subject=tool)


def _longest(tool: str, table: Mapping[str, Decision], default: Decision) -> tuple[bool, Decision]:
    """Whether a glob of the table fits, and what the longest that does says, else the default."""
    fits = [glob for glob in table if fnmatchcase(tool, glob)]
    return bool(fits), table[max(fits, key=len)] if fits else default
