"""A collector on loopback that decodes what really goes over the wire, and a night whose records are worth sending."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool
from overnight.flows.landing import LANDING
from overnight.flows.rehearsal import POLICY, Act, World
from overnight.flows.task import WORK, carry_out
from overnight.guard.verdict import Decision
from overnight.judge.verdict import Said, Word
from overnight.missions.codec import builtins, encode
from overnight.missions.judging import Quorum
from overnight.missions.money import Bill, ModelUse
from overnight.missions.places import run_dir
from overnight.missions.run import End, FailureClass, RunOutcome
from overnight.missions.task import Phase, Repo, Task
from overnight.missions.tokens import Tokens
from overnight.telemetry.follow import Follower
from overnight.telemetry.send import Sender
from overnight.telemetry.settings import TelemetrySettings
from overnight.telemetry.words import Words
from overnight.warden.events import Asked, Asking, Decided, Done, EventLog, Metered

PATIENCE = 90.0
MODEL = "claude-sonnet-4-5"
PASS = Said(verdict=Word.PASS, confidence=0.9, blocking=(), other=(), gaps=(), injection=False)


def words(content: bool = False, without: Callable[[str], str] = str) -> Words:
    """Texts as they are sent."""
    return Words(without, content=content)


# -- the collector ------------------------------------------------------------------------------------------


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP on loopback, and answers as the test says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, Mapping[str, str]]] = []
        self.spans: list[Any] = []
        self.resources: list[Any] = []
        self.metrics: list[Any] = []
        #: What is answered, by the path and the decoded request; nothing is kept of what is not answered with 200.
        self.answer: Callable[[str, Any], int] = lambda _path, _request: 200
        self.headers: dict[str, str] = {}
        self.changed = threading.Condition()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        request = ExportTraceServiceRequest() if path == "/v1/traces" else ExportMetricsServiceRequest()
        request.ParseFromString(gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body)
        with self.changed:
            self.seen.append((path, headers))
            self.changed.notify_all()
        status = self.answer(path, request)
        with self.changed:
            if status == 200 and isinstance(request, ExportTraceServiceRequest):
                for resource in request.resource_spans:
                    self.resources.append(resource.resource)
                    self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            elif status == 200:
                self.metrics.append(request)
            self.changed.notify_all()
        return status

    def wait(self, until: Callable[[], bool]) -> None:
        """Return once this is so."""
        with self.changed:
            assert self.changed.wait_for(until, PATIENCE), "it does not happen"

    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def ids(self) -> set[tuple[str, str]]:
        return {(span.trace_id.hex(), span.span_id.hex()) for span in self.spans}

    def points(self, name: str) -> list[Any]:
        """The points of a metric, as they were told last."""
        for request in reversed(self.metrics):
            for metric in _metrics(request):
                if metric.name == name:
                    return list(getattr(metric, metric.WhichOneof("data")).data_points)
        return []

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def _metrics(request: Any) -> Iterator[Any]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


class _Handler(BaseHTTPRequestHandler):
    server: Collector  # type: ignore[assignment] (what it is served by)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.take(self.path, dict(self.headers), body)
        try:
            self.send_response(status)
            for name, value in self.server.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except OSError:
            pass  # it was not waited for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


def told(found: Any) -> dict[str, Any]:
    """The attributes of a span, a point, a resource or an event."""
    return {each.key: _value(each.value) for each in found.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)


# -- a night ------------------------------------------------------------------------------------------------


class Night:
    """A task that was carried out by the real engine and the real story, in a world whose wardens wrote real records."""

    def __init__(
        self, home: Path, acts: tuple[Act, ...] = (Act.GOOD,), calls: int = 3, task: str = "fix-the-login-7k3f"
    ) -> None:
        self.home, self.task, self.calls = home, task, calls
        self.world = World({task: acts}, replace(POLICY, judges=Quorum(families=1)))
        self.world.verdicts = {"openai": lambda _commit: PASS}
        self.world.during = self._write
        self.journal = Journal(home, clock=ManualClock(1_800_000_000.0))
        self.title, self.prompt, self.secret = (
            "Fix the login of ACME",
            "Fix the login of ACME at /srv/acme",
            "hunter2-SECRET",
        )

    def play(self) -> None:
        """From queued to its end."""
        engine = Engine(
            self.journal, {"task": lambda t: carry_out(t, self.world.house())}, {WORK: Pool(total=1), LANDING: Pool(per_key=1)}
        )  # fmt: skip
        if self.journal.db.execute("SELECT 1 FROM task WHERE id = ?", (self.task,)).fetchone() is None:
            about = Task(
                id=self.task,
                repo=Repo(name="shop", path="/srv/shop", target="main"),
                title=self.title,
                text=self.prompt,
            )
            Desk(self.journal).call(
                "submit", {"actor": "t", "id": self.task, "flow": "task", "lane": "shop", "input": builtins(about), "phase": Phase.QUEUED, "pool": WORK}
            )  # fmt: skip

        async def main() -> None:
            driving = asyncio.create_task(engine.run())
            await engine.idle()
            engine.close()
            await driving

        asyncio.run(main())

    def _write(self, what: str) -> None:
        """A warden's records, as the run begins."""
        name, _, run = what.partition(" ")
        if name == "run" and run not in self.world.outcomes:
            self.record(run, self.world.act(run))

    def record(self, run: str, act: Act = Act.GOOD) -> None:
        """Write what the warden of a run leaves."""
        folder = Path(run_dir(str(self.home), run))
        folder.mkdir(parents=True)
        (folder / "spec.json").write_bytes(
            encode(self.world.specs[run]).replace(b'"agent":"claude"', b'"agent":"claude"')
        )
        (folder / "launch.json").write_text(
            f'{{"version": "2.1.3", "model": "{MODEL}", "box": "os", "route": "gateway"}}'
        )
        log = EventLog(folder / "events.ndjson")
        for n in range(self.calls):
            log.write(Asked(call=f"toolu_{n}", tool="Bash", input=f"cat /srv/acme/{n} # {self.secret}"))
            refused = n == 1
            decision = Decision.DENY if refused else Decision.ALLOW
            log.write(
                Decided(call=f"toolu_{n}", tool="Bash", decision=decision, rule="path.outside", reason=f"/srv/acme/{n}")
            )
            if not refused:
                log.write(Done(call=f"toolu_{n}", tool="Bash", failed=n == 2, error=self.secret if n == 2 else ""))
        log.write(Asking(n=1, model=MODEL, most="1"))
        tokens = Tokens(input=100, cache_read=40, cache_write=2, output=7)
        log.write(Metered(n=1, id="msg_1", model=f"{MODEL}-20260101", tokens=tokens, cost="0.25"))
        log.close()
        failed = act is Act.LOST
        end = End.LOST if failed else End.BLOCKED if act is Act.BLOCKED else End.COMPLETED
        use = ModelUse(model=MODEL, calls=1, tokens=tokens, cost=Decimal("0.25"))
        self.world.outcomes[run] = RunOutcome(
            run=run, end=end, failure=FailureClass.MACHINE if failed else None,
            why=f"it says that {self.prompt}", said=f"Done with /srv/acme, {self.secret}", session="5f0c9a", calls=self.calls,
            denied=(("Bash", "cat /srv/acme/1", "outside"),), started=1_800_000_100.0, ended=1_800_000_400.0,
            bill=Bill(route="gateway", source="wire", paid=True, models=(use,), cost=Decimal("0.25")),
        )  # fmt: skip

    def close(self) -> None:
        self.journal.close()


class Out:
    """An exporter in this process."""

    def __init__(self, home: Path, url: str, *, content: bool = False, batch: int = 512) -> None:
        settings = TelemetrySettings(endpoint=url, batch=batch)
        self.said: list[str] = []
        self.sender = Sender(settings, {"x-key": "k"}, "here")
        self.follower = Follower(home, words(content), self.sender, batch=batch, say=self.said.append)

    def all(self) -> None:
        """Everything that there is to send."""
        while self.follower.turn():
            pass

    def close(self) -> None:
        self.sender.close()
