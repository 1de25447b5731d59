from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from catchup_operator import connection
from catchup_operator.connection import Connection, NoClusterError


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a pod finds: two variables and the files of its service account."""
    shutil.copy(ssl.get_default_verify_paths().cafile or _some_authority(), tmp_path / "ca.crt")
    (tmp_path / "token").write_text("first\n")
    monkeypatch.setattr(connection, "_SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return tmp_path


def _some_authority() -> str:
    import certifi  # noqa: PLC0415

    return certifi.where()


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
async def test_a_pod_connects_by_its_service_account(
    pod: Path, monkeypatch: pytest.MonkeyPatch, host: str, server: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    found = await Connection.find()
    assert (found.server, found.proxy) == (server, None)
    assert found.tls.verify_mode is ssl.CERT_REQUIRED
    assert await found.authorization() == "Bearer first"


async def test_a_token_that_is_replaced_is_read_again_within_a_minute(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await Connection.find()
    (pod / "token").write_text("second")
    assert await found.authorization() == "Bearer first"
    monkeypatch.setattr(connection, "_TOKEN_SECONDS", -1.0)
    assert await found.authorization() == "Bearer second"


@pytest.mark.parametrize(("lost", "says"), [("ca.crt", "service account"), ("token", "kubeconfig")])
async def test_what_is_missing_is_said(pod: Path, monkeypatch: pytest.MonkeyPatch, lost: str, says: str) -> None:
    monkeypatch.setenv("KUBECONFIG", str(pod / "absent"))
    (pod / lost).unlink()
    with pytest.raises(NoClusterError, match=says):
        await Connection.find()


def test_a_pod_loads_the_operator_without_the_kubernetes_client() -> None:
    code = """
import sys
from catchup_operator.cli import load_handlers
load_handlers()
loaded = {name.split(".")[0] for name, module in sys.modules.items() if module is not None}
assert "kopf" in loaded
print(sorted(loaded & {"kubernetes", "pydantic", "requests", "urllib3"}))
import kubernetes.aio  # and a kubeconfig can still be read
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
