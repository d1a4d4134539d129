"""The agent's hooks: every tool call is on record and decided before it happens. No answer means no call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from overnight.guard.verdict import Call, Decision, Verdict
from overnight.ports import Agent
from overnight.warden.http import Exchange, Request

#: A hook's body above this size is refused, and with it the call.
MAX_HOOK = 8 << 20


class Record(Protocol):
    """Puts something on record."""

    def __call__(self, kind: str, *, sync: bool = False, **data: Any) -> None: ...


class Hooks:
    """Answers POST requests of the CLI's http hooks."""

    def __init__(self, agent: Agent, decide: Callable[[Call], Verdict], record: Record) -> None:
        self._agent, self._decide, self._record = agent, decide, record
        #: (tool, what, reason) of every call that was refused.
        self.denied: list[tuple[str, str, str]] = []
        self.calls = 0

    async def handle(self, request: Request, exchange: Exchange) -> None:
        """400 for what is no hook request: the CLI then blocks the call (`onFailure: block`)."""
        event = self._parse(request)
        if event is None:
            self._record("hook-refused", why="not a hook request")
            await exchange.reply(400, b'{"error":"not a hook request"}')
            return
        await exchange.reply(200, json.dumps(self._answer(event)).encode())

    def _parse(self, request: Request) -> Mapping[str, Any] | None:
        if request.method != "POST" or len(request.body) > MAX_HOOK:
            return None
        try:
            event = json.loads(request.body)
        except (ValueError, RecursionError):
            return None
        return event if isinstance(event, dict) and "hook_event_name" in event else None  # pyright: ignore[reportUnknownVariableType] (any JSON)

    def _answer(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        call = self._agent.hook(event)
        if call is None:
            self._note(event)
            return {}
        self.calls += 1
        self._record("asked", sync=True, call=call.id, tool=call.tool, input=shown(call.input))
        try:
            verdict = self._decide(call)
        except Exception as error:  # a guard that fails must not let anything through
            verdict = Verdict(decision=Decision.DENY, rule="guard.failed", reason=f"the guard failed: {error!r}")
        if verdict.decision is not Decision.ALLOW:
            self.denied.append((call.tool, shown(call.input), verdict.reason))
        self._record(
            "verdict", call=call.id, tool=call.tool, decision=verdict.decision, rule=verdict.rule, reason=verdict.reason
        )
        return self._agent.answer(event, verdict)

    def _note(self, event: Mapping[str, Any]) -> None:
        name = str(event.get("hook_event_name"))
        call, tool = str(event.get("tool_use_id") or ""), str(event.get("tool_name") or "")
        self._record("hook", name=name, failed="error" in event, call=call, tool=tool)


def shown(value: Mapping[str, Any]) -> str:
    """A tool's input on one line: the command or path if it has one, else its JSON."""
    for key in ("command", "file_path", "path", "url", "pattern"):
        if isinstance(value.get(key), str):
            return str(value[key])[:500]
    return json.dumps(value, default=str)[:500]
