"""Traces by OpenTelemetry, sent by OTLP over HTTP. Imported only where an endpoint is set."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Final

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from catchup_jobs.adapters.directed_session import DirectedSession
from catchup_jobs.adapters.time_limit import OverTimeError, within

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from catchup_jobs.jobs.run.spans import Attributes, Span

_EXPORT_SECONDS: Final = 5.0
"""How long a request to the receiver of traces may take."""
_CLOSE_SECONDS: Final = 3.0
"""How long the end of a process waits for the receiver of traces."""

_log = structlog.get_logger()


class OpenTelemetryTracer:
    """`jobs.run.spans.Tracer`. What the receiver does not take is lost and counted in the log; no job fails by it.

    The SDK reads the standard variables: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`,
    `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES` and others.
    """

    def __init__(self, *, traceparent: str | None, resource: Mapping[str, str]) -> None:
        """Take the trace to continue (W3C Trace Context; what is malformed begins a new trace) and who sends."""
        # The SDK reports a receiver that does not answer by itself, with a traceback.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        described = {"service.name": "catchup-jobs", "service.version": metadata.version("catchup-jobs"), **resource}
        self._exporter = _CountingExporter(OTLPSpanExporter(timeout=_EXPORT_SECONDS, session=DirectedSession()))
        self._provider = TracerProvider(resource=Resource.create(described), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("catchup-jobs")
        self._parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent or ""})

    @contextmanager
    def span(self, name: str, attributes: Attributes, *, is_request: bool) -> Iterator[Span]:
        """Open a span below the one that is open in this thread, or below the process's."""
        parent = None if trace.get_current_span().get_span_context().is_valid else self._parent
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=SpanKind.CLIENT if is_request else SpanKind.INTERNAL,
            attributes=_known(attributes),
            # Messages of errors may quote personal data.
            record_exception=False,
            set_status_on_exception=False,
        ) as opened:
            made = _OpenSpan(opened)
            try:
                yield made
            except BaseException as error:
                made.fail(type(error).__qualname__)
                raise

    @contextmanager
    def process(self, name: str) -> Iterator[None]:
        """Open the process's span, the parent of what other threads open, and send all at its end."""
        try:
            with self.span(name, {}, is_request=False):
                self._parent = trace.set_span_in_context(trace.get_current_span())
                yield
        finally:
            self._close()

    def _close(self) -> None:
        try:
            within(_CLOSE_SECONDS, self._provider.shutdown)
        except OverTimeError:
            _log.warning("the receiver of traces does not answer, spans are lost")
            return
        if self._exporter.lost:
            _log.warning("the receiver of traces did not take all spans", lost=self._exporter.lost)


class _OpenSpan:
    def __init__(self, opened: trace.Span) -> None:
        self._opened = opened

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self._opened.get_span_context().trace_id)

    def set(self, attributes: Attributes) -> None:
        self._opened.set_attributes(_known(attributes))

    def fail(self, error_type: str) -> None:
        self._opened.set_attribute("error.type", error_type)
        self._opened.set_status(Status(StatusCode.ERROR))


class _CountingExporter(SpanExporter):
    """Counts what an exporter could not send."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _known(attributes: Attributes) -> dict[str, str | int]:
    return {name: value for name, value in attributes.items() if value is not None}
