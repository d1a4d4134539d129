"""A journal, an engine and a phone: one process of a daemon's, without its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from notify_lab import PATIENCE
from people_lab import COMMIT, HOLD

from overnight.config import Settings, parse_settings
from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.flow import Finish, Story
from overnight.durable.journal import Journal, Observer
from overnight.flows.deciding import ask_about, decided
from overnight.missions.hold import Hold, HoldReason
from overnight.people.channels.buttons import PhoneButtons
from overnight.people.channels.listen import Listeners
from overnight.people.notify import Notifier
from overnight.people.record import Record
from overnight.people.verbs import verbs

ENVIRON = {"PATH": "/usr/bin:/bin", "BOT": "12345:AAF-test_token", "NTFY": "tk_reader"}
PEOPLE = """
[people.ann]
may = ["approve", "answer"]
senders = { telegram = ["1001"], ntfy = ["replies"] }
"""
NTFY = (
    PEOPLE
    + """
[notify.targets.phone]
kind = "ntfy"
url = "http://127.0.0.1:PORT/alerts"
replies = "replies"
person = "ann"
"""
)
TELEGRAM = (
    PEOPLE
    + """
[notify.targets.phone]
kind = "telegram"
url = "http://127.0.0.1:PORT"
token = "${BOT}"
chat = "77"
person = "ann"
"""
)


async def soon(wait: Any) -> Any:
    """The result of what must come."""
    async with asyncio.timeout(PATIENCE):
        return await wait


class Process:
    """One life of the daemon's parts that people meet. `landed`: what decisions led to."""

    def __init__(self, home: Path, text: str, clock: ManualClock, landed: list[str], observer: Observer | None) -> None:
        self.settings: Settings = parse_settings(text.encode(), "config.toml")
        self.clock, self.landed = clock, landed
        self.changed = asyncio.Event()

        def watch(moment: str, label: str) -> None:
            self.changed.set()
            if observer is not None:
                observer(moment, label)  # which may cut us off

        self.journal = Journal(home, clock=clock, observer=watch)
        self.engine = Engine(self.journal, {"ask": self._ask, "question": self._question})
        self.desk = Desk(self.journal, self.engine.poke, verbs(self.journal, self.settings.people))
        notify, people = self.settings.notify, self.settings.people
        self.record = Record(self.journal)
        base = self.settings.web.url or ""
        self.notifier = Notifier(self.journal, notify, ENVIRON, PhoneButtons(self.journal, people, base))
        self.said: list[str] = []
        self.listeners = Listeners(self.journal, notify, people, self.engine.poke, self._say, ENVIRON, self.record)

    def _say(self, text: str) -> None:
        self.said.append(text)
        self.changed.set()

    async def _ask(self, t: Story) -> Finish:
        decision = await decided(t, "decision 1", HOLD, ask_about(t, "1.1", COMMIT))
        self.landed.append(f"{t.id} {decision.approved} by {decision.by}")
        return Finish("landed" if decision.approved else "rejected", decision.why, None)

    async def _question(self, t: Story) -> Finish:
        hold = Hold(reason=HoldReason.NEEDS_ANSWER, why="1. Which format?", releases_on="`overnight answer q1`")
        words = await t.ask("answer", hold)
        self.landed.append(f"{t.id} hears {words}")
        return Finish("landed", "", None)

    async def submit(self, task: str = "t1", flow: str = "ask") -> None:
        """A task that asks, and the message about it."""
        arguments = {
            "actor": "cli",
            "id": task,
            "flow": flow,
            "lane": "shop",
            "input": {"title": "Mend it"},
            "phase": "queued",
        }
        self.desk.call("submit", arguments)
        await self.engine.idle()
        await self.tell()

    async def tell(self) -> None:
        """Everything that waits to be told goes out."""
        self.notifier.step()
        self.clock.advance(5)
        while (self.notifier.outbox.next_due() or self.clock.now() + 1) <= self.clock.now():
            self.notifier.step()
            await self.notifier.settled()

    async def until(self, what: Any) -> None:
        """Until a look at this process says so."""
        async with asyncio.timeout(PATIENCE):
            while not what():
                self.changed.clear()
                if not what():
                    await self.changed.wait()

    def count(self, what: str) -> int:
        """Events of a kind."""
        return self.journal.db.execute("SELECT count(*) FROM event WHERE what = ?", (what,)).fetchone()[0]

    def refusals(self) -> list[str]:
        """The reasons of all refusals on record."""
        sql = "SELECT json_extract(data, '$.reason') AS reason FROM event WHERE what = 'approval.refused' ORDER BY seq"
        return [row["reason"] for row in self.journal.db.execute(sql)]


@asynccontextmanager
async def process(
    home: Path,
    text: str,
    clock: ManualClock,
    landed: list[str],
    *,
    hears: bool = True,
    observer: Observer | None = None,
) -> AsyncGenerator[Process]:
    """A process that lives in a state folder until the block ends, or is cut off."""
    made = Process(home, text, clock, landed, observer)
    made.notifier.outbox.take()
    tasks = [asyncio.create_task(made.engine.run())]
    if hears:
        tasks.append(asyncio.create_task(made.listeners.run()))
    try:
        yield made
    finally:
        made.engine.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        made.journal.close()
