"""The agent's hooks: every tool call is on record and decided before it happens. No answer means no call."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from overnight.guard.redact import redacted, sanitised
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.ports import Agent
from overnight.warden.context import Context
from overnight.warden.events import Asked, Decided, Done, Event, Heard, HookRefused, Record, clean
from overnight.warden.http import Exchange, Limits, Request, Response
from overnight.warden.steps import Steps
from overnight.warden.watch import Watch
from overnight.warden.witness import Witness

#: The only path.
PATH = "/hook"
#: For the listener: the body of a hook holds a call's input and, afterwards, its output.
HOOK_LIMITS = Limits(body=16 << 20, held=64 << 20)
#: Refused calls that are kept in memory for the run's outcome.
MOST_DENIED = 500
#: Characters of a refused call in the run's outcome.
_SHORT = 500
#: Entries of an input that say by themselves what a call is about.
_SPEAKS = ("command", "file_path", "path", "url", "pattern")
_WAITS = "PreToolUse"


class Hooks:
    """Answers the POST requests of the CLI's http hooks.

    Fails closed: a request that can't be understood, decided or recorded is denied in so many words where it is a
    call that waits, and refused with 400 where that can't be told, which the CLI takes for a denial as well.
    """

    def __init__(
        self, agent: Agent, decide: Callable[[Call], Verdict], record: Record, witness: Witness | None = None,
        without: Callable[[str], str] = redacted, watch: Watch | None = None, shut: Callable[[], str | None] = lambda: None,
        context: Context | None = None,
    ) -> None:  # fmt: skip
        """record puts an event on record and raises OSError when it can't. witness: keeps the audit. without: takes
        secrets out of a text. watch: sees calls and results, and has notes for the agent. shut: why no call passes any more.
        context: is kept before it is cut, and has texts for the agent that go first."""
        self._agent, self._decide, self._record = agent, decide, record
        self._witness, self._without = witness or Witness(), without
        self._watch, self._shut, self._context = watch, shut, context
        #: The run's runbook, if it has one.
        self.steps: Steps | None = None
        #: (tool, what, reason) of the calls that were refused; after `MOST_DENIED` one that says that there were more.
        self.denied: list[tuple[str, str, str]] = []
        #: Calls that were asked about.
        self.calls = 0

    async def handle(self, request: Request, exchange: Exchange) -> Response:  # noqa: ARG002 (a Handler)
        """The handler for `serve`."""
        event = _parse(request)
        if isinstance(event, str):
            return self._refuse(event)
        try:
            call = self._agent.hook(event)
            if call is None:
                self._record(told := _told(event))
                if isinstance(told, Done):
                    self._witness.resulted(
                        told.call,
                        told.tool,
                        event.get("tool_response", event.get("error")),
                        failed=told.failed,
                        ms=told.ms,
                    )
                    if self._watch is not None:
                        self._watch.done(told)
                    if self._context is not None:
                        self._context.look()
                    if self.steps is not None:
                        await self.steps.notice()
                if self._context is not None and (moment := self._agent.moment(event)) is not None:
                    await self._context.moment(moment)
                    return Response()  # empty: Claude Code puts whatever it is told here into the order for its summary
                if words := await self._going_on(event):
                    return Response.json(200, self._agent.send_back(words))
                return Response.json(200, self._noted(event, {}))
            verdict = self._judge(call)
            return Response.json(200, self._noted(event, self._agent.answer(event, verdict)))
        except Exception as error:  # whatever goes wrong in here, no call may come of it
            return self._denial(event, _words(error))

    async def _going_on(self, event: Mapping[str, Any]) -> str:
        """What the agent is sent back with, when it would end its turn and may not; else empty."""
        if self.steps is None or not self._agent.would_end(event) or self._shut() is not None:
            return ""
        if self._context is not None and self._context.asked:  # it was told to end, so that a fresh run goes on
            await self.steps.notice()
            return ""
        words = await self.steps.would_end()
        if words and self._watch is not None and self._watch.note:
            words = f"{self._watch.note}\n{words}"
            self._watch.noted()
        return words

    def _noted(self, event: Mapping[str, Any], answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer with what the agent is to be told, if this hook can carry it; else the next one does."""
        for teller in (self._context, self._watch):
            if teller is None or not (note := teller.note):
                continue
            if (remark := self._agent.remark(event, answer, note)) is None:
                return answer
            teller.noted()
            return remark
        return answer

    def _judge(self, call: Call) -> Verdict:
        """The verdict, once it is on disk together with the question. Raises OSError when it can't be."""
        self.calls += 1
        if self._context is not None:
            self._context.called()
        text, again = shown(call.input), self._witness.knows(call.id)
        self._record(Asked(call=call.id, tool=call.tool, input=text, digest=_digest(call.input), again=again))
        verdict = self._verdict(call)
        self._witness.decided(call, text, verdict)
        if verdict.decision is not Decision.ALLOW:
            self._note_denied(call.tool, gist(call.input), verdict)
        self._record(
            Decided(
                call=call.id, tool=call.tool, decision=verdict.decision, rule=verdict.rule, reason=verdict.reason,
                words=verdict.words,
            )
        )  # fmt: skip
        if self._watch is not None:
            self._watch.asked(call, verdict)
        return verdict

    def _verdict(self, call: Call) -> Verdict:
        if not call.tool or not call.id:
            return _deny("hook.malformed", "the call has no id or names no tool")
        if self._witness.broken is not None:
            return _deny("hook.ending", f"the run is being ended: {self._witness.broken}")
        if (why := self._shut()) is not None:
            return _deny("hook.shut", f"no more calls pass: {why}")
        try:
            return self._decide(call)
        except Exception as error:  # a guard that fails lets nothing through
            return _deny("guard.failed", f"the guard failed: {_words(error)}")

    def _denial(self, event: Mapping[str, Any], why: str) -> Response:
        """An answer that denies, if the agent has one for this event."""
        verdict = _deny("hook.failed", f"the call could not be decided: {why}")
        if event.get("hook_event_name") != _WAITS:
            return self._refuse(why)
        tool = str(event.get("tool_name") or "")
        self._note_denied(tool, "", verdict)
        call = Call(id=str(event.get("tool_use_id") or ""), tool=tool, input={}, cwd="")
        with contextlib.suppress(OSError):  # nothing passes that is not on record; this does not pass
            self._witness.decided(call, "", verdict)
        self._try(
            Decided(
                call=call.id, tool=tool, decision=verdict.decision, rule=verdict.rule,
                reason=verdict.reason,
            )
        )  # fmt: skip
        try:
            return Response.json(200, self._agent.answer(event, verdict))
        except Exception as error:  # not even that: the CLI blocks a call whose hook fails
            return self._refuse(_words(error))

    def _note_denied(self, tool: str, what: str, verdict: Verdict) -> None:
        if len(self.denied) < MOST_DENIED:
            self.denied.append((self._short(tool), self._short(what), self._short(verdict.reason)))
        elif len(self.denied) == MOST_DENIED:
            self.denied.append(("…", "more calls", "refused as well: the run's record has them all"))

    def _short(self, text: str) -> str:
        return clean(self._without(sanitised(text[: 8 * _SHORT])), _SHORT)

    def _refuse(self, why: str) -> Response:
        self._try(HookRefused(why=why))
        return Response.json(400, {"error": clean(why)})

    def _try(self, event: Event) -> None:
        """Record something that lets nothing through: it is refused also when the record can't be written."""
        try:
            self._record(event)
        except OSError:
            return


