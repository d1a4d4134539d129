"""What goes over the daemon's socket: one JSON line each way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import overnight.errors as errors
from overnight.durable.inside import run_above
from overnight.errors import OvernightError

NAME = "daemon.sock"
#: The one verb that changes nothing: whether a daemon lives.
LOOK = "ping"
#: Bytes that a unix socket's address holds; macOS has the fewest.
MAX_ADDRESS = 103
#: A submitted task's text is the largest thing that travels.
MAX_LINE = 8 << 20


@contextlib.contextmanager
def short_path(home: Path) -> Generator[str]:
    """The socket's path; by way of an open folder where it is longer than a unix socket's address may be."""
    path = str(home / NAME)
    if len(os.fsencode(path)) <= MAX_ADDRESS:
        yield path
        return
    if not Path("/proc/self/fd").is_dir():
        raise errors.BadInput(problem=f"{home} is too long a path for a socket. Set OVERNIGHT_HOME to a shorter one.")
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{NAME}"
    finally:
        os.close(fd)


def error_to_json(error: OvernightError) -> dict[str, Any]:
    """An error of the family, to be raised again on the other side."""
    return {"error": type(error).__name__, "fields": {k: str(v) for k, v in error.fields.items()}}


def error_from_json(answer: dict[str, Any]) -> OvernightError:
    """The same error again; one that this side does not know keeps its words."""
    kind = getattr(errors, answer["error"], None)
    if isinstance(kind, type) and issubclass(kind, OvernightError):
        with contextlib.suppress(KeyError):
            return kind(**answer["fields"])
    return errors.BadInput(problem=f"{answer['error']}: {answer['fields']}")


Call = Callable[[str, dict[str, Any]], Any]


class Server:
    """Answers on `home/daemon.sock`; only the user who owns the state folder gets there (0700)."""

    def __init__(self, home: Path, call: Call) -> None:
        self._home, self._call = home, call
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """The journal's lock is held, so a socket file that is there belongs to a dead daemon."""
        with contextlib.suppress(FileNotFoundError):
            (self._home / NAME).unlink()
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(link.fileno(), 0o600)  # before it has a name, so that nobody gets in meanwhile
            with short_path(self._home) as path:
                link.bind(path)
                (self._home / NAME).chmod(0o600)
                self._server = await asyncio.start_unix_server(self._serve, sock=link, limit=MAX_LINE)
        except BaseException:
            link.close()
            raise

    async def stop(self) -> None:
        """Close the socket, drop every connection."""
        if self._server is not None:
            self._server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            with contextlib.suppress(FileNotFoundError):
                (self._home / NAME).unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task, run = asyncio.current_task(), self._run_of(writer)
        assert task is not None, "asyncio serves every connection in a task"
        self._serving.add(task)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(line, run)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # the other side left, or sent a line longer than the limit
        finally:
            self._serving.discard(task)
            writer.close()

    def _run_of(self, writer: asyncio.StreamWriter) -> str | None:
        """The run that the other side is part of, by what the kernel knows of it."""
        peer = getattr(socket, "SO_PEERCRED", None)
        if peer is None:
            return None
        link: socket.socket = writer.get_extra_info("socket")
        (pid,) = struct.unpack_from("i", link.getsockopt(socket.SOL_SOCKET, peer, 12))
        # One that has gone hears no answer, and nobody can say any more what it was part of.
        gone = pid > 0 and Path("/proc/self").exists() and not Path(f"/proc/{pid}").exists()
        return "that nobody can name" if gone else run_above(pid, self._home)

    def _answer(self, line: bytes, run: str | None) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if run is not None and request["verb"] != LOOK:
                raise errors.InsideRun(run=run)
            return {"ok": self._call(request["verb"], request["arguments"])}
        except OvernightError as error:
            return error_to_json(error)
        except (ValueError, KeyError, TypeError) as error:
            return error_to_json(errors.BadInput(problem=f"The daemon did not understand the request: {error}"))
