from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from catchup_dev.doubles.smtp import certificate
from catchup_operator.kube import service_account
from catchup_operator.kube.config import NoClusterError, load_access
from catchup_operator.kube.server_access import CredentialsError
from catchup_operator.kube.service_account import NotInPodError, service_account_access


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a pod's service account."""
    monkeypatch.setattr(service_account, "DIRECTORY", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text("first\n")
    made, _ = certificate.make(tmp_path / "authority", ["10.96.0.1"])
    made.rename(tmp_path / "ca.crt")
    return tmp_path


async def test_in_a_pod_the_api_server_is_the_service_and_the_token_a_bearer_token(pod: Path) -> None:
    access = await load_access()
    assert (access.server, access.proxy, access.server_name) == ("https://10.96.0.1:443", None, None)
    assert len(access.ssl.get_ca_certs()) == 1
    assert await access.authorization() == {"Authorization": "Bearer first"}


async def test_an_ipv6_service_stands_in_brackets(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00:10:96::1")
    assert service_account_access().server == "https://[fd00:10:96::1]:443"


async def test_the_token_is_read_again_after_a_minute_since_the_kubelet_replaces_it(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("catchup_operator.kube.service_account.time.monotonic", lambda: now)
    access = service_account_access()
    await access.authorization()
    (pod / "token").write_text("second")
    now += 59
    assert await access.authorization() == {"Authorization": "Bearer first"}
    now += 2
    assert await access.authorization() == {"Authorization": "Bearer second"}


@pytest.mark.parametrize("content", [None, ""])
async def test_a_token_that_is_gone_or_empty_for_a_moment_is_passing(pod: Path, content: str | None) -> None:
    access = service_account_access()
    (pod / "token").unlink()
    if content is not None:
        (pod / "token").write_text(content)
    with pytest.raises(CredentialsError, match="token"):
        await access.authorization()


@pytest.mark.parametrize("lacks", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "token", "ca.crt"])
async def test_what_lacks_to_be_in_a_pod_is_named(pod: Path, monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    if lacks.isupper():
        monkeypatch.delenv(lacks)
    else:
        (pod / lacks).write_text("")
    with pytest.raises(NotInPodError, match=lacks if lacks.islower() else "KUBERNETES_SERVICE_HOST and _PORT"):
        service_account_access()


async def test_a_certificate_authority_that_is_none_is_told_before_anything_is_asked(pod: Path) -> None:
    (pod / "ca.crt").write_text("not a certificate")
    with pytest.raises(NoClusterError, match="the certificate authority of the service account cannot be used"):
        await load_access()


def test_in_a_pod_neither_the_kubernetes_client_nor_what_it_needs_is_imported() -> None:
    # The image lacks it; kopf imports it where it is there. 30 MB and half a second.
    script = (
        "import sys; sys.modules['kubernetes'] = None\n"
        "import catchup_operator.cli, catchup_operator.handlers\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"requests", "google", "pydantic", "oauthlib"} & set(done.stdout.split())
