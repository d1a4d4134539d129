"""Collectors that are killed, slow, dead or hostile; an exporter that is killed; and where nothing ever goes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psutil
import pytest
from telemetry_lab import PATIENCE, Collector, Night, Out, told

from overnight.errors import NotDelivered
from overnight.telemetry import kept
from overnight.telemetry.follow import Follower
from overnight.telemetry.measures import Measures, Point
from overnight.telemetry.send import Sender
from overnight.telemetry.settings import TelemetrySettings
from overnight.telemetry.words import Words

#: Many requests for one run.
BATCH = 4


@contextlib.contextmanager
def exporter(night: Night, url: str, **environ: str) -> Generator[subprocess.Popen[bytes]]:
    """The real process, as a daemon starts it; killed at the end."""
    config = night.home.parent / "config.toml"
    config.write_text(f'[telemetry]\nendpoint = "{url}"\nbatch = {BATCH}\nevery = "100ms"\ntimeout = "20s"\n')
    env = {
        "PATH": os.environ["PATH"], "OVERNIGHT_HOME": str(night.home), "OVERNIGHT_CONFIG": str(config),
        "HOME": str(night.home.parent), **environ,
    }  # fmt: skip
    log = (night.home.parent / "exporter.log").open("ab")
    with log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "overnight.telemetry_process"], env=env, stdout=log, stderr=log
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def begun(night: Night) -> None:
    """Telemetry is switched on before anything has happened."""

    class Nowhere:
        def spans(self, spans: Any) -> None:
            raise AssertionError("there is nothing yet")

        def metrics(self, measures: Any, since: float, now: Any) -> None:
            pass

    Follower(night.home, Words(str, content=False), Nowhere(), batch=BATCH, say=print).turn()


@pytest.mark.slow
def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Killed within each request in turn, before and after the collector took it: the same spans in the end, with the
    same ids, and metrics as if nothing had happened."""
    night = Night(tmp_path / "state", calls=9)
    begun(night)
    progress = (night.home / kept.FILE).read_bytes()
    night.play()
    calm = Collector()
    with exporter(night, calm.url):
        calm.wait(lambda: "task" in calm.names() and bool(calm.points("overnight.tasks.ended")))
    (night.home / kept.FILE).write_bytes(progress)
    stormy, kills = Collector(), 0
    for after in (False, True, False, True):
        reached, gate = threading.Event(), threading.Event()
        count = 0

        def answer(path: str, _request: Any) -> int:
            nonlocal count
            count += path == "/v1/traces"
            if count == 2 and path == "/v1/traces":
                if not after:  # noqa: B023 (used within its turn)
                    reached.set()  # noqa: B023
                    gate.wait(PATIENCE)  # noqa: B023
                    return 503
                threading.Timer(0, reached.set).start()  # noqa: B023
            return 200

        stormy.answer = answer
        with exporter(night, stormy.url) as child:
            reached.wait(PATIENCE)
            if after:
                stormy.wait(lambda: len(stormy.spans) > 0)
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            gate.set()
            kills += 1
    stormy.answer = lambda _path, _request: 200
    with exporter(night, stormy.url):
        stormy.wait(lambda: "task" in stormy.names() and bool(stormy.points("overnight.tasks.ended")))
    assert kills == 4
    assert stormy.ids() == calm.ids()
    one = {(span.trace_id, span.span_id): span.SerializeToString(deterministic=True) for span in calm.spans}
    for span in stormy.spans:
        assert span.SerializeToString(deterministic=True) == one[(span.trace_id, span.span_id)]
    for name in (
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "overnight.spend",
        "overnight.guard.denials",
    ):
        assert figures(stormy, name) == figures(calm, name)
    for each in (calm, stormy):
        each.close()
    night.close()


def figures(collector: Collector, name: str) -> list[Any]:
    """The points of a metric without their times."""
    found = collector.points(name)
    assert found
    return sorted((sorted(told(point).items()), getattr(point, "count", 1), _size(point)) for point in found)


