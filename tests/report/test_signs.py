"""What is unusual, from records that were really written, raised once each."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal, read_events
from overnight.guard.verdict import Decision
from overnight.judge.anomalies import AnomalySettings
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task
from overnight.report.alerts import Alerts
from overnight.report.rundir import folder_of
from overnight.report.signs import anomalies
from overnight.report.status import status
from overnight.warden.events import Asked, Changed, Decided, EventLog, TooFast
from overnight.watchdog.facts import Severity, Tell
from overnight.watchdog.tell import _spool

NOW = 1_800_000_000.0


class Scene:
    """A journal with one task whose run goes on."""

    def __init__(self, home: Path) -> None:
        self.home, self.clock = home, ManualClock(NOW)
        self.journal = Journal(home, clock=self.clock)
        task = Task(id="t", repo=Repo(name="r", path="/r", target="main"), title="T", text="T")
        Desk(self.journal).call(
            "submit",
            {"actor": "test", "id": "t", "flow": "task", "lane": "r", "input": builtins(task), "phase": "queued"},
        )
        self.journal.db.execute("UPDATE task SET phase = ?", (Phase.RUNNING,))
        self.journal.db.execute("INSERT INTO step VALUES ('t', 1, 'open 1', '\"x\"', ?, ?)", (NOW, NOW))
        self.folder = folder_of(home, "t.1.1")
        self.folder.mkdir(parents=True)
        self.log = EventLog(self.folder / "events.ndjson")
        self.alerts = Alerts(self.journal, AnomalySettings(), lambda text: text.replace("secret", "[redacted]"), print)

    def step(self) -> list[str]:
        """One look; the keys of what was raised."""
        return [each.key for each in asyncio.run(self.alerts.step())]


@pytest.fixture
def scene(tmp_path: Path) -> Generator[Scene]:
    """Nothing is unusual yet."""
    scene = Scene(tmp_path)
    yield scene
    scene.log.close()
    scene.journal.close()


def test_a_runs_record_raises_what_is_in_it(scene: Scene) -> None:
    """Calls, refusals, files and money, read on from where the last look ended; each raised once."""
    assert scene.step() == []
    for n in range(61):
        scene.log.write(Asked(call=str(n), tool="Bash", input="ls"))
    assert scene.step() == ["commands t.1.1"]
    for n in range(10):
        scene.log.write(Decided(call=str(n), tool="Bash", decision=Decision.DENY, rule="r", reason="no"))
    scene.log.write(Changed(files=240))
    scene.log.write(TooFast(recent="0.6", before="0.1"))
    assert sorted(scene.step()) == ["burn t.1.1", "denials t.1.1", "files t.1.1"]
    assert scene.step() == []
    events = [event for event in read_events(scene.journal.db) if event.what == "anomaly.raised"]
    assert [event.task for event in events] == ["t"] * 4
    assert "240 files" in " ".join(event.why for event in events)


def test_silence_counts_from_the_wardens_last_touch(scene: Scene) -> None:
    """Its lock is touched while it lives; a run that is over is not silent."""
    for name in ("launch.json", "warden.lock"):
        (scene.folder / name).write_text("{}")
        os.utime(scene.folder / name, (NOW, NOW))
    scene.clock.advance(590)
    assert scene.step() == []
    scene.clock.advance(20)
    assert scene.step() == ["heartbeat t.1.1"]
    assert [each.key for each in status(scene.home, scene.clock.now(), NOW).anomalies] == ["heartbeat t.1.1"]


def test_what_the_watchdog_told_is_put_on_record(scene: Scene) -> None:
    """Warnings and alarms, once each, also by a daemon that starts anew; nothing for what is over."""
    for severity in Severity:
        _spool(
            scene.home / "watchdog.ndjson",
            Tell("disk", severity, f"a {severity.value} with a secret"),
            NOW + len(severity.value),
        )
    with (scene.home / "watchdog.ndjson").open("ab") as file:
        file.write(b"garbage\n")
    assert len(scene.step()) == 2
    again = Alerts(scene.journal, AnomalySettings(), str, print)
    assert asyncio.run(again.step()) == ()
    whys = [each.why for each in anomalies(scene.journal.db, NOW - 1, NOW + 60)]
    assert sorted(whys) == ["the watchdog: a alarm with a [redacted]", "the watchdog: a warning with a [redacted]"]


def test_a_task_that_waits_long_is_told(scene: Scene) -> None:
    """Six hours in line for a place."""
    task = Task(id="q", repo=Repo(name="r", path="/r", target="main"), title="Q", text="Q")
    Desk(scene.journal).call("submit", {"actor": "test", "id": "q", "flow": "task", "lane": "r", "input": json.loads(json.dumps(builtins(task))), "phase": "queued", "pool": "work"})  # fmt: skip
    assert scene.step() == []
    scene.clock.advance(6 * 3600 + 1)
    assert scene.step() == ["queue q"]
