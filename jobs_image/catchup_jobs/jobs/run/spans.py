"""The spans of a trace: a run, its passes, its requests to providers. They cost nothing unless traces are on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

Value = str | int
Attributes = Mapping[str, Value | None]

_FIRST_ERROR: Final = 400


class Span(Protocol):
    """A stretch of time in a trace. Its attributes hold no personal data: no address, name, title, or URL with one."""

    @property
    def trace_id(self) -> str | None:
        """The trace's id for logs (32 hexadecimal digits), or None where traces are off."""

    def set(self, attributes: Attributes) -> None:
        """Set attributes; those that are None are left out."""

    def fail(self, error_type: str) -> None:
        """Mark it as failed, by a low-cardinality name such as a class or an HTTP status."""


class Tracer(Protocol):
    """Makes spans."""

    def span(self, name: str, attributes: Attributes, *, is_request: bool) -> AbstractContextManager[Span]:
        """Open a span below the one that is open in this thread, or below the process's."""


class _NoSpan:
    trace_id: Final = None

    def set(self, attributes: Attributes) -> None:
        """Do nothing."""

    def fail(self, error_type: str) -> None:
        """Do nothing."""


_NO_SPAN: Final[AbstractContextManager[Span]] = nullcontext(_NoSpan())
# One for the process: the threads of a pool's tick, and clients deep within adapters, have nothing else in common.
_tracer: Tracer | None = None


def trace_with(tracer: Tracer | None) -> None:
    """Make spans by a tracer from now on, or none."""
    global _tracer  # noqa: PLW0603 - see above
    _tracer = tracer


def span(name: str, **attributes: Value | None) -> AbstractContextManager[Span]:
    """Open a span of our own work, with attributes below `catchup.`."""
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(name, {f"catchup.{key}": value for key, value in attributes.items()}, is_request=False)


def http_span(method: str, host: str | None) -> AbstractContextManager[Span]:
    """Open a span of a request to a provider, by OpenTelemetry's conventions for HTTP clients.

    It has neither path nor query, which hold addresses and tokens.
    """
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(method, {"http.request.method": method, "server.address": host}, is_request=True)


def answered(span_of_request: Span, status: int) -> None:
    """Note the status of an HTTP answer; from 400 on the request failed."""
    span_of_request.set({"http.response.status_code": status})
    if status >= _FIRST_ERROR:
        span_of_request.fail(str(status))


def smtp_span(host: str, port: int) -> AbstractContextManager[Span]:
    """Open a span of a session with a mail server."""
    if _tracer is None:
        return _NO_SPAN
    attributes: Attributes = {"network.protocol.name": "smtp", "server.address": host, "server.port": port}
    return _tracer.span("smtp", attributes, is_request=True)
