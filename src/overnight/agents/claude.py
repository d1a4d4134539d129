"""The agent `claude`: Claude Code, unmodified, run as a machine.

Everything is closed by construction: the session denies whatever nobody grants, only the hook grants, and a
hook that fails blocks. The repository's own settings and hooks are not read.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from overnight.agents import claude_outcome, loose
from overnight.agents.claude_binary import find, unavailable
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.claude_stream import Stream
from overnight.agents.surroundings import extended, surroundings
from overnight.agents.words import blocked
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.context import MOST_PARTS
from overnight.missions.run import RunOutcome, RunSpec
from overnight.ports import AgentEvent, Launch, Moment, Place, Route
from overnight.usage.protocols import ANTHROPIC

LOGIN_VARIABLE = "CLAUDE_CODE_OAUTH_TOKEN"
_SETTINGS = "claude-settings.json"
_SESSIONS = uuid.UUID("8f1d3f3e-52a5-4a40-9b0e-0c6f5a6f7d11")
#: Seconds that a hook may take; then the call is blocked.
_HOOK_LIMIT = 60
#: Hooks that tell and ask nothing. Any other hook request is treated as a call that waits.
_TELLING = ("PostToolUse", "PostToolUseFailure", "Stop", "PreCompact", "PostCompact")
#: Those that we are waited for about, and seconds that they may take.
_MOMENTS = {"PreCompact": "compacting", "PostCompact": "compacted"}
_MOMENT_LIMIT = 300
#: Files with what a session is told at its start, and after a cut. The CLI hands on only the beginning of a longer one.
_START, _PARTS = "start.json", tuple(f"context-{n}.json" for n in range(1, MOST_PARTS + 1))
#: In requests of sub-agents.
_ASIDE = "x-claude-code-agent-id"
#: Hooks whose answer may carry a text for the model.
_CARRYING = ("PreToolUse", "PostToolUse", "PostToolUseFailure")
# Each was measured: without them the CLI talks to other hosts, updates itself, outlives its turn, or hangs.
SWITCHES = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DO_NOT_TRACK": "1",
    "BUN_ENABLE_CRASH_REPORTING": "0",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_CRON": "1",
    # Without it `@FILE` in a prompt is read and sent along, with no hook and no record.
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    "CLAUDE_CODE_STARTUP_FAILURE_RESULTS": "1",
    "CLAUDE_CODE_STOP_HOOK_BLOCK_CAP": "0",
    "CLAUDE_ENABLE_BYTE_WATCHDOG": "1",
}
_FLAGS = (
    *("-p", "--output-format", "stream-json", "--verbose", "--include-hook-events"),
    *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands"),
    *("--permission-mode", "dontAsk", "--permission-prompts", "none"),
    # Left out of --tools already; named again because each would outlive the turn or leave the box's rules.
    *("--disallowedTools", "ScheduleWakeup,CronCreate,Monitor,WebFetch,WebSearch"),
)


class ClaudeAgent:
    """Claude Code behind the port `Agent`.

    environ is the environment of the process that will start it (the warden's): it tells which login there is.
    Of the login itself nothing is read but whether it is there.

    Route `auto` takes a subscription's token when one is set, even beside an API key: a subscription can't
    bill by use, so nothing is paid that was not asked for. The other login is then kept out of the box. Set
    `route` to say otherwise; a named route never gives way to the other.
    """

    name = "claude"

    def __init__(self, settings: ClaudeSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._stream = Stream()

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        """The launch of one run. Asks the CLI for its version, once for each state of the file.

        A resumed session is read from `place.home`, so that must be the home of the run that had it.

        Raises AgentUnavailable when the CLI or a login is missing, SettingsInvalid for variables that settings
        may not set.
        """
        binary = find(self._settings.path, self._environ)
        route = self.route()
        gateway = route.proxied
        return Launch(
            argv=(binary.path, *_FLAGS, *self._arguments(spec, place)),
            env=self._env(spec, place, gateway),
            passed=() if gateway else (LOGIN_VARIABLE,),
            files={_SETTINGS: _settings_file(place, gateway)},
            readable=(binary.path,),
            stdin=_prompt(spec.prompt),
            route=route,
            version=binary.version,
            aside=_ASIDE,
        )

    def read(self, line: bytes) -> Sequence[AgentEvent]:
        """Events in one line. A turn is counted at the first line of each of the model's messages."""
        return self._stream.read(line)

    def classify(self, spec: RunSpec, code: int, stdout: bytes, stderr: bytes) -> RunOutcome:
        """See `claude_outcome`."""
        return claude_outcome.classify(spec, code, stdout, stderr)

    def keeps(self, session: str) -> tuple[str, ...]:
        """The transcript, in whatever folder the CLI has for the worktree, and those of its subagents."""
        try:
            name = str(uuid.UUID(session))
        except ValueError:
            return ()
        top = ".claude/projects/*"
        return (f"{top}/{name}.jsonl", f"{top}/{name}/subagents/*", f"{top}/{name}/tool-results/*")

    def hook(self, event: Mapping[str, Any]) -> Call | None:
        """None for hooks that only tell. Whatever is not known to be one of them is a call, however odd."""
        if event.get("hook_event_name") in _TELLING:
            return None
        given = dict(event)
        return Call(
            id=loose.text(given, "tool_use_id"),
            tool=loose.text(given, "tool_name"),
            input=loose.child(given, "tool_input"),
            cwd=loose.text(given, "cwd"),
        )

    def answer(self, event: Mapping[str, Any], verdict: Verdict) -> Mapping[str, Any]:
        """Allow or deny; nobody is there to ask, so `ask` is a denial that gives the reason."""
        if self.hook(event) is None:
            return {}
        allow = verdict.decision is Decision.ALLOW
        return {
            "hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": "allow" if allow else "deny",
                "permissionDecisionReason": verdict.reason,
            }
        }

    def remark(self, event: Mapping[str, Any], answer: Mapping[str, Any], text: str) -> Mapping[str, Any] | None:
        """With `additionalContext`, which is in the model's next request, whether the call is denied, fails or not."""
        name = event.get("hook_event_name")
        if name not in _CARRYING:
            return None
        known = loose.child(dict(answer), "hookSpecificOutput")
        return {**answer, "hookSpecificOutput": {"hookEventName": name, **known, "additionalContext": text}}

    def moment(self, event: Mapping[str, Any]) -> Moment | None:
        """Before and after the CLI sums its session up."""
        kind = _MOMENTS.get(str(event.get("hook_event_name")))
        return Moment(kind=kind, transcript=loose.text(dict(event), "transcript_path")) if kind else None

    def reminders(self, parts: Sequence[str], start: str) -> Mapping[str, bytes]:
        """Answers of the hook `SessionStart`, which can only be a command: it prints these files. Unused ones are empty."""
        texts = dict.fromkeys(_PARTS, b"") | {name: _said(part) for name, part in zip(_PARTS, parts, strict=False)}
        return {**texts, _START: _said(start)}

    def would_end(self, event: Mapping[str, Any]) -> bool:
        """At the hook `Stop`, unless its last message says that it is blocked."""
        last = loose.text(dict(event), "last_assistant_message")
        return event.get("hook_event_name") == "Stop" and blocked(last) is None

    def send_back(self, text: str) -> Mapping[str, Any]:
        """The text becomes a message of the user. The CLI itself sets no bound: its own is switched off."""
        return {"decision": "block", "reason": text}

    def route(self) -> Route:
        """The route of the settings; `auto` takes a subscription's token when one is set, else the API key."""
        route = planned(self._settings, self._environ)
        variable = {"gateway": route.key_variable, "direct": LOGIN_VARIABLE}.get(route.kind)
        if variable is not None and not self._environ.get(variable):
            raise self._no_login(variable)
        return route

    def _no_login(self, variable: str) -> Exception:
        subscription = f"run `claude setup-token` and set {LOGIN_VARIABLE}"
        key = f"set {self._settings.key_variable} to an API key"
        ways = {"auto": f"Either {subscription}, or {key}.", "direct": f"For the route `direct` {subscription}."}
        return unavailable(f"{variable} is not set", ways.get(self._settings.route, f"For the route `gateway` {key}."))

    def _arguments(self, spec: RunSpec, place: Place) -> tuple[str, ...]:
        session = _resumed(spec.resume) if spec.resume is not None else f"--session-id={session_id(spec)}"
        return (
            session,
            *("--settings", f"{place.given}/{_SETTINGS}"),
            *("--tools", ",".join(self._settings.tools)),
            *("--max-turns", str(spec.limits.turns)),
            # In one word, so that a name from a policy file can't become a flag.
            *((f"--model={spec.model}",) if spec.model is not None else ()),
        )

    def _env(self, spec: RunSpec, place: Place, gateway: bool) -> dict[str, str]:
        settings, window = self._settings, spec.limits.context.window
        own = {
            **surroundings(place),
            **SWITCHES,
            "CLAUDE_CODE_MAX_RETRIES": str(settings.retries),
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(settings.output_limit),
            "API_TIMEOUT_MS": str(round(settings.answer_limit * 1000)),
            "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": str(round(settings.stall_limit * 1000)),
        }
        if window is not None:  # the CLI sums up a session that gets longer
            own["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] = str(window)
        if gateway:
            own["ANTHROPIC_BASE_URL"] = f"http://127.0.0.1:{place.ports.model}"
        return extended(own, settings.env, "agents.claude.env", ("ANTHROPIC_", "CLAUDE_", "AWS_", "GOOGLE_"))


def planned(settings: ClaudeSettings, environ: Mapping[str, str]) -> Route:
    """The route of the settings, whether there is a login for it or not."""
    kind = settings.route
    if kind == "auto":
        kind = "direct" if environ.get(LOGIN_VARIABLE) else "gateway"
    if kind == "local":
        return Route(kind=kind, upstream=settings.local, allowed=ANTHROPIC.allowed)
    if kind == "direct":
        return Route(kind=kind, hosts=settings.hosts)
    return Route(
        kind=kind,
        upstream=settings.upstream,
        key_header=ANTHROPIC.key_header,
        key_variable=settings.key_variable,
        allowed=ANTHROPIC.allowed,
    )


def session_id(spec: RunSpec) -> str:
    """The session id of a run that resumes none: the same for the same run."""
    return str(uuid.uuid5(_SESSIONS, spec.id))


def _prompt(text: str) -> bytes:
    """The prompt; one that begins like a command of the CLI would never reach the model, so words go first."""
    return (f"The task:\n\n{text}" if text.lstrip().startswith("/") else text).encode()


def _resumed(session: str) -> str:
    """`--resume` for a session. Raises AgentUnavailable for anything but an id: the CLI would read it as a path."""
    try:
        return f"--resume={uuid.UUID(session)}"
    except ValueError:
        raise unavailable(f"{session!r} is no session of Claude Code", "Start the run without one.") from None


def _said(text: str) -> bytes:
    """What the hook `SessionStart` prints for a text to be in the context."""
    return msgspec.json.encode({"hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": text}})


