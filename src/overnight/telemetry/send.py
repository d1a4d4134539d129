"""Sending, with the SDK's own exporters. The only module that imports OpenTelemetry."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from overnight import __version__
from overnight.errors import NotDelivered, TelemetryRefused
from overnight.telemetry.measures import INSTRUMENTS, Measures, Point, attributes_of
from overnight.telemetry.settings import TelemetrySettings
from overnight.telemetry.values import Span, Value

#: Answers that say that these very data are not wanted, and never will be.
REFUSED = frozenset({400, 413, 422})
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class _Session(requests.Session):
    """Goes where it is sent and nowhere else: no proxy, login or certificate of the environment's; tells how it went."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.last = ""
        self.status: int | None = None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self.status, self.last = None, ""
        try:
            answer = super().send(request, **{**kwargs, "allow_redirects": False})
        except requests.RequestException as error:
            self.last = type(error).__name__
            raise
        self.status, self.last = answer.status_code, f"it answers {answer.status_code}"
        return answer


class Sender:
    """One collector."""

    def __init__(self, settings: TelemetrySettings, headers: Mapping[str, str], instance: str) -> None:
        """headers: with their secrets. instance: tells this state folder from others."""
        assert settings.endpoint is not None
        base, timeout = settings.endpoint.rstrip("/"), float(settings.timeout)
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what goes wrong is told here, once
        self._where, self._session = base, _Session()
        self._spans = OTLPSpanExporter(
            f"{base}/v1/traces", headers=headers, timeout=timeout, compression=Compression.Gzip, session=self._session
        )
        self._metrics = OTLPMetricExporter(
            f"{base}/v1/metrics", headers=headers, timeout=timeout, compression=Compression.Gzip, session=self._session
        )
        self._resource = Resource(
            {"service.name": "overnight", "service.version": __version__, "service.instance.id": instance}
        )
        self._scope = InstrumentationScope("overnight", __version__)

    def spans(self, spans: Sequence[Span]) -> None:
        """Raises NotDelivered; TelemetryRefused when the collector does not want these data."""
        taken = self._spans.export([self._span(each) for each in spans]) is SpanExportResult.SUCCESS
        self._look(taken)

    def metrics(
        self, measures: Measures, since: float, now: Sequence[tuple[str, str, int, Mapping[str, Value]]]
    ) -> None:
        """now: (name, description, value, attributes) of what there is at the moment. Raises as `spans` does."""
        at, begun = time.time_ns(), _ns(since)
        found = [self._metric(name, points, begun, at) for name, points in measures.series.items()]
        for name in dict.fromkeys(each[0] for each in now):
            points = [NumberDataPoint(each[3], begun, at, each[2]) for each in now if each[0] == name]
            words = next(each[1] for each in now if each[0] == name)
            found.append(Metric(name, words, "{task}", Gauge(points)))
        if not found:
            return
        scope = ScopeMetrics(self._scope, found, "")
        data = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        result = self._metrics.export(data)  # pyright: ignore[reportUnknownMemberType] (the SDK leaves its **kwargs open)
        self._look(result is MetricExportResult.SUCCESS)

    def close(self) -> None:
        """Let go of the connection."""
        self._spans.shutdown()
        self._metrics.shutdown()  # pyright: ignore[reportUnknownMemberType] (as above)
        self._session.close()

    def _look(self, taken: bool) -> None:
        """The exporters take a redirect for a success, though nobody followed it."""
        if taken and self._session.status is not None and 200 <= self._session.status < 300:
            return
        if self._session.status in REFUSED:
            raise TelemetryRefused(where=self._where, reason=self._session.last)
        raise NotDelivered(where=self._where, reason=self._session.last or "the data could not be encoded")

    def _span(self, span: Span) -> ReadableSpan:
        trace = int(span.trace, 16)
        attributes = {**span.attributes, **({"error.type": span.error} if span.error else {})}
        return ReadableSpan(
            span.name, _context(trace, span.id), _context(trace, span.parent) if span.parent else None,
            self._resource, attributes, [Event(mark.name, mark.attributes, _ns(mark.at)) for mark in span.marks],
            [Link(_context(int(other, 16), ident)) for other, ident in span.links],
            SpanKind.CLIENT if span.client else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=_ns(span.start), end_time=_ns(span.end), instrumentation_scope=self._scope,
        )  # fmt: skip

    def _metric(self, name: str, points: Mapping[str, Point], begun: int, at: int) -> Metric:
        known = INSTRUMENTS[name]
        if not known.bounds:
            numbers = [NumberDataPoint(attributes_of(key), begun, at, point.total) for key, point in points.items()]
            return Metric(name, known.description, known.unit, Sum(numbers, AggregationTemporality.CUMULATIVE, True))
        bars = [
            HistogramDataPoint(
                attributes_of(key), begun, at, point.count, point.total, point.buckets, known.bounds, point.least,
                point.most,
            )
            for key, point in points.items()
        ]  # fmt: skip
        return Metric(name, known.description, known.unit, Histogram(bars, AggregationTemporality.CUMULATIVE))


def _context(trace: int, span: str) -> SpanContext:
    return SpanContext(trace, int(span, 16), is_remote=False, trace_flags=_SAMPLED)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
