"""A daemon's parts, its socket and its pages in one loop, as a person's browser and programs meet them."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from msgspec.structs import replace
from notify_lab import NOON, PATIENCE, Webhook, serving
from phone_world import Process, process

from overnight.api.access import Access
from overnight.api.site import Machine
from overnight.durable.clock import ManualClock
from overnight.durable.wire import Server
from overnight.people.channels.http import Answer, ask
from overnight.web_process import listen, machine_of, serve, url_of

#: Ann's messages go to a webhook; her link leads to this machine. Bob may only pause.
CONFIG = """
[people.ann]
may = ["approve", "answer"]
[people.bob]
may = ["pause"]
[web]
port = 0
url = "http://127.0.0.1:8477"
[notify.targets.mail]
url = "json://127.0.0.1:PORT/"
person = "ann"
"""
FORM = {"content-type": "application/x-www-form-urlencoded"}


class World:
    """One machine."""

    def __init__(self, home: Path, process: Process, url: str, messages: Webhook) -> None:
        self.home, self.process, self.url, self.messages = home, process, url, messages
        self.access = Access(home, 3600.0, process.settings.people)

    async def get(self, path: str, **headers: str) -> Answer:
        """What a browser, or whatever follows links, gets."""
        return await ask("GET", self.url + path, headers=headers, limit=PATIENCE)

    async def post(self, path: str, form: dict[str, str], **headers: str) -> Answer:
        """A form that our own page sends, unless the headers say otherwise."""
        sent = {**FORM, "origin": self.url, **headers}
        body = urlencode(form).encode()
        return await ask(
            "POST", self.url + path, headers={k: v for k, v in sent.items() if v}, body=body, limit=PATIENCE
        )

    async def api(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> int:
        """A program's request; the status that it gets."""
        data = json.dumps(body).encode()
        return (await ask("POST", self.url + path, headers=headers, body=data, limit=PATIENCE)).status

    def link(self, n: int = 0) -> str:
        """The path of the link in a message."""
        found = re.search(r"http://127\.0\.0\.1:8477(/word/[\w.-]+/ask)$", self.messages.got[n]["message"])
        assert found is not None, self.messages.got[n]["message"]
        return found[1]


def forms(page: bytes) -> list[dict[str, str]]:
    """The forms of a link's page: their hidden fields."""
    found = re.findall(rb'name="token" value="([^"]*)">\s*<input type="hidden" name="action" value="([^"]*)"', page)
    return [{"token": token.decode(), "action": action.decode()} for token, action in found]


@asynccontextmanager
async def world(home: Path, text: str = CONFIG, clock: ManualClock | None = None) -> AsyncGenerator[World]:
    """Inside, it is served."""
    messages, landed = Webhook(), list[str]()
    async with serving(messages.handle) as port:
        text = text.replace("PORT", str(port))
        async with process(home, text, clock or ManualClock(NOON), landed, hears=False) as made:
            door = Server(home, made.desk.call)
            await door.start()
            ready: asyncio.Future[Callable[[], None]] = asyncio.get_running_loop().create_future()
            web = replace(made.settings.web, port=0)
            listening = listen(web)
            machine = machine_of(replace(made.settings, web=web), home)
            # A thread of its own, as it is a process of its own: it asks the daemon, which is this loop, and waits.
            pages = threading.Thread(target=_serve, args=(machine, listening, asyncio.get_running_loop(), ready))
            pages.start()
            end = await ready
            try:
                yield World(home, made, url_of(web, listening), messages)
            finally:
                end()
                await asyncio.to_thread(pages.join)
                listening.close()
                await door.stop()


def _serve(
    machine: Machine,
    listening: socket.socket,
    loop: asyncio.AbstractEventLoop,
    ready: asyncio.Future[Callable[[], None]],
) -> None:
    asyncio.run(serve(machine, listening, lambda end: loop.call_soon_threadsafe(ready.set_result, end)))


def run(main: Any) -> None:
    """A test's coroutine, to its end."""
    asyncio.run(main)