def _printing(path: str) -> dict[str, Any]:
    """A hook that prints a file. One that is not there says nothing: the warden sees that it did not arrive."""
    return {"type": "command", "command": f"cat {shlex.quote(path)} 2>/dev/null || :", "timeout": _HOOK_LIMIT}


def _settings_file(place: Place, gateway: bool) -> bytes:
    hook = {"type": "http", "url": f"http://127.0.0.1:{place.ports.hooks}/hook", "timeout": _HOOK_LIMIT}
    hooks: dict[str, Any] = {name: [{"hooks": [hook]}] for name in _TELLING}
    hooks["PreToolUse"] = [{"hooks": [{**hook, "onFailure": "block"}]}]
    for name in _MOMENTS:
        hooks[name] = [{"hooks": [{**hook, "timeout": _MOMENT_LIMIT}]}]
    hooks["SessionStart"] = [
        {"matcher": matcher, "hooks": [_printing(f"{place.given}/{name}") for name in names]}
        for matcher, names in (("startup", (_START,)), ("resume|fork|clear|compact", _PARTS))
    ]
    # A helper, so that not even the dummy is in the environment of what the agent runs.
    key = {"apiKeyHelper": f"echo {shlex.quote(place.token)}"} if gateway else {}
    return msgspec.json.format(msgspec.json.encode({**key, "hooks": hooks}))
