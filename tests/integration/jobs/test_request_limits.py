"""A server that sends a byte now and then holds no run beyond its deadline."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from integration.jobs.test_cli import ADA, Shell

from catchup_contract.env import Env
from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, SENDER
from catchup_jobs.adapters.google.http import Http
from catchup_jobs.adapters.messaging.smtp_email import MailServer, SmtpEmail
from catchup_jobs.adapters.messaging.twilio_http import BoundedHttp
from catchup_jobs.adapters.messaging.twilio_sms import TwilioAccount, TwilioSms
from catchup_jobs.adapters.redis import client as redis_client
from catchup_jobs.adapters.redis.locks import RedisLocks
from catchup_jobs.domain.digest.email_text import EmailDigest
from catchup_jobs.jobs.digest.provider_answers import Ambiguous, Message, NotSent
from catchup_jobs.jobs.run.errors import TemporaryError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
# Far below the timeouts of the sockets, so that only the limit of the whole request can end it.
LEFT = 1.0
DRIPS: dict[str, bytes] = {
    "a status line": b"HTTP/1.1 200 " + b"x" * 10_000,
    "a header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000,
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10_000,
    "a chunk's size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 10_000,
    "a trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 10_000,
}


@contextmanager
def dripping(content: bytes, *, at_once: int = 0, every: float = 0.3) -> Iterator[str]:
    """Serve every connection with `at_once` bytes, then one byte each `every` seconds; give `127.0.0.1:port`."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(content[:at_once])
            for index in range(at_once, len(content)):
                if over.wait(every):
                    return
                connection.sendall(content[index : index + 1])
            over.wait(60)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)


def took(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def start_of(drip: str) -> int:
    """Return how much of an answer comes at once: its beginning, so that the part that is named drips."""
    content = DRIPS[drip]
    return max(content.rfind(b"\r\n\r\n", 0, 200), 0) + 4 if b"\r\n\r\n" in content else 13


@pytest.mark.parametrize("drip", DRIPS)
def test_a_request_to_google_ends_with_the_time_that_is_left(drip: str) -> None:
    with dripping(DRIPS[drip], at_once=start_of(drip)) as address:
        http = Http(seconds_left=lambda: LEFT)

        def ask() -> None:
            with pytest.raises(TemporaryError, match="slow"):
                http.request(f"http://{address}/calendar/v3/users/me/calendarList")

        assert took(ask) >= LEFT
        ask()  # the next request is one of its own


@pytest.mark.parametrize("drip", DRIPS)
def test_a_request_to_twilio_ends_with_the_time_that_is_left_and_may_have_been_carried_out(drip: str) -> None:
    with dripping(DRIPS[drip], at_once=start_of(drip)) as address:
        account = TwilioAccount(ACCOUNT_SID, AUTH_TOKEN, SENDER, base_url=f"http://{address}")
        gateway = TwilioSms(account, now=lambda: NOW, http=BoundedHttp(account.base_url, seconds_left=lambda: LEFT))
        assert isinstance(gateway.send(Message("+447700900123", "", "x")), Ambiguous)
        with pytest.raises(TemporaryError):
            gateway.find("+447700900123", code="K7Q2P9", since=NOW)


@pytest.mark.parametrize("proxied", ["google", "twilio"])
def test_a_proxy_that_drips_its_answer_to_connect_holds_nothing(proxied: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000, at_once=20) as address:
        monkeypatch.setenv("https_proxy", f"http://{address}")
        monkeypatch.setenv("no_proxy", "none.example")
        if proxied == "google":
            with pytest.raises(TemporaryError, match="slow"):
                Http(seconds_left=lambda: LEFT).request("https://calendar.example/calendar/v3/users/me/calendarList")
        else:
            account = TwilioAccount(ACCOUNT_SID, AUTH_TOKEN, SENDER)
            http = BoundedHttp(None, seconds_left=lambda: LEFT)
            assert isinstance(
                TwilioSms(account, now=lambda: NOW, http=http).send(Message("+447700900123", "", "x")), Ambiguous
            )


@pytest.mark.parametrize("left", [LEFT, -3])
def test_a_session_with_the_mail_server_ends_with_the_time_that_is_left(left: float) -> None:
    with dripping(b"220-" + b"x" * 10_000) as address:
        host, _, port = address.partition(":")
        server = MailServer(host, int(port), "digest@example.com", security="none")
        gateway = SmtpEmail(server, now=lambda: NOW, seconds_left=lambda: left)
        message = Message("ada@example.com", "k", EmailDigest("Ada", (), "every Sunday"))
        assert isinstance(gateway.send(message), NotSent)


@pytest.mark.parametrize(
    "use", [lambda locks: locks.acquire("sync:ada", "sync:ada:1"), lambda locks: locks.attempts("x")]
)
def test_an_answer_of_redis_that_drips_is_given_up(
    use: Callable[[RedisLocks], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "ANSWER_SECONDS", LEFT)
    with dripping(b"+" + b"x" * 10_000) as address:
        locks = RedisLocks.open(f"redis://{address}/0")
        with closing(locks), pytest.raises(TemporaryError):
            use(locks)


@pytest.mark.slow
@pytest.mark.release
def test_a_sync_whose_google_drips_closes_its_run_before_its_deadline(tmp_path: Path, google: GoogleDouble) -> None:
    shell = Shell(tmp_path)
    google.add_user("ada@example.com", time_zone="Europe/Berlin")
    google.add_fault(kind="calendarList", drip=0.5, times=None)
    env: dict[str, str] = {
        Env.GOOGLE_CLIENT_ID: "catchup-double",
        Env.GOOGLE_CLIENT_SECRET: "catchup-double-secret",
        Env.GOOGLE_API_ENDPOINT: google.api_endpoint,
        Env.GOOGLE_TOKEN_URI: google.token_uri,
        Env.DEADLINE_SECONDS: "30",
    }
    shell.run("user", "import", "-", stdin=json.dumps(ADA))
    connected = shell.run(
        "calendar", "connect", "ada", "--token-file", "-", stdin=json.dumps(google.grant("ada@example.com")), env=env
    )
    assert connected[0] == 0
    code, _, errors = shell.run("sync", "--user", "ada", env=env)
    assert (code, google.faults()[0]["fired"]) == (75, 1), errors
    (row,) = json.loads(shell.run("runs", "list", "--output", "json")[1])
    assert (row["state"], row["reason"]) == ("retry", "deadline")
    assert 20 < float(row["seconds"]) < 30
