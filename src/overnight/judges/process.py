"""One judge's process: started with nothing but what it is given, bounded in time and output, ended as a tree."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

_PIECE = 64 << 10
_MOST_ERRORS = 4000
#: Seconds in which the pipes of what was killed come to their ends.
_GRACE_S = 5.0


class Ended(Struct, frozen=True, kw_only=True):
    """How it went."""

    #: Exit code; negative for a signal.
    code: int
    out: bytes
    #: The end of what it printed on standard error.
    err: str
    #: It ran into the time limit.
    slow: bool = False
    #: It printed more than it may.
    flooded: bool = False


class _Flood(Exception):
    """More than it may print."""


async def converse(argv: Sequence[str], env: Mapping[str, str], given: bytes, limit: float, most: int) -> Ended:
    """Run it: given on standard input, an environment of its own, no folder of ours. limit: seconds. most: bytes.

    Whatever happens, its process group is dead when this returns. Raises OSError when it can't be started.
    """
    process = await asyncio.create_subprocess_exec(
        *argv, env=dict(env), cwd="/", start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = bytearray(), bytearray()
    talk: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(_feed(process.stdin, given)),
        asyncio.ensure_future(_read(process.stdout, out, most)),
        asyncio.ensure_future(_tail(process.stderr, err)),
        asyncio.ensure_future(process.wait()),
    ]
    try:
        done, late = await asyncio.wait(talk, timeout=limit, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await _gone(process, talk)
    flooded = any(isinstance(each.exception(), _Flood) for each in done)
    slow = bool(late) and not flooded
    code = process.returncode
    assert code is not None
    said = err[-_MOST_ERRORS:].decode(errors="replace").strip()
    return Ended(code=code, out=bytes(out[:most]), err=said, slow=slow, flooded=flooded)


async def _gone(process: asyncio.subprocess.Process, talk: list[asyncio.Future[Any]]) -> None:
    """All of it: what it started is in its group, and holds its pipes."""
    # One that is over with nobody at its pipes left nothing behind, and its number may be another's by now.
    if process.returncode is None or not all(each.done() for each in talk):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if talk[1].done() and process.stdout is not None:  # a flood that nobody reads on would keep its pipe open
            talk.append(asyncio.ensure_future(_tail(process.stdout, bytearray())))
        await asyncio.wait(talk, timeout=_GRACE_S)  # its pipes come to their ends now
    for each in talk:
        each.cancel()
    await asyncio.gather(*talk, return_exceptions=True)
    await process.wait()


async def _feed(stdin: asyncio.StreamWriter, given: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # it ended before it had read all: its exit says why
        stdin.write(given)
        await stdin.drain()
    stdin.close()
    with contextlib.suppress(ConnectionError):
        await stdin.wait_closed()


async def _read(stream: asyncio.StreamReader, into: bytearray, most: int) -> None:
    while piece := await stream.read(_PIECE):
        into += piece
        if len(into) > most:
            raise _Flood


async def _tail(stream: asyncio.StreamReader, into: bytearray) -> None:
    while piece := await stream.read(_PIECE):
        into += piece
        del into[:-_MOST_ERRORS]
