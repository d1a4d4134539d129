"""The soak's model: answers by what it finds in a request, can be made to fail, and keeps a log of its own.

It knows no sessions: an answer depends on the request alone, so a request that is repeated after a fault, or a session
that another run takes up, is answered as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TextIO

import msgspec
from msgspec import Struct

from overnight.agents.scripted import Reply, Say, Use
from overnight.agents.scripted import messages as wire
from overnight.agents.scripted.http import Replier, Request, serving
from overnight.agents.scripted.script import USAGE
from overnight.soak.plan import Fault

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_SESSION = "x-claude-code-session-id"
_ORDER = re.compile(r"^soak: (\S+) (\S+) (\S+) ", re.MULTILINE)
_COMMIT = re.compile(r"COMMIT ([0-9a-f]{40})")
#: A session that is longer than this goes in circles.
_LONGEST = 24
RETRY_AFTER_S = 6


class Served(Struct, frozen=True, kw_only=True):
    """One request, as the server saw it."""

    n: int
    #: Epoch seconds of its end.
    at: float
    #: Id of the task; empty when the request names none.
    task: str
    status: int
    #: The answer went out to its last byte.
    whole: bool
    #: Of the answer, all kinds together, if it went out whole.
    tokens: int
    #: Commits that the agent says it made.
    commits: tuple[str, ...] = ()


class Model:
    """Answers one request after another; used in the server's own thread."""

    def __init__(self, log: TextIO) -> None:
        self.fault: Fault | None = None
        self._log, self._n = log, 0
        self._tasks: dict[str, str] = {}

    async def __call__(self, request: Request, replier: Replier) -> None:
        if (request.method, request.path) != ("POST", "/v1/messages"):
            await _other(request, replier)
            return
        try:
            ask = msgspec.json.decode(request.body, type=wire.Ask)
            tools = bool(msgspec.json.decode(request.body).get("tools"))
        except msgspec.DecodeError as problem:
            await replier.whole(400, _JSON, wire.error("invalid_request_error", str(problem)))
            return
        self._n += 1
        text = "\n".join(_texts(ask))
        task, fault = self._task(request, text), self.fault
        status = {Fault.MODEL_ERRORS: 529, Fault.MODEL_LIMIT: 429}.get(fault, 200) if fault else 200
        usage = {"output_tokens": 40 + self._n * 37 % 100}  # no two sums are alike by chance
        tokens, whole, number = sum((USAGE | usage).values()), False, self._n
        try:
            if status != 200:
                head = {"retry-after": str(RETRY_AFTER_S)} if status == 429 else {}
                await replier.whole(status, _JSON | head, wire.error(wire.ERRORS[status], "the soak's fault"))
            else:
                whole = await self._answer(ask, text, tools, Reply((), usage), replier)
        finally:
            said = Served(
                n=number, at=time.time(), task=task, status=status, whole=whole, tokens=tokens if whole else 0,
                commits=tuple(dict.fromkeys(_COMMIT.findall(text))),
            )  # fmt: skip
            self._log.write(msgspec.json.encode(said).decode() + "\n")
            self._log.flush()

    async def _answer(self, ask: wire.Ask, text: str, tools: bool, like: Reply, replier: Replier) -> bool:
        """Whether it went out to its last byte."""
        step = _step(text, len(ask.messages)) if tools else Say("Work.")
        name = f"{self._n:06d}{int(time.time() * 1000) % 10**9:09d}"
        whole = wire.message(Reply((step,), like.usage), name, ask.model)
        if not ask.stream:
            await replier.whole(200, _JSON, msgspec.json.encode(whole))
            return True
        await replier.start(200, {"request-id": f"req_{name}"} | _SSE)
        await replier.chunk(wire.opening(whole))
        for n, event in enumerate(wire.closing(whole)):
            if n == 2 and self.fault is Fault.MODEL_CUT:
                await replier.cut()
                return False
            await replier.chunk(event)
        await replier.end()
        return True

    def _task(self, request: Request, text: str) -> str:
        session = request.headers.get(_SESSION, "")
        if (found := _ORDER.search(text)) is not None:
            self._tasks[session] = found[2]
        return self._tasks.get(session, "")


def _texts(ask: wire.Ask) -> list[str]:
    """Every text of a request, those of tools' results too."""
    found: list[str] = []
    for message in ask.messages:
        if isinstance(message.content, str):
            found.append(message.content)
            continue
        for block in message.content:
            found.append(str(block.get("text", "")))
            if block.get("type") == "tool_result":
                given: Any = block.get("content", "")
                found.append(
                    given if isinstance(given, str) else "\n".join(str(each.get("text", "")) for each in given)
                )
    return found


def _step(text: str, length: int) -> Say | Use:
    order = _ORDER.search(text)
    if order is None or length > _LONGEST:
        return Say("Nothing is asked of me.")
    task = order[2]
    if f"WROTE {task}" not in text:
        return _bash(
            f"sleep {order[3]}; mkdir -p work; echo {task} > work/{task}.txt; echo WROTE $(cat work/{task}.txt)"
        )
    if _COMMIT.search(text.rpartition(f"WROTE {task}")[2]) is None:
        return _bash(f'git add -A; git commit -q -m "Work of {task}"; echo COMMIT $(git rev-parse HEAD)')
    return Say(f"The note work/{task}.txt is written and committed.")


def _bash(command: str) -> Use:
    return Use("Bash", {"command": command, "description": "Work"})


async def _other(request: Request, replier: Replier) -> None:
    if request.method == "HEAD":
        await replier.whole(200, {}, b"")
    elif request.path == "/v1/messages/count_tokens":
        await replier.whole(200, _JSON, msgspec.json.encode({"input_tokens": len(request.body) // 4}))
    else:
        await replier.whole(404, _JSON, wire.error("not_found_error", f"no {request.method} {request.path}"))


class ModelServer:
    """The model behind a port of its own, in a thread of its own."""

    def __init__(self, log: Path) -> None:
        self.log, self.url = log, ""
        self._file = log.open("a")
        self._model = Model(self._file)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model", daemon=True)
        self._stop: asyncio.Event | None = None
        self._serving: asyncio.Task[None] | None = None
        self._port = 0

    def start(self) -> None:
        """Listen; `url` says where. Raises OSError."""
        self._thread.start()
        self._do(self._open())
        self.url = f"http://127.0.0.1:{self._port}"

    def fault(self, fault: Fault | None) -> None:
        """Fail in this way from now on; None: answer."""
        self._do(self._set(fault))

    def end(self) -> None:
        """Close everything."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._file.close()

    def _do(self, what: Any) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(what, self._loop)
        done.result(60)

    async def _set(self, fault: Fault | None) -> None:
        self._model.fault = fault
        if fault is Fault.MODEL_DOWN:
            await self._close()
        elif self._serving is None:
            await self._open()

    async def _open(self) -> None:
        ready: asyncio.Future[int] = self._loop.create_future()
        self._stop = asyncio.Event()
        self._serving = asyncio.ensure_future(self._serve(ready, self._stop))
        self._port = await ready

    async def _serve(self, ready: asyncio.Future[int], stop: asyncio.Event) -> None:
        try:
            async with serving(self._model, self._port) as port:
                ready.set_result(port)
                await stop.wait()
        except OSError as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _close(self) -> None:
        if self._serving is None or self._stop is None:
            return
        self._stop.set()
        await self._serving
        self._serving = None


def read_log(path: Path) -> list[Served]:
    """What the server noted; a line that is not whole is not there yet."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=Served) for line in lines]
