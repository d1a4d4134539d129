"""The brief of every night is made once, whatever comes between."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Generator
from datetime import datetime
from pathlib import Path

import pytest

from overnight.durable.clock import ManualClock
from overnight.durable.journal import Journal, read_events
from overnight.judge.limits import Ceilings
from overnight.report.mornings import Mornings
from overnight.report.nights import ReportSettings, kept, nights

HOUR = 3600.0


def at(text: str) -> float:
    """A moment by this machine's clock."""
    return datetime.fromisoformat(text).astimezone().timestamp()


class Desk:
    """A journal on a clock of the test's own, and what makes its briefs."""

    def __init__(self, home: Path, now: float) -> None:
        self.home, self.clock, self.said = home, ManualClock(now), list[str]()
        self.broken_at = ""
        self.journal = Journal(home, clock=self.clock, observer=self._break)

    def _break(self, moment: str, label: str) -> None:
        if f"{moment} {label}" == self.broken_at:
            raise sqlite3.OperationalError("cut off")

    def mornings(self) -> Mornings:
        return Mornings(self.journal, ReportSettings(), Ceilings(), lambda text: text, self.said.append)

    def make(self) -> tuple[str, ...]:
        return asyncio.run(self.mornings().make())

    def waits(self) -> bool:
        """Somebody waits for the clock."""
        return self.clock.waited_for

    def told(self) -> list[dict[str, object]]:
        return [json.loads(each.data) for each in read_events(self.journal.db) if each.what == "report.made"]


@pytest.fixture
def desk(tmp_path: Path) -> Generator[Desk]:
    """Something happened on the evening of the 20th."""
    desk = Desk(tmp_path, at("2026-11-20T22:00"))
    desk.journal.tell("daemon.up")
    yield desk
    desk.journal.close()


def test_nothing_is_due_before_the_morning(desk: Desk) -> None:
    """The night that is under way gets none, and a day before the first thing that happened neither."""
    assert desk.make() == ()
    desk.clock.advance(9 * HOUR)
    assert desk.make() == ("2026-11-21",)
    assert desk.make() == ()


def test_a_night_has_one_brief_and_one_event(desk: Desk) -> None:
    """File, record and event say the same."""
    desk.clock.advance(9 * HOUR + 30)
    desk.make()
    [told] = desk.told()
    assert (told["night"], told["late"], told["latest"]) == ("2026-11-21", 0.0, True)
    found = kept(desk.home, "2026-11-21")
    assert found is not None
    assert (found.since, found.until) == (at("2026-11-20T07:00"), at("2026-11-21T07:00"))
    assert Path(str(told["path"])).read_text().startswith("# Night of Saturday 21 November 2026\n")


def test_missed_nights_are_made_up_for_and_say_so(desk: Desk) -> None:
    """A machine that slept for two days: both nights, the latest last, each with how late it is."""
    desk.clock.advance(2 * 24 * HOUR)
    assert desk.make() == ("2026-11-21", "2026-11-22")
    assert [(each["night"], each["late"], each["latest"]) for each in desk.told()] == [
        ("2026-11-21", 39 * HOUR, False),
        ("2026-11-22", 15 * HOUR, True),
    ]
    words = (desk.home / "reports" / "2026-11-22.md").read_text()
    assert "made 15h00m late" in words


def test_one_that_was_cut_off_is_made_again(desk: Desk) -> None:
    """Files without a record are no brief: the next try makes them anew, and it is told once."""
    desk.clock.advance(9 * HOUR)
    desk.broken_at = "before report"
    with pytest.raises(sqlite3.OperationalError, match="cut off"):
        desk.make()
    assert desk.told() == []
    desk.broken_at = ""
    assert desk.make() == ("2026-11-21",)
    assert len(desk.told()) == 1
    assert len(nights(desk.home)) == 1


def test_it_waits_for_the_morning_and_tries_again(desk: Desk) -> None:
    """On the clock alone: made at seven; what can't be written is said and tried again a minute later."""

    async def story() -> None:
        running = asyncio.create_task(desk.mornings().run())
        await until(desk.waits)
        (desk.home / "reports").write_text("in the way")
        desk.clock.advance(9 * HOUR)
        await until(lambda: bool(desk.said) and desk.waits())
        assert "could not be made" in desk.said[0]
        (desk.home / "reports").unlink()
        desk.clock.advance(60)
        await until(lambda: bool(desk.told()) and desk.waits())
        desk.clock.advance(24 * HOUR)
        await until(lambda: len(desk.told()) == 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())
    assert [each["night"] for each in desk.told()] == ["2026-11-21", "2026-11-22"]


async def until(condition: Callable[[], bool]) -> None:
    """Let everything else go on until it is so: work in threads announces itself to nobody here."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0)
