"""An admission webhook on loopback that the API server asks about CronJobs, and what it answers."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml
from integration.operator.conftest import Namespace


@dataclass
class Webhook:
    """What a webhook answers, and how often it was asked."""

    answer: Mapping[str, Any]
    asked: list[str] = field(default_factory=list)


def denial(code: int, reason: str = "", message: str = "not today") -> dict[str, Any]:
    """Return the answer of a webhook that denies a request with a code of its own."""
    return {"allowed": False, "status": {"code": code, "reason": reason, "message": message}}


def broken_patch() -> dict[str, Any]:
    """Return the answer of a mutating webhook whose JSON patch does not fit the object."""
    patch = json.dumps([{"op": "remove", "path": "/spec/nowhere"}]).encode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}


@contextmanager
def webhook(
    namespace: Namespace, answer: Mapping[str, Any], *, operations: Sequence[str] = ("CREATE", "UPDATE")
) -> Iterator[Webhook]:
    """Let the API server ask a webhook about operations on the CronJobs of a namespace, until the block ends."""
    found = Webhook(answer)
    pki = namespace.cluster.layout.pki
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    kind = "MutatingWebhookConfiguration" if "patch" in answer else "ValidatingWebhookConfiguration"
    name = f"{namespace.name}-{secrets.token_hex(2)}"
    hook = {
        "name": "w.example.com",
        "clientConfig": {
            "url": f"https://127.0.0.1:{server.server_port}/",
            "caBundle": base64.b64encode((pki / "ca.crt").read_bytes()).decode(),
        },
        "rules": [
            {
                "apiGroups": ["batch"],
                "apiVersions": ["v1"],
                "operations": [*operations],
                "resources": ["cronjobs"],
            }
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    document = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "webhooks": [hook],
    }
    namespace.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))
    try:
        yield found
    finally:
        namespace.cluster.kubectl("delete", kind, name, "--ignore-not-found")
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(found: Webhook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = review["request"]
            if not request.get("dryRun"):
                found.asked.append(request["operation"])
            response = {"uid": request["uid"], **found.answer}
            body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
            """Say nothing."""

    return Handler