def _size(point: Any) -> float:
    return point.sum if hasattr(point, "sum") else point.as_double


@pytest.mark.parametrize("status", [307, 404, 429, 500, 503])
def test_what_a_collector_does_not_take_is_sent_again(night: Night, collector: Collector, status: int) -> None:
    """Errors that may pass: nothing is remembered as sent, and all of it comes once they do."""
    begun(night)
    night.play()
    collector.answer = lambda _path, _request: status
    out = Out(night.home, collector.url)
    out.sender.close()
    out.sender = Sender(
        TelemetrySettings(endpoint=collector.url, timeout=type(TelemetrySettings().timeout)(0.2)), {}, "here"
    )
    follower = Follower(night.home, Words(str, content=False), out.sender, batch=BATCH, say=out.said.append)
    with pytest.raises(NotDelivered, match=str(status)):
        follower.turn()
    before = kept.read(night.home)
    assert before is not None
    assert before.sent == 0
    collector.answer = lambda _path, _request: 200
    while follower.turn():
        pass
    out.close()
    assert "task" in collector.names()
    assert len(collector.spans) == len(collector.ids())


def test_one_refused_span_does_not_keep_the_others(night: Night, collector: Collector) -> None:
    """400 for whatever has a denied call in it: that one is left out and counted, all others arrive once."""
    begun(night)
    night.play()

    def answer(path: str, request: Any) -> int:
        if path != "/v1/traces":
            return 200
        spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
        return 400 if any(told(span).get("error.type") == "denied" for span in spans) else 200

    collector.answer = answer
    out = Out(night.home, collector.url)
    out.all()
    out.close()
    progress = kept.read(night.home)
    assert progress is not None
    assert progress.refused == 1
    assert len(collector.spans) == len(collector.ids()) == progress.sent - 1
    assert any("400" in line for line in out.said)


def test_a_dead_collector_is_told_once_and_remembered(night: Night) -> None:
    """Nobody listens: one line, however often it is tried, and `doctor` can say since when."""
    begun(night)
    night.play()
    closed = Collector()
    closed.close()
    said: list[str] = []
    sender = Sender(TelemetrySettings(endpoint=closed.url, timeout=type(TelemetrySettings().timeout)(0.2)), {}, "here")
    follower = Follower(night.home, Words(str, content=False), sender, batch=BATCH, say=said.append)
    tries = 0

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal tries
            tries += 1
            if tries == 3:
                self.set()
            return self.is_set()

    follower.run(Stop(), 0.1)
    sender.close()
    assert tries == 3
    assert len(said) == 1
    progress = kept.read(night.home)
    assert progress is not None
    assert progress.failing is not None
    assert closed.url in progress.trouble


def test_it_goes_where_the_settings_say_and_nowhere_else(night: Night, collector: Collector) -> None:
    """Not where the environment, a proxy's variable or a redirect points to."""
    begun(night)
    night.play()
    elsewhere = Collector()
    collector.answer = lambda _path, _request: 307
    collector.headers = {"Location": f"{elsewhere.url}/v1/traces"}
    lures = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY", "OTEL_EXPORTER_OTLP_ENDPOINT",
                           "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), elsewhere.url)  # fmt: skip
    with exporter(night, collector.url, **lures):
        collector.wait(lambda: len(collector.seen) > 0)
        assert collector.spans == []
        collector.answer = lambda _path, _request: 200
        collector.wait(lambda: "task" in collector.names())
    assert elsewhere.seen == []
    elsewhere.close()


