"""The scripted model server: a `Play` behind the Messages API, and behind the other vendors' `dialects`.

Besides the API it answers under `/_scripted/`, so that whoever started it as a process can direct it:
`GET requests` lists what came in, `GET reached/NAME` answers when a stall is reached, `POST release/NAME` ends it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct

from overnight.agents.scripted import dialects, messages
from overnight.agents.scripted.dialects import Dialect
from overnight.agents.scripted.http import Replier, Request, serving
from overnight.agents.scripted.messages import Ask
from overnight.agents.scripted.script import Cut, Fail, Garble, Play, Say, Scenario, Script, Stall, Step

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
#: The header in which the Claude CLI names its session.
_SESSION = "x-claude-code-session-id"


class Record(Struct, frozen=True, kw_only=True):
    """A request to the model, kept for assertions."""

    method: str
    path: str
    headers: dict[str, str]
    #: The decoded JSON body; None when there was none.
    body: Any
    #: The session it was counted to; empty when it took no step.
    session: str = ""


class _Session:
    """One session's place in its script."""

    def __init__(self, script: Script) -> None:
        self._steps = [step for step in script.steps for _ in range(step.times if isinstance(step, Fail) else 1)]
        self._taken = 0

    def step(self) -> Step:
        if self._taken == len(self._steps):
            return Fail(400, f"the script has ended after {self._taken} steps, and was asked for one more")
        self._taken += 1
        return self._steps[self._taken - 1]


