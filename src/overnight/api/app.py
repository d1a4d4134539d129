"""The API as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from overnight.api import acts, looks
from overnight.api.endpoints import OPERATIONS, OWN_RIGHTS, PART, Asked, Operation
from overnight.api.pulse import Fresh
from overnight.api.shapes import Event, EventsQuery, Fault, Problem
from overnight.api.shield import Shield, TooMuch
from overnight.api.site import Site
from overnight.errors import (
    BadInput,
    BadState,
    NotDecided,
    NotYours,
    OvernightError,
    Refused,
    StateNotWritable,
    Unavailable,
    UnknownRepo,
    UnknownTask,
)
from overnight.missions.approval import Right
from overnight.missions.codec import builtins, convert

#: Looks and acts at the same time; the others wait for their turn.
THREADS = 8
#: Streams at the same time.
MOST_STREAMS = 200
#: Seconds after which a stream that has nothing to say shows that it lives.
ALIVE_S = 15.0
#: Events that are read at a time.
_BATCH = 500
_STATUS: tuple[tuple[type[OvernightError], int], ...] = (
    (UnknownTask, 404),
    (UnknownRepo, 404),
    (BadState, 409),
    (NotDecided, 409),
    (BadInput, 400),
    (NotYours, 403),
    (StateNotWritable, 503),
    (Refused, 409),
    (Unavailable, 503),
)


class Busy:
    """Threads for what blocks, and how many streams are open."""

    def __init__(self) -> None:
        self._limiter: CapacityLimiter | None = None
        self.streams = 0

    async def run(self, do: Callable[..., Any], *args: Any) -> Any:
        """In a thread."""
        self._limiter = self._limiter or CapacityLimiter(THREADS)
        return await to_thread.run_sync(partial(do, *args), limiter=self._limiter)

    async def pause(self, seconds: float) -> None:
        """A stream gives others their turn."""
        await asyncio.sleep(seconds)


def status_of(error: OvernightError) -> int:
    """The HTTP status that says what kind of error it is."""
    return next((code for kind, code in _STATUS if isinstance(error, kind)), 500)


def application(site: Site, more: Callable[[Busy], Iterable[BaseRoute]] = lambda _busy: ()) -> Shield:
    """Everything that is served. more: the pages' routes."""
    from overnight.api.hooks import PATH, Hooks
    from overnight.api.metrics import metrics
    from overnight.api.openapi import document

    busy = Busy()

    async def health(_request: Request) -> Response:
        seen = site.health()
        return JSONResponse({"state": seen.state}, status_code=200 if seen.state == "up" else 503)

    async def counted(_request: Request) -> Response:
        return Response(await busy.run(metrics, site, busy.streams), media_type="text/plain; version=0.0.4")

    async def described(_request: Request) -> Response:
        return JSONResponse(document())

    routes: list[BaseRoute] = [
        *(Route(each.path, _handler(site, busy, each), methods=[each.method]) for each in OPERATIONS),
        Route("/api/events", partial(_events, site, busy), methods=["GET"]),
        Route(PATH, Hooks(site, busy).github, methods=["POST"]),
        Route("/health", health, methods=["GET"]),
        Route("/metrics", counted, methods=["GET"]),
        Route("/openapi.json", described, methods=["GET"]),
        *more(busy),
    ]
    handlers: Any = {HTTPException: _http_error, TooMuch: _too_much, OvernightError: _told, Exception: _unexpected}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Shield(app, site.access, site.machine.web.names)


# -- operations ---------------------------------------------------------------------------------------------


def _handler(site: Site, busy: Busy, operation: Operation) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        body = read_body(await request.body(), request, operation) if operation.body is not None else None
        asked = Asked(site, str(request.state.who), name_of(request), read_query(request, operation.query), body)
        answer = await busy.run(_answered, operation, asked)
        return Response(answer, status_code=operation.status, media_type=operation.media)

    return handle


def _answered(operation: Operation, asked: Asked) -> bytes:
    if operation.method != "GET" and operation.id not in OWN_RIGHTS:
        acts.allowed(asked.site, asked.actor, Right.MANAGE)
    if operation.media != "application/json":
        return asked.site.machine.redact(operation.do(asked)).encode()
    return msgspec.json.encode(without(operation.do(asked), asked.site.machine.redact))