def test_headers_have_their_secrets_and_progress_has_none(night: Night, collector: Collector) -> None:
    """A token from the environment and one from a file arrive; neither is in a span, a log or the exporter's memory."""
    begun(night)
    night.play()
    secret = night.home.parent / "token"
    secret.write_text("file-token-4711\n")
    with exporter(night, collector.url, OTLP_TOKEN="env-token-0815") as child:
        child.kill()
        child.wait()
    config = night.home.parent / "config.toml"
    config.write_text(
        config.read_text()
        + f'[telemetry.headers]\nauthorization = "Bearer ${{OTLP_TOKEN}}"\nx-api-key = "${{file:{secret}}}"\n'
    )
    env = {
        "PATH": os.environ["PATH"],
        "OVERNIGHT_HOME": str(night.home),
        "OVERNIGHT_CONFIG": str(config),
        "HOME": "/nowhere",
    }
    argv = [sys.executable, "-P", "-m", "overnight.telemetry_process"]
    without = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert without.returncode == 2
    assert "OTLP_TOKEN" in without.stderr
    with subprocess.Popen(argv, env={**env, "OTLP_TOKEN": "env-token-0815"}, stderr=subprocess.PIPE) as child:
        collector.wait(lambda: "task" in collector.names())
        child.kill()
        _, said = child.communicate()
    headers = {key.lower(): value for key, value in collector.seen[-1][1].items()}
    assert (headers["authorization"], headers["x-api-key"]) == ("Bearer env-token-0815", "file-token-4711")
    everything = (
        b"".join(span.SerializeToString() for span in collector.spans) + said + (night.home / kept.FILE).read_bytes()
    )
    for token in (b"env-token-0815", b"file-token-4711"):
        assert token not in everything


def test_it_ends_with_its_daemon(night: Night, collector: Collector) -> None:
    """Whoever started it is killed: it goes too, and the next one need not wait for it."""
    begun(night)
    night.play()
    config = night.home.parent / "config.toml"
    config.write_text(f'[telemetry]\nendpoint = "{collector.url}"\n')
    env = {
        "PATH": os.environ["PATH"],
        "OVERNIGHT_HOME": str(night.home),
        "OVERNIGHT_CONFIG": str(config),
        "HOME": "/nowhere",
    }
    code = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-P', '-m', 'overnight.telemetry_process']); print(child.pid, flush=True); child.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        collector.wait(lambda: len(collector.seen) > 0)
    finally:
        parent.kill()
        parent.communicate()
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(PATIENCE)


def test_a_collector_of_spans_alone_gets_them_all(night: Night, collector: Collector) -> None:
    """404 for metrics holds up no span; it is said once, and remembered for doctor."""
    begun(night)
    night.play()
    collector.answer = lambda path, _request: 404 if path == "/v1/metrics" else 200
    out = Out(night.home, collector.url, batch=BATCH)
    out.all()
    out.close()
    assert "task" in collector.names()
    assert [line.startswith("metrics: ") for line in out.said] == [True]
    assert [path for path, _ in collector.seen].count("/v1/metrics") == 1
    progress = kept.read(night.home)
    assert progress is not None
    assert "404" in progress.unmeasured
    assert progress.trouble == ""


def test_each_kind_can_be_left_out(night: Night, collector: Collector) -> None:
    """Spans alone, metrics alone: what is not wanted is not asked for, and the place in the journal goes on."""
    begun(night)
    start = (night.home / kept.FILE).read_bytes()
    night.play()
    for traces, metrics, paths in ((True, False, {"/v1/traces"}), (False, True, {"/v1/metrics"})):
        (night.home / kept.FILE).write_bytes(start)
        collector.seen.clear()
        sender = Sender(TelemetrySettings(endpoint=collector.url), {}, "here")
        follower = Follower(
            night.home, Words(str, content=False), sender, batch=BATCH, say=print, traces=traces, metrics=metrics
        )
        while follower.turn():
            pass
        sender.close()
        assert {path for path, _ in collector.seen} == paths
        progress = kept.read(night.home)
        assert progress is not None
        assert progress.seq > 10


