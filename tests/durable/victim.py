"""A process to be killed. `python victim.py HOME`: for every moment N of a task's life, a child of its own drives the
task in HOME/N and sends itself SIGKILL at that moment; then another child drives it to its end. Prints one line of
JSON for each: [moment, how the first ended, how the second ended]. Ends at the first life that nobody cut off."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.flow import Finish, Story
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool


class Disk:
    """A world of files: one per effect, made once, with a line for each time it was made."""

    def __init__(self, folder: Path, moment: Callable[[str, str], None]) -> None:
        self._folder, self._moment = folder, moment
        folder.mkdir(exist_ok=True)

    async def act(self, key: str) -> str:
        path = self._folder / key
        self._moment("looks", key)
        if not path.exists():
            with path.open("a") as file:
                file.write(f"{key}\n")
        self._moment("did", key)
        return key


def live(home: Path, die_at: int | None) -> None:
    """Drive the one task as far as it goes."""
    left = [die_at]

    def moment(_moment: str, _label: str) -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    async def story(t: Story) -> Finish:
        disk = Disk(home / "world", moment)
        with t.slot("work", "repo"):
            t.at("running")
            await t.step("one", disk.act, "one")
            await t.step("two", disk.act, "two")
        await t.sleep("nap", 60)
        said = await t.signal("go", str)
        with t.slot("landing", "repo"):
            await t.step("land", disk.act, "land")
        return Finish("landed", "", said)

    async def main() -> None:
        # a new process finds the clock further on
        clock = ManualClock(1_000_000.0 + (0 if die_at is not None else 30.0))
        journal = Journal(home, clock=clock, observer=moment)
        engine = Engine(journal, {"story": story}, {"work": Pool(total=1), "landing": Pool(per_key=1)})
        desk = Desk(journal, engine.poke)
        driver = asyncio.create_task(engine.run())
        desk.call(
            "submit", {"actor": "a", "id": "t1", "flow": "story", "lane": "repo", "input": None, "phase": "queued"}
        )
        while True:
            await engine.idle()
            row = journal.db.execute("SELECT state, wait_for FROM task").fetchone()
            if row["state"] == "done":
                break
            if row["wait_for"] == "signal go":
                desk.call("signal", {"actor": "a", "task": "t1", "name": "go", "payload": "yes"})
            else:
                clock.advance(60)
        engine.close()
        await driver
        journal.close()

    asyncio.run(main())


def in_child(home: Path, die_at: int | None) -> int:
    """The exit code of a child that lives there; negative for the signal that killed it."""
    child = os.fork()
    if child == 0:
        try:
            live(home, die_at)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(home: Path) -> None:
    for moment in count():
        place = home / str(moment)
        place.mkdir(parents=True)
        first = in_child(place, moment)
        print(json.dumps([moment, first, in_child(place, None)]), flush=True)
        if first == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
