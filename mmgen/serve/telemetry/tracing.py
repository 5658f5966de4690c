"""Turns traces on where they are asked for; imports nothing of OpenTelemetry before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from mmgen.errors import NotFound

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter


def install(app: FastAPI, address: str, exporter: SpanExporter | None = None) -> Callable[[], None]:
    """Traces the application's calls and its engine's jobs, sent to a collector -> what ends it, when the engine has.

    Args:
        address: of the collector's OTLP over HTTP, such as http://localhost:4318.
        exporter: where spans go instead.

    Raises NotFound without the extra `otel`, BadRequest for what is no address.
    """
    try:
        from mmgen.serve.telemetry import spans
    except ImportError as why:
        raise NotFound(f"traces need OpenTelemetry, and {why.name} is not here; pip install 'mmgen[otel]'") from None
    provider: Any = spans.provider(exporter or spans.otlp(address))
    tracer = provider.get_tracer("mmgen")
    observer, engine = spans.JobSpans(tracer), app.state.rt.engine
    engine.observers.append(observer)
    app.add_middleware(spans.Tracing, tracer=tracer)

    def end() -> None:
        engine.observers.remove(observer)
        observer.close()
        provider.shutdown()  # sends what is left

    return end
