from __future__ import annotations

import http.server
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import certifi
import httplib2
import pytest
import requests

from catchup_contract.env import Env
from catchup_dev.doubles.smtp.certificate import make
from catchup_jobs.adapters.files import authorities
from catchup_jobs.adapters.google.http import Http
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError
from catchup_jobs.settings import Settings


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in authorities._VARIABLES:
        # Set and deleted, so that whatever the test sets is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def private(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate of an authority of its own, and that authority's file."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    certificate, key = make(tmp_path, ["localhost"])
    server = http.server.ThreadingHTTPServer(("localhost", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_port}/", certificate
    server.shutdown()
    server.server_close()
    thread.join()


def get_as_google(url: str) -> bytes:
    with_http = Http()
    try:
        return with_http.request(url)[1]
    finally:
        with_http.close()


def test_google_and_requests_trust_a_private_authority_after_it_was_named_and_not_before(
    private: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, authority = private
    with pytest.raises(TemporaryError):
        get_as_google(url)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(url, timeout=20)
    monkeypatch.setenv(Env.CA_FILE, str(authority))
    Settings.load()
    assert get_as_google(url) == b"ok"
    assert requests.get(url, timeout=20).content == b"ok"


def test_openssl_trusts_the_private_and_the_public_authorities(private: tuple[str, Path]) -> None:
    authorities.trust(private[1])
    public = ssl.create_default_context(cafile=certifi.where()).get_ca_certs()
    own = ssl.create_default_context(cafile=str(private[1])).get_ca_certs()
    trusted = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"]).get_ca_certs()
    assert len(public) > 50
    assert len(own) == 1
    assert [each for each in (*public, *own) if each not in trusted] == []


def test_what_the_administrator_set_already_stays(private: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", "/etc/other.pem")
    authorities.trust(private[1])
    assert os.environ["PGSSLROOTCERT"] == "/etc/other.pem"
    assert httplib2.certs.where() == os.environ["HTTPLIB2_CA_CERTS"] == os.environ["REQUESTS_CA_BUNDLE"]


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_a_certificate_is_refused_by_the_variables_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(Env.CA_FILE, str(file))
    with pytest.raises(MisconfiguredError, match="CATCHUP_CA_FILE cannot be read, or holds no certificate"):
        Settings.load()
    assert "SSL_CERT_FILE" not in os.environ