class ScriptedModel:
    """Answers from a play. Keeps every request; forgets nothing until it is gone."""

    def __init__(self, play: Play) -> None:
        self.requests: list[Record] = []
        self._play = play
        self._sessions: dict[str, _Session] = {}
        self._begun: defaultdict[int, int] = defaultdict(int)
        self._released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def asked(self) -> list[Record]:
        """The requests for an answer, in order."""
        return [record for record in self.requests if record.session]

    def release(self, name: str) -> None:
        """End the stall of this name, now and whenever it is reached later."""
        self._released[name].set()

    async def reached(self, name: str) -> None:
        """Return when a request waits in the stall of this name."""
        await self._reached[name].wait()

    async def __call__(self, request: Request, replier: Replier) -> None:
        """Answer one HTTP request."""
        if request.path.startswith("/_scripted/"):
            await self._direct(request, replier)
        elif (request.method, request.path) == ("POST", "/v1/messages"):
            await self._asked(request, replier)
        elif (dialect := dialects.of(request.method, request.path)) is not None:
            await self._questioned(dialect, request, replier)
        else:
            self._keep(request, "")
            await _other(request, replier)

    async def _asked(self, request: Request, replier: Replier) -> None:
        try:
            ask = msgspec.json.decode(request.body, type=Ask)
        except msgspec.DecodeError as problem:
            self._keep(request, "")
            await replier.whole(400, _JSON, messages.error("invalid_request_error", str(problem)))
            return
        session = request.headers.get(_SESSION) or f"words:{ask.model}:{ask.messages[0].text}"
        self._keep(request, session)
        await self._answer(self._step(session, ask.messages[0].text, ask.model), ask, replier)

    async def _questioned(self, dialect: Dialect, request: Request, replier: Replier) -> None:
        """The same in another vendor's words. Every question of the same words and model is of one session."""
        try:
            asked = dialect.ask(request.path, request.body)
        except msgspec.DecodeError as problem:
            self._keep(request, "")
            body = dialect.error(400, "invalid_request_error", str(problem))
            await replier.whole(400, _JSON, msgspec.json.encode(body))
            return
        session = f"words:{asked.model}:{asked.text}"
        self._keep(request, session)
        step, name = self._step(session, asked.text, asked.model), f"{len(self.requests):06d}"
        if isinstance(step, Stall):
            self._reached[step.name].set()
            await replier.until(self._released[step.name])
            step = step.then
        match step:
            case Fail(status, message):
                body = dialect.error(status, step.type or messages.ERRORS.get(status, "api_error"), message)
                await replier.whole(status, _JSON | step.headers, msgspec.json.encode(body))
            case Garble(text):
                await replier.whole(200, _JSON, text.encode())
            case Cut(text):
                whole = msgspec.json.encode(dialect.reply(messages.reply(Say(text)), name, asked.model))
                await replier.start(200, _JSON | {"content-length": str(len(whole))})
                await replier.chunk(whole[: len(whole) // 2])
                await replier.cut()
            case _:
                answer = messages.reply(step)
                body = dialect.reply(answer, name, asked.model)
                await replier.whole(200, _JSON | answer.headers, msgspec.json.encode(body))

    def _keep(self, request: Request, session: str) -> None:
        body = _decode(request.body)
        record = Record(method=request.method, path=request.path, headers=request.headers, body=body, session=session)
        self.requests.append(record)

    def _step(self, session: str, text: str, model: str) -> Step:
        """The next step of a session; text is its first user message."""
        if session not in self._sessions:
            fits = (n for n, s in enumerate(self._play.scenarios) if s.match in text and s.model in ("", model))
            found = next(fits, None)
            if found is None:
                return Fail(400, "no scenario of the script matches the first user message")
            self._sessions[session] = _Session(self._next(found, self._play.scenarios[found]))
        return self._sessions[session].step()

    def _next(self, number: int, scenario: Scenario) -> Script:
        """The script for the next session of a scenario."""
        run = min(self._begun[number], len(scenario.runs) - 1)
        self._begun[number] += 1
        return scenario.runs[run]

    async def _answer(self, step: Step, ask: Ask, replier: Replier) -> None:
        name = f"{len(self.requests):06d}"
        head = {"request-id": f"req_{name}"}
        match step:
            case Fail():
                kind = step.type or messages.ERRORS.get(step.status, "api_error")
                await replier.whole(step.status, head | _JSON | step.headers, messages.error(kind, step.message))
            case Garble(text):
                await replier.whole(200, head | _SSE, text.encode())
            case Cut(text):
                whole = messages.message(messages.reply(Say(text)), name, ask.model)
                events = list(messages.closing(whole))
                await replier.start(200, head | _SSE)
                await replier.chunk(messages.opening(whole) + b"".join(events[:3]))
                await replier.cut()
            case Stall():
                await self._stall(step, name, ask, replier)
            case _:
                await self._reply(step, name, ask, replier)

    async def _reply(self, step: Step, name: str, ask: Ask, replier: Replier) -> None:
        answer = messages.reply(step)
        whole = messages.message(answer, name, ask.model)
        head = {"request-id": f"req_{name}"} | answer.headers
        if not ask.stream:
            await replier.whole(200, head | _JSON, msgspec.json.encode(whole))
            return
        await replier.start(200, head | _SSE)
        await self._flow(whole, replier)

    async def _flow(self, whole: dict[str, Any], replier: Replier, opened: bool = False) -> None:
        if not opened:
            await replier.chunk(messages.opening(whole))
        for event in messages.closing(whole):
            await replier.chunk(event)
        await replier.end()

    async def _stall(self, step: Stall, name: str, ask: Ask, replier: Replier) -> None:
        midway = step.midway and ask.stream
        whole = messages.message(messages.reply(step.then), name, ask.model)
        if midway:
            await replier.start(200, {"request-id": f"req_{name}"} | _SSE)
            await replier.chunk(messages.opening(whole))
        self._reached[step.name].set()
        await replier.until(self._released[step.name])
        if midway:
            await self._flow(whole, replier, opened=True)
        else:
            await self._reply(step.then, name, ask, replier)

    async def _direct(self, request: Request, replier: Replier) -> None:
        verb, _, name = request.path.removeprefix("/_scripted/").partition("/")
        match request.method, verb:
            case "GET", "requests":
                await replier.whole(200, _JSON, msgspec.json.encode(self.requests))
            case "GET", "reached":
                await replier.until(self._reached[name])
                await replier.whole(200, _JSON, b"{}")
            case "POST", "release":
                self.release(name)
                await replier.whole(200, _JSON, b"{}")
            case _:
                await replier.whole(404, _JSON, messages.error("not_found_error", "no such direction"))


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        return None


async def _other(request: Request, replier: Replier) -> None:
    """Everything that is not a request for an answer; takes no step."""
    match request.method, request.path:
        case "HEAD", _:
            await replier.whole(200, {}, b"")
        case "POST", "/v1/messages/count_tokens":
            tokens = len(request.body) // 4
            await replier.whole(200, _JSON, msgspec.json.encode({"input_tokens": tokens}))
        case "GET", "/v1/models":
            model = {
                "type": "model",
                "id": "scripted",
                "display_name": "Scripted",
                "created_at": "2026-01-01T00:00:00Z",
            }
            page = {"data": [model], "has_more": False, "first_id": "scripted", "last_id": "scripted"}
            await replier.whole(200, _JSON, msgspec.json.encode(page))
        case _:
            await replier.whole(404, _JSON, messages.error("not_found_error", f"no {request.method} {request.path}"))


@asynccontextmanager
async def playing(play: Play, port: int = 0) -> AsyncGenerator[tuple[str, ScriptedModel]]:
    """Serve a play on 127.0.0.1; gives the base URL and the model."""
    model = ScriptedModel(play)
    async with serving(model, port) as taken:
        yield f"http://127.0.0.1:{taken}", model
