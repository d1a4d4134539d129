"""A real daemon whose collector does not answer: its tasks land, and what they were is told afterwards."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from telemetry_lab import Collector, told

from overnight.telemetry.kept import FILE
from testkit.computer import Computer, config, policy
from testkit.waiting import PATIENCE, soon

pytestmark = pytest.mark.slow
AGENT = 'echo done > "$OVERNIGHT_TASK.txt" && git add -A && git commit -q -m Work && echo done'


class Place(Computer):
    """A repository, settings with telemetry, and a daemon."""

    def __init__(self, folder: Path, url: str) -> None:
        more = f'[telemetry]\nendpoint = "{url}"\nevery = "200ms"\ntimeout = "60s"\n'
        super().__init__(folder, config(AGENT, more), policy())
        self.daemon = self.spawn("overnight", "up", "--plain")

    def ready(self) -> None:
        """Return once telemetry is on."""

        def on() -> bool:
            assert self.daemon.poll() is None
            return (self.home / FILE).exists()

        soon(on)

    def landed(self, *idents: str) -> None:
        """Return once they have."""
        soon(lambda: self.phases(*idents) == ["landed"] * len(idents), lambda: self.phases(*idents))

    def phases(self, *idents: str) -> list[str]:
        return [self.phase(each) for each in idents]

    def close(self) -> None:
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(PATIENCE)


def test_a_collector_that_hangs_delays_no_task(tmp_path: Path) -> None:
    """Its first request is never answered while two tasks are carried out; then everything arrives, with real commits."""
    collector, gate, asked = Collector(), threading.Event(), threading.Event()
    answered: list[str] = []

    def answer(path: str, _request: Any) -> int:
        asked.set()
        gate.wait(2 * PATIENCE)
        answered.append(path)
        return 200

    collector.answer = answer
    place = Place(tmp_path, collector.url)
    try:
        place.ready()
        place.add("one-aaaa")
        assert asked.wait(PATIENCE)
        place.add("two-bbbb")
        place.landed("one-aaaa", "two-bbbb")
        assert answered == []
        gate.set()
        collector.wait(lambda: collector.names().count("task") == 2)
        head = place.git("log", "--format=%H", "main").split()
        roots = [told(span) for span in collector.spans if span.name == "task"]
        assert {root["vcs.ref.head.revision"] for root in roots} <= set(head)
        assert {root["overnight.task.tail"] for root in roots} == {"aaaa", "bbbb"}
        assert len([name for name in collector.names() if name == "invoke_agent command"]) == 2
        assert "landing" in collector.names()
    finally:
        gate.set()
        place.close()
        collector.close()
