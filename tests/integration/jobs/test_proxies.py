"""HTTPS_PROXY is the way to Google and to Twilio: a real proxy, of which the tests see what it was asked."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import requests

from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, SENDER
from catchup_jobs.adapters.google.http import Http
from catchup_jobs.adapters.google.proxy import tunnel_to
from catchup_jobs.adapters.messaging.twilio_sms import TwilioAccount, TwilioSms
from catchup_jobs.adapters.tracing import OpenTelemetryTracer
from catchup_jobs.jobs.digest.provider_answers import Message, NotSent, Unusable
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOGLE, TWILIO = "https://www.googleapis.com/calendar/v3/users/me/calendarList", "api.twilio.com:443"
OK, NEEDS_LOGIN = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"


@dataclass
class Proxy:
    """What it was asked, and the beginning of what went through it."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    through: list[bytes] = field(default_factory=list)


@contextmanager
def proxy(answer: bytes) -> Iterator[Proxy]:
    made = Proxy()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1) or b"\r\n\r\n"
            made.asked.append(head.decode())
            connection.sendall(answer)
            made.through.append(connection.recv(1))

    def accept() -> None:
        with suppress(OSError):
            while True:
                serve(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        made.url = f"127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def twilio(base_url: str | None = None) -> object:
    account = TwilioAccount(ACCOUNT_SID, AUTH_TOKEN, SENDER, base_url=base_url)
    gateway = TwilioSms(account, now=lambda: datetime(2026, 11, 29, 8, tzinfo=UTC))
    return gateway.send(Message("+447700900123", "", "x"))


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_google_is_asked_through_the_proxy_with_tls_to_google(
    monkeypatch: pytest.MonkeyPatch, name: str, scheme: str
) -> None:
    with proxy(OK) as way:
        monkeypatch.setenv(name, f"{scheme}ada:p%40ss@{way.url}")
        with pytest.raises(TemporaryError):  # it hangs up within the handshake
            Http().request(GOOGLE)
    assert way.asked[0].startswith("CONNECT www.googleapis.com:443 HTTP/1.")
    assert "Proxy-Authorization: Basic YWRhOnBAc3M=\r\n" in way.asked[0]  # RFC 7617: `ada:p@ss`
    assert way.through[0] == b"\x16", "RFC 8446: the record type of a handshake"


def test_twilio_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(OK) as way:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{way.url}")
        twilio()
    assert way.asked[0].startswith(f"CONNECT {TWILIO} HTTP/1.")


@pytest.mark.parametrize("no_proxy", ["www.googleapis.com", ".googleapis.com", "10.0.0.0/8, googleapis.com", "*"])
def test_what_no_proxy_names_is_reached_directly(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    with proxy(OK) as way:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{way.url}")
        monkeypatch.setenv("NO_PROXY", no_proxy.replace("googleapis.com", "google.invalid"))
        with pytest.raises(TemporaryError):
            Http().request("https://www.google.invalid/")
    assert way.asked == []


# Python's own reading of NO_PROXY knows no CIDR, and `requests` only those of IPv4.
@pytest.mark.parametrize("client", ["Google", "Twilio", "traces"])
@pytest.mark.parametrize(("host", "no_proxy"), [("192.0.2.1", "192.0.2.0/24"), ("[2001:db8::1]", "2001:db8::/32")])
def test_networks_that_no_proxy_names_are_reached_directly(
    monkeypatch: pytest.MonkeyPatch, client: str, host: str, no_proxy: str
) -> None:
    asked = []

    def refuse(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        asked.append(address[0])
        raise ConnectionRefusedError

    # Neither network is anybody's (RFC 5737, RFC 3849).
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("urllib3.util.connection.create_connection", refuse)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    if client == "Google":
        assert tunnel_to(host.strip("[]"), 443, timeout=1) is None
        return
    if client == "Twilio":
        assert isinstance(twilio(f"https://{host}"), NotSent)
    else:
        made: dict[str, requests.Session] = {}
        monkeypatch.setattr("catchup_jobs.adapters.tracing.OTLPSpanExporter", lambda **named: made.update(named))
        OpenTelemetryTracer(traceparent=None, resource={})
        with pytest.raises(requests.ConnectionError):
            made["session"].post(f"https://{host}:4318/v1/traces")
    assert set(asked) == {host.strip("[]")}


def test_a_proxy_that_wants_a_login_or_is_not_there_is_temporary_and_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with proxy(NEEDS_LOGIN) as way:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{way.url}")
        with pytest.raises(TemporaryError):
            Http().request(GOOGLE)
        assert isinstance(twilio(), NotSent)
    with pytest.raises(TemporaryError):
        Http().request(GOOGLE)
    assert isinstance(twilio(), NotSent)


@pytest.mark.parametrize("setting", ["socks5://127.0.0.1:1080", "http://secret@127.0.0.1:port", "http://", "ftp://x"])
def test_a_proxy_of_another_kind_is_ours_and_its_address_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", setting)
    with pytest.raises(MisconfiguredError) as caught:
        Http().request(GOOGLE)
    assert "secret" not in str(caught.value)
    answer = twilio()
    assert isinstance(answer, Unusable)
    assert "secret" not in answer.why
