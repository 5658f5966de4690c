"""OpenTelemetry spans of requests, their stages, jobs and quanta. Imports the SDK: only where traces are asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers, MutableHeaders

from mmgen import __version__
from mmgen.errors import BadRequest
from mmgen.pipelines import timings
from mmgen.serve.telemetry import logs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mmgen.engine.job import Job

UNTOLD = ("/healthz", "/readyz", "/metrics")
HEADER = "traceparent"
W3C = TraceContextTextMapPropagator()
current: ContextVar[RequestSpans | None] = ContextVar("request_spans", default=None)
"""Of the request that this thread or task works for."""


def provider(exporter: SpanExporter) -> TracerProvider:
    """Sends spans in batches, from a thread of its own. OTEL_TRACES_SAMPLER and the like count."""
    made = TracerProvider(resource=Resource.create({"service.name": "mmgen", "service.version": __version__}))
    made.add_span_processor(BatchSpanProcessor(exporter))
    return made


class StageSpan:
    """A stage that goes on. Its span begins with its first job, or when it is named: what is no stage leaves none."""

    def __init__(self) -> None:
        self.began = time.time_ns()
        self.span: Span | None = None


class RequestSpans:
    """The spans of one request; the listener of its stages. Its pipelines run in one thread, one within another."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self.tracer, self.span = tracer, span
        self._open: list[StageSpan] = []

    def begin(self) -> StageSpan:
        self._open.append(StageSpan())
        return self._open[-1]

    def end(self, stage: StageSpan, name: str) -> None:
        if stage not in self._open:
            return
        if name:
            span = self._span(stage)
            span.update_name(name)
            span.end()
        del self._open[self._open.index(stage) :]

    def parent(self) -> Context:
        """Of a job that is submitted now."""
        span = self._span(self._open[-1]) if self._open else self.span
        return trace.set_span_in_context(span, Context())

    def _span(self, stage: StageSpan) -> Span:
        if stage.span is None:
            before = self._open[: self._open.index(stage)]
            above = self._span(before[-1]) if before else self.span
            parent = trace.set_span_in_context(above, Context())
            stage.span = self.tracer.start_span("stage", parent, start_time=stage.began)
        return stage.span


class JobSpans:
    """Observes an engine. A quantum is a child of its first job that is traced, and linked to the others."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self._spans: dict[Job, Span] = {}
        self._offset = time.time_ns() - time.monotonic_ns()

    def submitted(self, job: Job) -> None:
        spans, request = current.get(), job.request
        about = {"mmgen.request": request.id, "mmgen.priority": request.priority, "mmgen.runner": job.runner}
        parent = Context() if spans is None else spans.parent()
        self._spans[job] = self.tracer.start_span(f"job {job.runner}", parent, attributes=about)

    def quantum(self, jobs: Sequence[Job], began: float, milliseconds: float, away: float = 0.0) -> None:
        traced = [span for job in jobs if (span := self._spans.get(job)) is not None and span.is_recording()]
        if not traced:
            return
        first, *others = traced
        start = self._at(began)
        about: dict[str, Any] = {"mmgen.runner": jobs[0].runner, "mmgen.jobs": len(jobs), "mmgen.device_ms": milliseconds}
        links = [Link(span.get_span_context()) for span in others]
        parent = trace.set_span_in_context(first, Context())
        span = self.tracer.start_span("quantum", parent, attributes=about, links=links, start_time=start)
        span.end(start + int(1e6 * (milliseconds + away)))

    def ended(self, job: Job) -> None:
        span = self._spans.pop(job, None)
        if span is None:
            return
        span.set_attributes({"mmgen.status": job.status, "mmgen.quanta": job.quanta, "mmgen.device_ms": job.device_ms})
        if job.started is not None:
            span.add_event("started", timestamp=self._at(job.started))
        error = job.future.exception() if job.future.done() else None
        if error is not None and job.status == "failed":
            span.set_status(Status(StatusCode.ERROR, type(error.__cause__ or error).__name__))
        span.end()

    def close(self) -> None:
        for span in self._spans.values():
            span.end()
        self._spans.clear()

    def _at(self, moment: float) -> int:
        return int(moment * 1e9) + self._offset


class Tracing:
    """Middleware: a span for each call, within the trace that its `traceparent` names; the answer says its own."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app, self.tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTOLD:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        above = W3C.extract({name: headers[name] for name in (HEADER, "tracestate") if name in headers}, Context())
        span = self.tracer.start_span(scope["method"], above, kind=SpanKind.SERVER)
        carried: dict[str, str] = {}
        W3C.inject(carried, trace.set_span_in_context(span, Context()))
        status, state = 0, scope.setdefault("state", {})

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = carried[HEADER]
            await send(message)

        spans = RequestSpans(self.tracer, span)
        tokens = current.set(spans), timings.listener.set(spans)
        traced = logs.trace_id.set(f"{span.get_span_context().trace_id:032x}")
        try:
            await self.app(scope, receive, tell)
        finally:
            current.reset(tokens[0])
            timings.listener.reset(tokens[1])
            logs.trace_id.reset(traced)
            _finish(span, scope, state, status)


def _finish(span: Span, scope: Scope, state: dict[str, Any], status: int) -> None:
    route = getattr(scope.get("route"), "path", None)
    span.update_name(f"{scope['method']} {route}" if route else scope["method"])
    about: dict[str, Any] = {
        "http.request.method": scope["method"],
        "http.route": route,
        "http.response.status_code": status or None,
        "url.scheme": scope.get("scheme"),
        "mmgen.request": state.get("request_id"),
        "mmgen.models": list(state.get("models", ())) or None,
        "user.name": getattr(state.get("caller"), "user", None),
    }
    span.set_attributes({key: value for key, value in about.items() if value is not None})
    if status >= 500 or not status:
        span.set_status(Status(StatusCode.ERROR, "" if status else "the client left"))
    span.end()


def otlp(address: str) -> SpanExporter:
    """By HTTP, to a collector's address such as http://localhost:4318."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    if not address.startswith(("http://", "https://")):
        raise BadRequest(f"the collector's address is {address!r}; give one such as http://localhost:4318")
    return OTLPSpanExporter(f"{address.rstrip('/')}/v1/traces")
