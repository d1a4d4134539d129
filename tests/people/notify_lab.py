"""Far ends on 127.0.0.1 that speak published protocols: a webhook, a mail server; and an outbox to try them with."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from overnight.config import Settings, parse_settings
from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal, Observer
from overnight.missions.codec import builtins, encode
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.notice import Notice, Priority
from overnight.missions.task import Repo, Task
from overnight.people.outbox import Outbox, Result
from overnight.warden.http import Exchange, Request, Response, serve

#: Seconds after which a test that waits for something that must come is given up.
PATIENCE = 120.0
#: 2026-11-21 12:00 UTC, a Saturday.
NOON = 1_795_262_400.0

Handler = Callable[[Request, Exchange], Awaitable[Response | None]]


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncGenerator[int]:
    """A server on loopback; gives its port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen()
    server = await serve(sock, handler)
    try:
        yield sock.getsockname()[1]
    finally:
        await server.close()


class Webhook:
    """Takes JSON. `answers` are the statuses of the next requests; then 200."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        self.came = asyncio.Event()

    async def handle(self, request: Request, _exchange: Exchange) -> Response:
        self.paths.append(request.target)
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.got.append(json.loads(request.body))
        self.came.set()
        return Response.json(status, {"status": status})


class MailServer:
    """As much of RFC 5321 as a client needs that sends plain mail."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], str]] = []

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[int]:
        """Gives its port."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to: list[str] = []
        try:
            writer.write(b"220 localhost ESMTP\r\n")
            while line := (await reader.readline()).decode().strip():
                verb = line.split(" ")[0].upper()
                if verb == "DATA":
                    writer.write(b"354 go on\r\n")
                    self.mails.append((to, (await reader.readuntil(b"\r\n.\r\n")).decode()))
                    to = []
                elif verb == "RCPT":
                    to.append(line)
                writer.write(b"221 bye\r\n" if verb == "QUIT" else b"250 localhost\r\n")
                if verb == "QUIT":
                    break
            await writer.drain()
        finally:
            writer.close()


def settings(text: str) -> Settings:
    """Settings of a file's text."""
    return parse_settings(text.encode(), "config.toml")


def notice(key: str = "k", priority: Priority = Priority.HIGH, **more: Any) -> Notice:
    """A fact."""
    return Notice(key=key, priority=priority, title=f"{key} happened", **more)


class World:
    """A journal with its outbox, on a clock of the test's own."""

    def __init__(self, home: Path, text: str, *, now: float = NOON, observer: Observer | None = None) -> None:
        self.clock = ManualClock(now)
        self.settings = settings(text)
        self.journal = Journal(home, clock=self.clock, observer=observer)
        self.desk = Desk(self.journal)
        self.outbox = Outbox(self.journal, self.settings.notify)

    def submit(self, task: str, title: str = "Mend it") -> None:
        """A task of repo `shop`."""
        repo = Repo(name="shop", path="/nowhere", target="main")
        made = Task(id=task, repo=repo, title=title, text=title)
        arguments = {
            "actor": "cli",
            "id": task,
            "flow": "task",
            "lane": "shop",
            "input": builtins(made),
            "phase": "queued",
        }
        self.desk.call("submit", arguments)

    def hold(self, task: str, reason: HoldReason, why: str = "because", **more: Any) -> Hold:
        """The task is held, as the engine does it."""
        hold = Hold(reason=reason, why=why, releases_on=f"`overnight resume {task}`", **more)
        with self.journal.tx("park"):
            sql = "UPDATE task SET state = 'waiting', wait_for = 'hold', hold = ? WHERE id = ?"
            self.journal.db.execute(sql, (encode(hold).decode(), task))
            self.journal.tell("task.held", task=task, why=f"{hold.reason}: {hold.why}", until=hold.until)
        return hold

    def end(self, task: str, phase: str = "landed", why: str = "test passed") -> None:
        """The task ends."""
        with self.journal.tx("end"):
            self.journal.db.execute(
                "UPDATE task SET state = 'done', hold = NULL, phase = ? WHERE id = ?", (phase, task)
            )
            self.journal.tell("task.ended", task=task, why=why, phase=phase)

    def look(self) -> None:
        """All events so far become notices."""
        while self.outbox.take():
            pass

    def send(self, result: Result | None = None) -> list[tuple[str, list[str]]]:
        """Everything that is due goes out and is settled: (target, titles) of each message."""
        sent: list[tuple[str, list[str]]] = []
        while batches := self.outbox.begin():
            for batch in batches:
                sent.append((batch.target, [line.notice.title for line in batch.lines]))
                self.outbox.settle(batch.id, result or Result(ok=True, remote="1"))
        return sent

    def rows(self, sql: str = "SELECT * FROM delivery ORDER BY id") -> list[dict[str, Any]]:
        """Rows of the database."""
        return [dict(row) for row in self.journal.db.execute(sql)]

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()
