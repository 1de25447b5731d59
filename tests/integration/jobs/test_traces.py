"""Traces: what a receiver gets by OTLP, and that no job depends on it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from integration.jobs.sync_world import EMAIL
from integration.jobs.test_sync_command import Shell, connect, shell
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

__all__ = ["shell"]

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
# The example of W3C Trace Context, 3.2.
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@dataclass
class Receiver:
    """An OTLP receiver; OpenTelemetry's own definitions read what comes."""

    url: str = ""
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    status: int = 200

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def attributes(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in span.attributes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    server.server_close()


def test_a_sync_is_one_trace_that_continues_the_jobs(shell: Shell, receiver: Receiver) -> None:
    shell.google.add_event(EMAIL, "dentist", title="Dentist of Mrs Canary", at="+1d 15:00")
    connect(shell)
    shell.environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "TRACEPARENT": TRACEPARENT,
        "CATCHUP_JOB_NAME": "ada-sync-by-hand",
    }
    log = shell.run("sync", "--user", "ada")

    (process,), (run,), (only_pass,) = (receiver.named(name) for name in ("sync", "run", "pass"))
    requests = [span for span in receiver.spans if span.kind == Span.SPAN_KIND_CLIENT]
    assert {span.trace_id.hex() for span in receiver.spans} == {TRACE_ID}
    assert process.parent_span_id.hex() == "00f067aa0ba902b7"
    assert (run.parent_span_id, only_pass.parent_span_id) == (process.span_id, run.span_id)
    assert len(requests) == shell.google.count("calendarList") + shell.google.count("events")
    assert {span.parent_span_id for span in requests} == {only_pass.span_id}
    assert attributes(run) == {"catchup.kind": "sync", "catchup.outcome": "done", "catchup.attempts": 0}
    sent = {"http.request.method": "GET", "server.address": "127.0.0.1", "http.response.status_code": 200}
    assert all(attributes(span) == sent for span in requests)
    assert TRACE_ID in log
    (request,) = receiver.requests
    resource = {each.key: each.value.string_value for each in request.resource_spans[0].resource.attributes}
    assert resource["service.name"] == "catchup-jobs"
    assert resource["k8s.job.name"] == "ada-sync-by-hand"
    for personal in (EMAIL, EMAIL.replace("@", "%40"), "Canary", "Bearer"):
        assert personal not in str(receiver.requests)


def test_a_run_that_fails_says_so_without_the_errors_message(shell: Shell, receiver: Receiver) -> None:
    connect(shell)
    shell.google.add_fault(kind="calendarList", status=400, times=None)
    shell.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    shell.run("sync", "--user", "ada", code=78)
    (run,), (only_pass,) = receiver.named("run"), receiver.named("pass")
    (request,) = (span for span in receiver.spans if span.kind == Span.SPAN_KIND_CLIENT)
    assert attributes(request)["error.type"] == "400"
    assert attributes(only_pass)["error.type"] == "MisconfiguredError"
    assert attributes(run)["error.type"] == attributes(run)["catchup.reason"]
    assert {span.status.code for span in (run, only_pass, request)} == {Status.STATUS_CODE_ERROR}
    assert [event for span in receiver.spans for event in span.events] == []


def test_the_members_of_a_pool_are_runs_of_the_ticks_trace(shell: Shell, receiver: Receiver) -> None:
    members = [{"id": user, "name": user, "timeZone": "Europe/Berlin", "pool": "people"} for user in ("lin", "omar")]
    shell.run("user", "import", "-", stdin=json.dumps(members))
    shell.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    shell.run("sync", "--pool", "people")
    (tick,), runs = receiver.named("sync"), receiver.named("run")
    assert len(runs) >= len(members)  # a slot may come meanwhile
    assert {(run.trace_id, run.parent_span_id) for run in runs} == {(tick.trace_id, tick.span_id)}


def test_a_malformed_traceparent_begins_a_new_trace(shell: Shell, receiver: Receiver) -> None:
    malformed = ["", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", "00-\r\n-1-01"]
    for traceparent in malformed:
        shell.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "TRACEPARENT": traceparent}
        shell.run("sync", "--user", "ada")
    assert [process.parent_span_id for process in receiver.named("sync")] == [b""] * len(malformed)


@contextmanager
def silent() -> Iterator[str]:
    """A receiver that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_receiver_that_never_answers_delays_a_run_by_three_seconds_and_no_more(shell: Shell) -> None:
    with silent() as url:
        shell.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        began = time.monotonic()
        log = shell.run("sync", "--user", "ada")
    assert "the receiver of traces does not answer" in log
    # Far from the SDK's own 30 s, with room for a busy machine.
    assert time.monotonic() - began < 25


def test_a_receiver_that_refuses_is_one_line_of_the_log(shell: Shell, receiver: Receiver) -> None:
    shell.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    for made, status in enumerate((400, 404, 413), 1):
        receiver.status = status
        log = shell.run("sync", "--user", "ada")
        assert len(receiver.requests) == made, "the refusal must have been made"
        assert "the receiver of traces did not take all spans" in log


def test_an_endpoint_that_is_no_address_is_a_misconfiguration(shell: Shell) -> None:
    shell.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in shell.run("sync", "--user", "ada", code=78)
