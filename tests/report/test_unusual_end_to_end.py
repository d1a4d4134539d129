"""Every promise about what is unusual, from the record that it is seen in to the brief and to the message a person gets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from overnight.config import parse_settings
from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal, read_events
from overnight.guard.verdict import Decision
from overnight.judge.anomalies import AnomalySettings, Severity
from overnight.judge.limits import Ceilings
from overnight.missions.codec import builtins, decode, encode
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.notice import Notice, Priority
from overnight.missions.task import Ending, Phase, Repo, Task
from overnight.missions.tokens import Tokens
from overnight.people.outbox import Outbox
from overnight.report.alerts import Alerts
from overnight.report.brief_read import brief
from overnight.report.brief_render import markdown
from overnight.report.nights import Night
from overnight.report.rundir import folder_of
from overnight.report.slept import Clocks, Sleeps
from overnight.warden.events import Asked, Changed, Decided, Event, Metered, TooFast
from overnight.watchdog.facts import Severity as Loud
from overnight.watchdog.facts import Tell
from overnight.watchdog.tell import _spool

NOW = 1_800_000_000.0
SETTINGS = AnomalySettings()


class Stage:
    """A machine with one run under way, an outbox, and clocks of the test's own."""

    def __init__(self, home: Path, settings: AnomalySettings = SETTINGS) -> None:
        self.home, self.clock, self.mono, self.boot = home, ManualClock(NOW), 100.0, 900.0
        self.journal = Journal(home, clock=self.clock)
        self.add("t")
        self.journal.db.execute("UPDATE task SET phase = ?", (Phase.RUNNING,))
        self.journal.db.execute("INSERT INTO step VALUES ('t', 1, 'open 1', '\"x\"', ?, ?)", (NOW, NOW))
        self.folder = folder_of(home, "t.1.1")
        self.folder.mkdir(parents=True)
        self.seq = 0
        daily = {"the brief": "07:00"}
        self.sleeps = Sleeps(daily, Clocks(lambda: self.mono, lambda: self.boot))
        self.alerts = Alerts(self.journal, settings, str, print, self.sleeps)
        told = parse_settings(b'[notify.targets.phone]\nurl = "json://127.0.0.1/a"\n', "config.toml").notify
        self.outbox = Outbox(self.journal, told)
        self.outbox.take()

    def add(self, ident: str, **more: Any) -> None:
        task = Task(id=ident, repo=Repo(name="r", path="/r", target="main"), title=ident, text=ident)
        Desk(self.journal).call(
            "submit", {"actor": "test", "id": ident, "flow": "task", "lane": "r", "input": builtins(task), "phase": "queued", **more}
        )  # fmt: skip

    def end(self, ident: str, phase: Phase) -> None:
        self.add(ident)
        done = Ending(phase=phase, why="so")
        self.journal.db.execute(
            "UPDATE task SET state = 'done', phase = ?, output = ?, updated = ? WHERE id = ?",
            (phase, encode(done).decode(), self.clock.now(), ident),
        )

    def record(self, *events: Event, every: float = 0.0) -> None:
        """As the warden writes it, one after the other so many seconds apart."""
        with (self.folder / "events.ndjson").open("ab") as file:
            for n, event in enumerate(events):
                self.seq += 1
                line = msgspec.structs.replace(event, seq=self.seq, at=NOW + n * every)
                file.write(msgspec.json.encode(line) + b"\n")

    def step(self) -> list[str]:
        """One look; the keys of what was raised."""
        return [each.key for each in asyncio.run(self.alerts.step())]

    def messages(self) -> list[Notice]:
        """What a person is told of what is unusual."""
        while self.outbox.take():
            pass
        rows = self.journal.db.execute(
            "SELECT value FROM notice JOIN delivery ON delivery.notice = notice.id WHERE key LIKE 'anomaly %' ORDER BY notice.id"
        ).fetchall()
        return [decode(row["value"], Notice) for row in rows]

    def close(self) -> None:
        self.journal.close()


def burning(stage: Stage) -> None:
    """Ten cents a minute for half an hour, then a dollar a minute."""
    calls = [Metered(n=n, tokens=Tokens(output=1), cost="0.10" if n < 30 else "1.00") for n in range(34)]
    stage.record(*calls, every=60.0)