def without(value: Any, redact: Callable[[str], str]) -> Any:
    """A view as plain values, its texts without secrets."""

    def clean(part: Any) -> Any:
        if isinstance(part, str):
            return redact(part)
        if isinstance(part, dict):
            return {key: clean(each) for key, each in part.items()}  # pyright: ignore[reportUnknownVariableType]
        if isinstance(part, list | tuple):
            return [clean(each) for each in part]  # pyright: ignore[reportUnknownVariableType]
        return part

    return clean(builtins(value))


def name_of(request: Request) -> str:
    """The part of the address that is not fixed. Raises UnknownTask for what can't be a name."""
    parts = tuple(request.path_params.values())
    name = str(parts[0]) if parts else ""
    if parts and not PART.fullmatch(name):
        raise UnknownTask(task=name[:60], hint="")
    return name


def read_query(request: Request, kind: type[msgspec.Struct]) -> Any:
    """The query as a value. Raises BadInput."""
    pairs = request.query_params.multi_items()
    if len({key for key, _ in pairs}) != len(pairs):
        raise BadInput(problem="A key of the query is there twice. Say it once.")
    try:
        return msgspec.convert(dict(pairs), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(problem=f"The query does not fit: {error}. `/openapi.json` says what does.") from error


def read_body(data: bytes, request: Request, operation: Operation) -> Any:
    """The body as a value. Raises BadInput, HTTPException 415."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON, with `content-type: application/json`.")
    assert operation.body is not None
    try:
        return convert(msgspec.json.decode(data), operation.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadInput(problem=f"The body does not fit: {error}. `/openapi.json` says what does.") from error


# -- errors -------------------------------------------------------------------------------------------------


def problem(status: int, kind: str, message: str, headers: Any = None) -> Response:
    """An answer that is none."""
    body = msgspec.json.encode(Problem(error=Fault(kind=kind, message=message)))
    return Response(body, status_code=status, media_type="application/json", headers=headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, f"http_{error.status_code}", str(error.detail), error.headers)


async def _too_much(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TooMuch)
    found = error.refusal
    return problem(found.status, found.kind, found.message, {"connection": "close"})


async def _told(_request: Request, error: Exception) -> Response:
    assert isinstance(error, OvernightError)
    return problem(status_of(error), type(error).__name__, str(error))


async def _unexpected(_request: Request, error: Exception) -> Response:
    """Nothing of it is told to whoever asked; the log has all."""
    traceback.print_exception(error, file=sys.stderr)
    return problem(500, "Unexpected", "Something unexpected happened. The details are in the server's log.")


# -- events -------------------------------------------------------------------------------------------------


async def _events(site: Site, busy: Busy, request: Request) -> Response:
    """The journal's events as they come; each carries its number, so that a client goes on where it was."""
    query: EventsQuery = read_query(request, EventsQuery)
    last = request.headers.get("last-event-id", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else query.after
    return stream(busy, _event_lines(site, busy, site.pulse.seq if after is None else after, query.task))


async def _event_lines(site: Site, busy: Busy, after: int, task: str | None) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    while not site.pulse.ended:
        beat, seq = site.pulse.beat, site.pulse.seq
        fresh = site.pulse.after(after)
        if fresh is None:
            found = await busy.run(looks.events, site, after, _BATCH, task)
            lines = [_line(site, event) for event in found]
            after = found[-1].seq if len(found) == _BATCH else max(seq, after, *(event.seq for event in found))
        else:
            lines = [_words(site, each) for each in fresh if task in (None, each.row["task"])]
            after = fresh[-1].seq if fresh else after
        yield b"".join(lines) or b": alive\n\n"
        if fresh is not None or len(lines) < _BATCH:
            await site.pulse.wait(beat, ALIVE_S)


def _words(site: Site, fresh: Fresh) -> bytes:
    """One of the latest events, put into words once for all who listen."""
    if fresh.line is None:
        fresh.line = _line(site, looks.event_of(fresh.row))
    return fresh.line


def _line(site: Site, event: Event) -> bytes:
    body = json.dumps(without(event, site.machine.redact), ensure_ascii=False)
    return f"id: {event.seq}\nevent: {event.what}\ndata: {body}\n\n".encode()


def stream(busy: Busy, lines: AsyncIterator[bytes]) -> Response:
    """Server-sent events; refused when too many are open."""
    if busy.streams >= MOST_STREAMS:
        return problem(503, "too_many", "Too many streams are open. Close some.", {"retry-after": "5"})

    async def counted() -> AsyncIterator[bytes]:
        busy.streams += 1
        try:
            async for line in lines:
                yield line
        finally:
            busy.streams -= 1

    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(counted(), media_type="text/event-stream", headers=headers)
