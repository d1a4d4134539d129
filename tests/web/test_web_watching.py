"""However many watch, what they see is made once; and nobody misses anything for it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic

import pytest
from web_served import Pages

from overnight.api.lately import DEAR_S, LATE_S, MOST_S, PART, SHARED, Lately
from overnight.api.pictures import Pictures
from overnight.api.pulse import KEPT, Pulse
from overnight.durable.clock import ManualClock
from overnight.durable.journal import Journal, connect
from overnight.errors import BadInput
from overnight.report.watch import Watch

VIEWERS = 50


class Easel:
    """Draws what there is to see, and counts."""

    def __init__(self) -> None:
        self.shown, self.drawn = "one", 0

    async def run(self, do: Callable[[], str]) -> str:
        return await asyncio.to_thread(do)

    def draw(self) -> str:
        self.drawn += 1
        return self.shown


async def picture(stream: AsyncIterator[bytes]) -> str:
    """The next one that a viewer is sent."""
    while True:
        message = await anext(stream)
        if message.startswith(b"data: "):
            return message.decode().removeprefix("data: ").strip()


def test_a_picture_is_drawn_once_for_all_who_watch(tmp_path: Path) -> None:
    """Fifty viewers, one drawing for each change; who comes later sees the one that is there; changes in quick
    succession come as the last of them."""

    async def story() -> None:
        pulse, easel = Pulse(tmp_path), Easel()
        pictures = Pictures(pulse, easel)
        streams = [pictures.watch("now", easel.draw) for _ in range(VIEWERS)]
        assert {await picture(stream) for stream in streams} == {"one"}
        assert easel.drawn == 1
        waiting = [asyncio.ensure_future(picture(stream)) for stream in streams]
        await asyncio.sleep(0)
        easel.shown = "two"
        pulse.touch()
        assert set(await asyncio.gather(*waiting)) == {"two"}
        assert easel.drawn == 2
        late = pictures.watch("now", easel.draw)
        assert await picture(late) == "two"
        assert easel.drawn == 2
        for n in range(20):
            easel.shown = f"quick {n}"
            pulse.touch()
        seen = [await picture(stream) for stream in (*streams, late)]
        assert set(seen) == {"quick 19"}
        assert easel.drawn == 3
        other = pictures.watch("another", lambda: "a picture of its own")
        assert await picture(other) == "a picture of its own"

    asyncio.run(story())


def test_what_cannot_be_drawn_is_said_and_drawn_again(tmp_path: Path) -> None:
    """An error is a picture too; the next change brings the thing itself."""

    async def story() -> None:
        pulse, broken = Pulse(tmp_path), [True]
        pictures = Pictures(pulse, Easel())

        def draw() -> str:
            if broken[0]:
                raise BadInput(problem="it is not there")
            return "there"

        stream = pictures.watch("now", draw)
        assert "BadInput" in await picture(stream)
        broken[0] = False
        pulse.touch()
        assert await picture(stream) == "there"

    asyncio.run(story())


def test_the_latest_events_are_those_of_the_journal(tmp_path: Path) -> None:
    """From every place that is still among them: the same rows, in order, none twice; from before: nothing is made up."""
    with closing(Journal(tmp_path)) as journal:
        for n in range(3):
            journal.tell("before", n=n)
        pulse = Pulse(tmp_path)
        pulse.start()
        try:
            for burst in (1, 2, KEPT + 7, 5):
                with journal.tx("burst"):
                    for n in range(burst):
                        journal.tell("then", n=n)
                last = journal.db.execute("SELECT max(seq) FROM event").fetchone()[0]
                asyncio.run(_until(pulse, last))
                with closing(connect(tmp_path / "journal.db", read_only=True)) as db:
                    rows = db.execute("SELECT seq, at, task, actor, what, why, data FROM event ORDER BY seq").fetchall()
                kept = pulse.after(last - min(KEPT, last - 3))
                assert kept is not None
                first = kept[0].seq if kept else last + 1
                for after in range(last + 2):
                    found = pulse.after(after)
                    if found is None:
                        assert after + 1 < first
                    else:
                        assert [tuple(each.row) for each in found] == [tuple(row) for row in rows if row["seq"] > after]
            assert pulse.after(last - KEPT - 8) is None
        finally:
            pulse.stop()


def watched() -> list[int]:
    """Inodes of the folders that the kernel watches for this process."""
    found = list[int]()
    for info in Path("/proc/self/fdinfo").iterdir():
        with suppress(OSError):  # one that is closed by now, such as that of this list
            found += [
                int(each, 16) for each in re.findall(r"^inotify wd:\S+ ino:(\S+)", info.read_text(), re.MULTILINE)
            ]
    return sorted(found)


def inodes(*folders: Path) -> list[int]:
    return sorted(folder.stat().st_ino for folder in folders)


def test_only_the_folders_that_are_wanted_are_watched(tmp_path: Path) -> None:
    """Fifty folders one after the other, some of them removed meanwhile: the kernel watches the last one, besides the
    one that stays, also under its second name; a folder that was removed and made anew is watched again."""
    stays, folder, before = tmp_path / "stays", tmp_path / "run", watched()
    stays.mkdir()
    with Watch() as watch:
        for n in range(50):
            folder = tmp_path / f"run-{n}"
            folder.mkdir()
            watch.only([stays, folder])
            assert [each for each in watched() if each not in before] == inodes(stays, folder)
            if n % 2:
                folder.rmdir()
        watch.only([stays])
        folder.mkdir()
        watch.only([stays, folder])
        (tmp_path / "link").symlink_to(stays)
        watch.only([stays, folder, tmp_path / "link"])
        watch.only([folder, tmp_path / "link"])
        assert [each for each in watched() if each not in before] == inodes(stays, folder)
    assert watched() == before


def test_runs_that_ended_are_watched_no_more(tmp_path: Path) -> None:
    """Pages follow the runs that go on: of those before nothing is left."""
    before, home, pulse = watched(), tmp_path / "state", Pulse(tmp_path / "state")
    home.mkdir()
    pulse.start()
    try:
        for n in range(5):
            run = home / "runs" / str(n)
            run.mkdir(parents=True)
            pulse.follow([run])
            until = monotonic() + 60
            while (now := [each for each in watched() if each not in before]) != inodes(home, run):
                assert monotonic() < until, now
                beat = pulse.beat
                (home / "changed").write_text(str(beat))
                asyncio.run(pulse.wait(beat, 1.0))
    finally:
        pulse.stop()


async def _until(pulse: Pulse, seq: int) -> None:
    while pulse.seq < seq:
        await pulse.wait(pulse.beat, 30.0)


def test_who_comes_back_after_long_goes_on_without_a_gap(pages: Pages) -> None:
    """More events than are kept at hand: they come from the journal, then as they happen, each once."""
    with closing(Journal(pages.home)) as journal:
        with journal.tx("many"):
            for n in range(KEPT + 100):
                journal.tell("many", n=n)
        with pages.http.stream("/api/events?after=0") as stream:
            seen = list[int]()
            while len(seen) < KEPT + 150:
                line = stream.readline()
                if line.startswith(b"id: "):
                    seen.append(int(line[4:]))
                    if len(seen) >= KEPT + 100:
                        journal.tell("one more")
    assert seen == list(range(1, KEPT + 151))


class Maker:
    """Makes values, as slowly as it is told."""

    def __init__(self, clock: ManualClock, took: float) -> None:
        self.clock, self.took, self.made = clock, took, 0

    def make(self) -> int:
        self.made += 1
        self.clock.advance(self.took)
        return self.made


def _in_the_background() -> None:
    """Wait for what is made there."""
    for thread in threading.enumerate():
        if thread.name == "overnight-lately":
            thread.join()


def test_what_is_cheap_is_made_anew_for_each_change() -> None:
    """And once only where nothing changed, for a while."""
    clock = ManualClock()
    lately, maker = Lately(clock.now), Maker(clock, DEAR_S / 2)
    assert [lately.get("a", mark, maker.make) for mark in (1, 1, 2, 2, 1)] == [1, 1, 2, 2, 3]
    clock.advance(MOST_S)
    assert lately.get("a", 1, maker.make) == 4


def test_what_is_dear_serves_on_while_it_is_made_anew() -> None:
    """It is made in the background once it has rested long enough; what is too old serves nobody."""
    clock = ManualClock()
    lately, maker = Lately(clock.now), Maker(clock, DEAR_S * 2)
    assert lately.get("a", 1, maker.make) == 1
    assert lately.get("a", 2, maker.make) == 1
    assert maker.made == 1
    clock.advance(maker.took * PART * 1.01)
    assert lately.get("a", 2, maker.make) == 1
    _in_the_background()
    assert maker.made == 2
    clock.advance(maker.took * SHARED * 1.01)
    assert lately.get("a", 3, maker.make) == 3


def test_what_takes_long_serves_no_longer_than_an_eye_forgives() -> None:
    """However dear it is; unless it is said how late it may be."""
    clock = ManualClock()
    lately, maker = Lately(clock.now), Maker(clock, LATE_S)
    assert lately.get("a", 1, maker.make) == 1
    clock.advance(LATE_S)
    assert lately.get("a", 2, maker.make, late=LATE_S * 2) == 1
    assert lately.get("a", 2, maker.make) == 2


def test_what_fails_is_told_to_who_asks() -> None:
    """No old value stands in for an error, and an error is not kept."""

    def fails() -> int:
        raise BadInput(problem="it is not there")

    lately = Lately(ManualClock().now)
    with pytest.raises(BadInput):
        lately.get("a", 1, fails)
    assert lately.get("a", 1, lambda: 7) == 7
