"""A state folder with one task that waits for a word, and everything to try on it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overnight.durable.clock import Clock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.flow import Finish, Story
from overnight.durable.journal import Journal, Observer, read_events
from overnight.flows.deciding import ask_about, decided
from overnight.missions.approval import Action, Redeemed, Refusal, Right
from overnight.missions.hold import Hold, HoldReason
from overnight.people.operators import Person
from overnight.people.verbs import read_redeemed, verbs

COMMIT, OTHER = "a" * 40, "b" * 40
ANN = Person(may=(Right.APPROVE, Right.ANSWER), senders={"telegram": ("1001",), "ntfy": ("ann-topic",)})
BOB = Person(may=(Right.APPROVE, Right.ANYWAY, Right.ANSWER), senders={"telegram": ("2002",)})
PEOPLE: Mapping[str, Person] = {"ann": ANN, "bob": BOB}
HOLD = Hold(reason=HoldReason.NEEDS_APPROVAL, why="risk 40 of 100", releases_on="a word")


class Hand:
    """A clock that is moved by hand."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def now(self) -> float:
        """Epoch seconds."""
        return self.at

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Until the event; times come by hand only."""
        del until
        await event.wait()


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """An observer that ends the process at the n-th moment around a commit; None counts them only."""

    def __init__(self, at: int | None) -> None:
        self.at, self.count = at, 0

    def __call__(self, moment: str, label: str) -> None:
        """Called before and after each commit."""
        del moment, label
        self.count += 1
        if self.at is not None and self.count > self.at:
            raise Killed


def redeemer(home: Path) -> subprocess.Popen[str]:
    """A process that says `ready`, reads a token and redeems it for ann, by whichever way into the journal is free."""
    code = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from people_lab import PEOPLE\n"
        "from overnight.durable.client import Client\n"
        "from overnight.people.verbs import verbs\n"
        "client = Client(Path(sys.argv[1]), more=lambda journal: verbs(journal, PEOPLE))\n"
        "print('ready', flush=True)\n"
        "token = sys.stdin.readline().strip()\n"
        "print(json.dumps(client.call('redeem', token=token, sender='1001', channel='telegram')))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(home)], text=True, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


class Lab:
    """One journal, opened for each act as a process of its own would. landed: what came of decisions, in order."""

    def __init__(self, home: Path, people: Mapping[str, Person] = PEOPLE, clock: Clock | None = None) -> None:
        self.home, self.people, self.clock = home, people, clock or Hand()
        self.commits = [COMMIT]
        self.anyway = False
        self.landed: list[str] = []
        self.tokens: list[str] = []

    def call(self, verb: str, *, observer: Observer | None = None, **arguments: Any) -> Any:
        """Ask the desk, in a journal of its own."""
        journal = Journal(self.home, clock=self.clock, observer=observer)
        try:
            return Desk(journal, more=verbs(journal, self.people)).call(verb, {"actor": "test", **arguments})
        finally:
            journal.close()

    def submit(self, task: str = "t1") -> str:
        """A task that asks about each of `commits` in turn."""
        self.call("submit", id=task, flow="ask", lane="shop", input={"title": "Change it"}, phase="queued")
        self.drive()
        return task

    def drive(self, observer: Observer | None = None) -> None:
        """Carry every task as far as it goes."""
        asyncio.run(self._drive(observer))

    async def _drive(self, observer: Observer | None) -> None:
        journal = Journal(self.home, clock=self.clock, observer=observer)
        engine = Engine(journal, {"ask": self._flow})
        driving = asyncio.create_task(engine.run())
        try:
            idle = asyncio.create_task(engine.idle())
            await asyncio.wait((idle, driving), return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()
        finally:
            engine.close()
            try:
                await driving
            finally:
                journal.close()

    async def _flow(self, t: Story) -> Finish:
        commits = await t.step("commits", self._commits)
        for n, commit in enumerate(commits):
            decision = await decided(t, f"decision {n}", HOLD, ask_about(t, f"{n}.1", commit, anyway=self.anyway))
            if not decision.approved:
                return Finish("rejected", decision.why, None)
            await t.step(f"land {n}", self._land, f"{commit} by {decision.by}")
        return Finish("landed", "", None)

    async def _commits(self) -> list[str]:
        return self.commits

    async def _land(self, what: str) -> None:
        if what not in self.landed:  # a step looks before it acts
            self.landed.append(what)

    # -- words ----------------------------------------------------------------------------------------------

    def issue(self, operator: str = "ann", action: Action = Action.LAND, ask: str = "t1", **more: Any) -> str:
        """A token."""
        return self.call("issue", ask=ask, operator=operator, action=action, **more)

    def redeem(self, token: str, sender: str = "1001", channel: str = "telegram", **more: Any) -> Redeemed | Refusal:
        """What comes of a token."""
        return read_redeemed(self.call("redeem", token=token, sender=sender, channel=channel, **more))

    # -- looks ----------------------------------------------------------------------------------------------

    def events(self, what: str) -> list[dict[str, Any]]:
        """The data of all events of a kind, with actor and why."""
        journal = Journal(self.home, clock=self.clock)
        try:
            found = [event for event in read_events(journal.db) if event.what == what]
        finally:
            journal.close()
        return [{**json.loads(each.data), "actor": each.actor, "why": each.why, "task": each.task} for each in found]

    def row(self, task: str = "t1") -> dict[str, Any]:
        """The task's row."""
        journal = Journal(self.home, clock=self.clock)
        try:
            return dict(journal.db.execute("SELECT * FROM task WHERE id = ?", (task,)).fetchone())
        finally:
            journal.close()
