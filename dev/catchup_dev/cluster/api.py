"""As much of an API client as starting and watching a cluster needs; tests and the product have real ones."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from catchup_dev.console import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TIMEOUT = 5.0
_PATIENCE = 120.0
_OK = range(200, 300)


def answer(
    url: str,
    *,
    context: ssl.SSLContext | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    seconds: float = _TIMEOUT,
) -> tuple[int, bytes]:
    """Status and body; 0 where nobody answers."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=seconds)
    )
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    try:
        connection.request(method, target, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()
    finally:
        connection.close()


def healthy(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Return whether it answers with a status of success."""
    return answer(url, context=context)[0] in _OK


def trusting(ca: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """TLS that accepts one authority and may show a certificate of its own."""
    context = ssl.create_default_context(cafile=str(ca))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def unverified() -> ssl.SSLContext:
    """For the health of programs that make themselves a certificate nobody can know; nothing secret is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Api:
    """The API server, as administrator."""

    def __init__(self, server: str, ca: Path, token: str) -> None:
        self.server = server
        self._context = trusting(ca)
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def ready(self) -> bool:
        """Return whether the API server says that it is ready."""
        return answer(f"{self.server}/readyz", context=self._context, headers=self._headers)[0] in _OK

    def get(self, path: str) -> dict[str, Any] | None:
        """The object, or None where there is none (or no API server)."""
        status, body = answer(f"{self.server}{path}", context=self._context, headers=self._headers)
        if status not in _OK:
            return None
        loaded: dict[str, Any] = json.loads(body)
        return loaded

    def request(self, method: str, path: str, document: Any = None, *, content_type: str = "application/json") -> bytes:
        """Return what the server answers to a request that it may take its time for; a Failure where it refuses."""
        status, body = answer(
            f"{self.server}{path}",
            context=self._context,
            method=method,
            headers={**self._headers, "Content-Type": content_type},
            body=None if document is None else json.dumps(document).encode(),
            seconds=_PATIENCE,
        )
        if status not in _OK:
            raise Failure(f"{method} {path} failed (HTTP {status}).", log=body.decode(errors="replace")[:800])
        return body

    def apply(self, path: str, manifest: dict[str, Any]) -> None:
        """Server-side apply, so that doing it again changes nothing."""
        status, body = answer(
            f"{self.server}{path}/{manifest['metadata']['name']}?fieldManager=catchup-dev&force=true",
            context=self._context,
            method="PATCH",
            headers={**self._headers, "Content-Type": "application/apply-patch+yaml"},
            body=json.dumps(manifest).encode(),
        )
        if status not in _OK:
            raise Failure(
                f"{manifest['kind']} {manifest['metadata']['name']} could not be applied (HTTP {status}).",
                log=body.decode(errors="replace")[:800],
                todo="run `status`, then `up` again.",
            )