def _parse(request: Request) -> Mapping[str, Any] | str:
    """The hook's event, or why there is none."""
    if request.path != PATH:
        return f"hooks are at {PATH}"
    if request.method != "POST":
        return "hooks are posted"
    try:
        event: Any = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        return f"the hook's body is not JSON: {_words(error)}"
    if not isinstance(event, dict):
        return "the hook's body is not a JSON object"
    named = cast("dict[str, Any]", event)
    if not isinstance(named.get("hook_event_name"), str):
        return "the hook's body names no event"
    return named


def _told(event: Mapping[str, Any]) -> Event:
    """What a hook tells that asks for nothing."""
    name = str(event["hook_event_name"])
    call, tool = str(event.get("tool_use_id") or ""), str(event.get("tool_name") or "")
    if name not in ("PostToolUse", "PostToolUseFailure"):
        return Heard(name=name, call=call, tool=tool)
    ms = event.get("duration_ms")
    return Done(
        call=call, tool=tool, failed=name == "PostToolUseFailure", error=str(event.get("error") or ""),
        ms=float(ms) if isinstance(ms, int | float) else None,
    )  # fmt: skip


def _deny(rule: str, reason: str) -> Verdict:
    return Verdict(decision=Decision.DENY, rule=rule, reason=reason)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def shown(value: Mapping[str, Any]) -> str:
    """A tool's input in one text: the command or path, if it is all there is to it, else its JSON."""
    told = {key: part for key, part in value.items() if key != "description"}
    if len(told) == 1 and (key := next(iter(told))) in _SPEAKS and isinstance(told[key], str):
        return str(told[key])
    return json.dumps(value, ensure_ascii=False)


def gist(value: Mapping[str, Any]) -> str:
    """What a call is about, for a list of calls: the command or path, if there is one, else the input."""
    for key in _SPEAKS:
        if isinstance(text := value.get(key), str):
            return text
    return shown(value)
