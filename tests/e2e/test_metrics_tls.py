"""Metrics over TLS on a node: the kubelet probes, the Secret is renewed in place, and nothing restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from waiting import eventually

from catchup_dev.console import Failure
from catchup_dev.doubles.smtp.certificate import make
from catchup_dev.stack import CHART, RELEASE, Stack

pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.release]

_SECRET: Final = "metrics-tls"


def put_certificate(stack: Stack, folder: Path) -> str:
    """Make a certificate for the exporter's Service, and put it into the Secret; return it."""
    certificate, key = make(folder, [f"{RELEASE}-metrics.{stack.namespace}.svc"])
    files = [f"--from-file={name}={path}" for name, path in (("tls.crt", certificate), ("tls.key", key))]
    secret = stack.kubectl("create", "secret", "generic", _SECRET, *files, "--dry-run=client", "--output=yaml")
    stack.kubectl("apply", "-f", "-", stdin=secret)
    return certificate.read_text()


@contextmanager
def with_tls(stack: Stack) -> Iterator[None]:
    def upgrade(secret: str) -> None:
        value = f"metrics.tls.existingSecret={secret}"
        stack.helm("upgrade", RELEASE, str(CHART), "--reuse-values", "--set", value, "--timeout=4m")
        stack.wait_for_operator()

    upgrade(_SECRET)
    try:
        yield
    finally:
        upgrade("")
        stack.kubectl("delete", "secret", _SECRET)


def pods(stack: Stack, component: str) -> list[tuple[str, int]]:
    """Return the names of a component's pods that are not ending, and how often each was restarted."""
    found = stack.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
    return [
        (pod["metadata"]["name"], sum(status["restartCount"] for status in pod["status"]["containerStatuses"]))
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
    ]


def shown(stack: Stack, host: str, port: int) -> str:
    """Return the certificate that a port shows to a pod of the release."""
    program = f"import ssl; print(ssl.get_server_certificate(({host!r}, {port})), end='')"
    return stack.kubectl("exec", f"deployment/{RELEASE}-toolbox", "--", "python", "-c", program)


def test_both_serve_by_https_a_renewed_secret_restarts_nothing_and_the_kubelet_goes_on_probing(
    stack: Stack, tmp_path: Path
) -> None:
    first = put_certificate(stack, tmp_path / "first")
    with with_tls(stack):  # which waits until the kubelet finds them ready
        before = pods(stack, "operator") + pods(stack, "metrics")
        operator = stack.get("pods", "-l", "app.kubernetes.io/component=operator")["items"][0]
        base, name = f"/api/v1/namespaces/{stack.namespace}", operator["metadata"]["name"]
        for path, metric in (
            (f"services/https:{RELEASE}-metrics:metrics", "catchup_build_info"),
            (f"pods/https:{name}:8443", "catchup_operator_build_info"),
        ):
            assert metric in stack.kubectl("get", "--raw", f"{base}/{path}/proxy/metrics")
        for path in (f"services/{RELEASE}-metrics:metrics", f"pods/{name}:8443", f"pods/{name}:8080"):
            with pytest.raises(Failure):
                stack.kubectl("get", "--raw", f"{base}/{path}/proxy/metrics")
        ports = ((f"{RELEASE}-metrics", 9464), (operator["status"]["podIP"], 8443))
        assert {shown(stack, *port) for port in ports} == {first}

        second = put_certificate(stack, tmp_path / "second")
        eventually(lambda: {shown(stack, *port) for port in ports} == {second})
        assert pods(stack, "operator") + pods(stack, "metrics") == before
        assert all(count == 0 for _, count in before)