def test_a_record_that_can_not_be_read_keeps_no_other(night: Night, collector: Collector) -> None:
    """A step whose outcome is garbage is left out, said and counted; all others arrive."""
    begun(night)
    night.play()
    night.journal.db.execute("UPDATE step SET output = '{}' WHERE name LIKE 'judge %'")
    out = Out(night.home, collector.url)
    out.all()
    out.close()
    assert "judge" not in collector.names()
    assert {"task", "landing", "invoke_agent claude"} <= set(collector.names())
    assert any("judge" in line or "left out" in line for line in out.said)
    progress = kept.read(night.home)
    assert progress is not None
    assert progress.missed == 1


@pytest.mark.parametrize("damage", ["null tokens", "no file"])
def test_a_runs_record_of_another_form_keeps_no_other(night: Night, collector: Collector, damage: str) -> None:
    """A line that no release wrote yet, a record that can't be opened: that run is left out, said and counted."""
    begun(night)
    night.play()
    record = next(night.home.glob("runs/**/events.ndjson"))
    if damage == "no file":
        record.unlink()
        record.mkdir()
    else:
        lines = [
            {"kind": "asking", "n": 999, "at": 1.0},
            {"kind": "usage", "n": 999, "at": 2.0, "tokens": {"input": None}},
        ]
        with record.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    out = Out(night.home, collector.url)
    out.all()
    out.close()
    assert {"task", "landing", "judge"} <= set(collector.names())
    assert any("is left out" in line for line in out.said)
    progress = kept.read(night.home)
    assert progress is not None
    assert progress.missed == 1


def test_progress_of_another_release_is_gone_on_with(night: Night, collector: Collector) -> None:
    """After a downgrade: figures of instruments and buckets that this one does not know begin anew; the place is kept."""
    begun(night)
    progress = kept.read(night.home)
    assert progress is not None
    other = Point(total=1.0, count=1, buckets=[1, 0])
    progress.measures = Measures({"overnight.of.tomorrow": {"{}": other}, "gen_ai.client.token.usage": {"{}": other},
                                  "overnight.spend": {"{}": Point(total=2.5, count=1)}})  # fmt: skip
    kept.write(night.home, progress)
    night.play()
    out = Out(night.home, collector.url)
    out.all()
    out.close()
    after = kept.read(night.home)
    assert after is not None
    assert (after.seq > progress.seq, after.measures.series["overnight.spend"]["{}"].total) == (True, 2.5)
    assert "overnight.of.tomorrow" not in after.measures.series
    assert figures(collector, "gen_ai.client.token.usage")


def test_a_journal_that_is_another_one_is_sent_anew(night: Night, collector: Collector, tmp_path: Path) -> None:
    """Put back from a backup, or its file of progress damaged: all that is left is sent, with the ids that it had."""
    begun(night)
    night.play()
    out = Out(night.home, collector.url)
    out.all()
    out.close()
    first = collector.ids()
    (night.home / kept.FILE).write_text("{")
    again = Out(night.home, collector.url)
    again.all()
    again.close()
    assert "can't be read" in again.said[0]
    assert collector.ids() == first
    assert len(collector.spans) == 2 * len(first)
    progress = kept.read(night.home)
    assert progress is not None
    progress.digest = "f" * 64
    kept.write(night.home, progress)
    third = Out(night.home, collector.url)
    third.all()
    third.close()
    assert "not the one that was sent" in third.said[0]
    assert collector.ids() == first


def test_a_run_that_was_cut_off_is_told_with_its_task(night: Night, collector: Collector) -> None:
    """A cancelled run is no finished step: what its warden left is sent when the task ends."""
    begun(night)
    night.play()
    night.journal.db.execute("DELETE FROM step WHERE name = 'run 1'")
    out = Out(night.home, collector.url)
    out.all()
    out.close()
    (run,) = [span for span in collector.spans if span.name == "invoke_agent claude"]
    (root,) = [span for span in collector.spans if span.name == "task"]
    assert run.parent_span_id == root.span_id
    assert told(run)["error.type"] == "unknown"
    assert collector.names().count("execute_tool Bash") == 3