def told_burning(stage: Stage) -> None:
    """A young run that spends more than runs usually do, as its warden says."""
    stage.record(TooFast(recent="0.6", before="0.1"))


def storming(stage: Stage) -> None:
    stage.record(*(Asked(call=str(n), tool="Bash", input="ls") for n in range(61)), every=0.5)


def flooding(stage: Stage) -> None:
    stage.record(Changed(files=101))


def refused(stage: Stage) -> None:
    stage.record(*(Decided(call=str(n), tool="Bash", decision=Decision.DENY, rule="r", reason="no") for n in range(10)))


def silent(stage: Stage) -> None:
    for name in ("launch.json", "warden.lock"):
        (stage.folder / name).write_text("{}")
        os.utime(stage.folder / name, (NOW, NOW))
    stage.clock.advance(601)


def queued(stage: Stage) -> None:
    stage.add("q", pool="work")
    stage.clock.advance(6 * 3600 + 1)


def failing(stage: Stage) -> None:
    for n in range(4):
        stage.end(f"e{n}", Phase.FAILED if n < 2 else Phase.LANDED)


def watched(stage: Stage) -> None:
    _spool(stage.home / "watchdog.ndjson", Tell("daemon-dead", Loud.ALARM, "the daemon died"), NOW)


def sleeping(stage: Stage) -> None:
    stage.step()
    stage.clock.advance(86400)  # a day has a morning in it, wherever the test runs
    stage.mono += 15
    stage.boot += 86400


TABLE: list[tuple[Callable[[Stage], None], str, Severity, Priority, str]] = [
    (burning, "burn t.1.1", Severity.WARNING, Priority.HIGH, "times what it did before"),
    (told_burning, "burn t.1.1", Severity.WARNING, Priority.HIGH, "spends 0.60 USD a minute, 6.0 times"),
    (storming, "commands t.1.1", Severity.WARNING, Priority.HIGH, "made 61 tool calls within a minute"),
    (flooding, "files t.1.1", Severity.WARNING, Priority.HIGH, "changed 101 files in one step"),
    (refused, "denials t.1.1", Severity.WARNING, Priority.HIGH, "refused 10 calls"),
    (silent, "heartbeat t.1.1", Severity.ALARM, Priority.URGENT, "no sign of life for"),
    (queued, "queue q", Severity.NOTE, Priority.LOW, "has waited 6h"),
    (failing, "failures r ", Severity.WARNING, Priority.HIGH, "2 of 4 tasks of r failed"),
    (watched, "watchdog daemon-dead ", Severity.ALARM, Priority.URGENT, "the watchdog: the daemon died"),
    (sleeping, "sleep ", Severity.WARNING, Priority.HIGH, "the machine slept for"),
]


@pytest.mark.parametrize(
    ("does", "key", "severity", "priority", "words"), TABLE, ids=[row[0].__name__ for row in TABLE]
)
def test_from_the_record_to_brief_and_message(
    tmp_path: Path, does: Callable[[Stage], None], key: str, severity: Severity, priority: Priority, words: str
) -> None:
    """Raised once, on record with its task, in the brief in the same words, told once with the urgency that it has."""
    stage = Stage(tmp_path / "state")
    assert stage.step() == []
    does(stage)
    (raised,) = stage.step()
    assert raised.startswith(key)
    assert stage.step() == []
    (event,) = [event for event in read_events(stage.journal.db) if event.what == "anomaly.raised"]
    assert words in event.why
    assert event.task == ("t" if "t.1.1" in key else "q" if key == "queue q" else None)
    notices = [each for each in stage.messages() if each.key == f"anomaly {raised}"]
    until = stage.clock.now() + 1
    found = brief(stage.home, Night("", NOW - 1, until), until, without=str, ceilings=Ceilings())
    assert [(each.key, each.severity) for each in found.anomalies] == [(raised, severity)]
    assert words in markdown(found)
    if priority is Priority.LOW:  # by default nobody is told of such on the phone: it is in the brief
        assert all(each.priority is Priority.LOW for each in notices)
    else:
        assert [each.priority for each in notices] == [priority]
        assert words.split(":")[0] in notices[0].quote
    stage.close()


