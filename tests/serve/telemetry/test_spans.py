"""Traces: a call, its stages, their jobs, their quanta; in the trace that the caller names."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest, NotFound
from mmgen.serve.telemetry import spans, tracing

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Traced:
    """A client of an application with traces, and the spans that it sent."""

    def __init__(self, app: "FastAPI", client: TestClient) -> None:
        self.exporter = InMemorySpanExporter()
        self.end = tracing.install(app, "", self.exporter)
        self.engine, self.client = app.state.rt.engine, client

    def spans(self) -> list[ReadableSpan]:
        """After the jobs have ended."""
        (observer,) = [one for one in self.engine.observers if isinstance(one, spans.JobSpans)]
        until = time.monotonic() + 20
        while observer._spans and time.monotonic() < until:
            time.sleep(0.002)
        self.end()
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced(make_app: "Callable[..., FastAPI]") -> Iterator[Traced]:
    app = make_app()
    client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
    made = Traced(app, client)
    with client:
        yield made
    if any(isinstance(one, spans.JobSpans) for one in made.engine.observers):
        made.end()


def named(found: list[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in found if span.name == name]


def children(found: list[ReadableSpan], above: ReadableSpan) -> list[ReadableSpan]:
    return [span for span in found if span.parent is not None and span.parent.span_id == above.context.span_id]


@pytest.mark.parametrize("stream", [False, True])
def test_request_stages_jobs_quanta(traced: Traced, stream: bool) -> None:
    body = {"model": "tiny", "prompt": "the cat", "max_tokens": 3, "stream": stream}
    answer = traced.client.post("/v1/completions", json=body, headers=HEADER)
    found = traced.spans()
    (server,) = named(found, "POST /v1/completions")
    assert server.parent is not None and f"{server.parent.span_id:016x}" == CALLER
    assert {f"{span.context.trace_id:032x}" for span in found} == {TRACE}
    assert answer.headers["traceparent"] == f"00-{TRACE}-{server.context.span_id:016x}-01"
    about: Any = server.attributes
    assert about["http.response.status_code"] == 200 and about["http.route"] == "/v1/completions"
    assert (about["user.name"], about["mmgen.models"]) == ("local", ("tiny",))
    assert about["mmgen.request"] == answer.headers["x-request-id"]
    stages = children(found, server)
    assert [stage.name for stage in stages] == ["load", "first", "write"]
    (job,) = [span for stage in stages for span in children(found, stage) if span.name.startswith("job text")]
    assert job.attributes is not None
    quanta = children(found, job)
    assert len(quanta) == job.attributes["mmgen.quanta"] and {span.name for span in quanta} == {"quantum"}
    assert sum(span.attributes["mmgen.device_ms"] for span in quanta) == pytest.approx(job.attributes["mmgen.device_ms"])  # type: ignore[misc,index]
    assert all(server.start_time <= span.start_time <= span.end_time for span in found)  # type: ignore[operator]
    assert not children(found, quanta[0])


def test_refused_calls_and_probes(traced: Traced) -> None:
    traced.client.get("/healthz")
    traced.client.get("/v1/requests/none")
    traced.client.post("/v1/completions", content=b"{", headers={"Content-Type": "application/json"})
    found = traced.spans()
    assert [(span.name, span.attributes["http.response.status_code"]) for span in found] == [  # type: ignore[index]
        ("GET /v1/requests/{id}", 404), ("POST", 400),  # no JSON: refused before any route
    ]  # fmt: skip
    assert len({span.context.trace_id for span in found}) == 2 and all(span.parent is None for span in found)


def test_a_batch_is_linked_and_a_failure_told(served: "Runtime") -> None:
    exporter = InMemorySpanExporter()
    provider = spans.provider(exporter)
    observer = spans.JobSpans(provider.get_tracer("mmgen"))
    jobs = [Job("text", None, Request(user=user)) for user in ("ann", "bob")]
    for job in jobs:
        observer.submitted(job)
        job.begin()
    observer.quantum(jobs, time.monotonic(), 2.0, 1.0)
    jobs[0].finish()
    jobs[1].fail(ValueError("a secret"))
    for job in jobs:
        observer.ended(job)
    observer.ended(jobs[0])
    observer.quantum(jobs, time.monotonic(), 2.0)
    provider.shutdown()
    quantum, ann, bob = exporter.get_finished_spans()
    assert quantum.parent.span_id == ann.context.span_id and quantum.links[0].context == bob.context  # type: ignore[union-attr]
    assert quantum.end_time - quantum.start_time == 3_000_000  # type: ignore[operator]
    assert bob.status.description == "ValueError" and not ann.status.description
    assert [event.name for event in ann.events] == ["started"]


def test_nested_stages_have_the_right_parents() -> None:
    exporter = InMemorySpanExporter()
    provider = spans.provider(exporter)
    tracer = provider.get_tracer("mmgen")
    root = tracer.start_span("root")
    request = spans.RequestSpans(tracer, root)
    outer = request.begin()
    inner = request.begin()
    tracer.start_span("job", request.parent()).end()
    request.end(inner, "search")
    left = request.begin()  # what follows the inner call's last stage
    request.end(left, "")
    request.end(outer, "tool")
    request.end(outer, "again")
    tracer.start_span("later", request.parent()).end()
    root.end()
    provider.shutdown()
    found = {span.name: span for span in exporter.get_finished_spans()}
    assert set(found) == {"job", "search", "tool", "later", "root"}
    above = {name: span.parent and span.parent.span_id for name, span in found.items()}
    ids = {name: span.context.span_id for name, span in found.items()}
    assert above == {"root": None, "tool": ids["root"], "search": ids["tool"], "job": ids["search"], "later": ids["root"]}


def test_what_is_no_collector(make_app: "Callable[..., FastAPI]", monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match="http://localhost:4318"):
        make_app(otel="collector")
    monkeypatch.delitem(sys.modules, "mmgen.serve.telemetry.spans")
    monkeypatch.delattr("mmgen.serve.telemetry.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(NotFound, match=r"pip install 'mmgen\[otel\]'"):
        make_app(otel="http://127.0.0.1:9")