def test_a_storm_is_one_message_and_loses_nothing(tmp_path: Path) -> None:
    """Twelve failing repos at once: five by themselves and one for the rest; all are on record as told."""
    stage = Stage(tmp_path / "state")
    for n in range(12):
        for k in range(4):
            stage.end(f"e{n}.{k}", Phase.FAILED)
            stage.journal.db.execute("UPDATE task SET lane = ? WHERE id = ?", (f"repo{n}", f"e{n}.{k}"))
    raised = stage.step()
    assert len(raised) == 6
    assert raised[-1].startswith("storm ")
    assert stage.step() == []
    assert len(stage.messages()) == 6
    assert "7 more things are unusual at once" in stage.messages()[-1].quote
    stage.close()


def test_two_runs_of_a_task_are_two_facts(tmp_path: Path) -> None:
    """Words that differ in a number only are not one and the same message: each run is told."""
    stage = Stage(tmp_path / "state")
    refused(stage)
    stage.step()
    stage.journal.db.execute("INSERT INTO step VALUES ('t', 1, 'open 2', '\"x\"', ?, ?)", (NOW, NOW))
    stage.folder = folder_of(stage.home, "t.1.2")
    stage.folder.mkdir(parents=True)
    refused(stage)
    assert stage.step() == ["denials t.1.2"]
    assert [each.key for each in stage.messages()] == ["anomaly denials t.1.1", "anomaly denials t.1.2"]
    stage.close()


@pytest.mark.parametrize(("burn", "found"), [(3.0, ["burn t.1.1"]), (6.5, ["burn t.1.1"]), (9.0, [])])
def test_the_bound_of_spending_is_the_settings(tmp_path: Path, burn: float, found: list[str]) -> None:
    """Counted from what each call cost, whatever the warden thinks is fast: here seven times at most."""
    stage = Stage(tmp_path / "state", replace(SETTINGS, burn=burn))
    burning(stage)
    assert stage.step() == found
    stage.close()


@pytest.mark.parametrize(("files", "found"), [(100, []), (49, ["files t.1.1"]), (50, [])])
def test_the_bound_of_files_is_the_settings(tmp_path: Path, files: int, found: list[str]) -> None:
    """Fifty files in a step, whatever the repo's own limit is."""
    stage = Stage(tmp_path / "state", replace(SETTINGS, files=files))
    stage.record(Changed(files=50))
    assert stage.step() == found
    stage.close()


# -- sleep --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("went", "slept", "due", "words"),
    [
        (15.0, 0.0, None, None),
        (15.0, 29.0, None, None),
        (3600.0, 0.0, 100.0, None),
        (15.0, 8 * 3600.0, None, "slept for 8h"),
        (15.0, 600.0, 300.0, "w: limit-reached (due "),
        (15.0, 600.0, 5000.0, "nothing was due meanwhile"),
    ],
)
def test_sleep_is_told_by_the_clocks(
    tmp_path: Path, went: float, slept: float, due: float | None, words: str | None
) -> None:
    """Only what stood still: a look that came late is no sleep. What was due in between is named, what is due later not."""
    stage = Stage(tmp_path / "state")
    if due is not None:
        stage.add("w")
        hold = Hold(reason=HoldReason.LIMIT_REACHED, why="w", releases_on="time", until=NOW + due)
        text = encode(hold).decode()
        stage.journal.db.execute(
            "UPDATE task SET state = 'waiting', wake_at = ?, hold = ? WHERE id = 'w'", (NOW + due, text)
        )
    stage.step()
    stage.journal.db.execute("UPDATE task SET wake_at = NULL WHERE wake_at <= ?", (NOW + went + slept,))
    stage.clock.advance(went + slept)
    stage.mono += went
    stage.boot += went + slept
    raised = (
        [event.why for event in read_events(stage.journal.db) if event.what == "anomaly.raised"] if stage.step() else []
    )
    assert bool(raised) is (words is not None)
    if words is not None:
        assert words in raised[0]
    stage.close()


def test_a_missed_brief_is_named(tmp_path: Path) -> None:
    """What happens at a time of day, if the machine slept over it."""
    stage = Stage(tmp_path / "state")
    stage.step()
    stage.clock.advance(86400)
    stage.mono, stage.boot = stage.mono + 10, stage.boot + 86400
    (key,) = stage.step()
    (event,) = [event for event in read_events(stage.journal.db) if event.what == "anomaly.raised"]
    assert key == f"sleep {NOW:.0f}"
    assert "late by that: the brief (due " in event.why
    assert "07:00)" in event.why
    stage.close()
