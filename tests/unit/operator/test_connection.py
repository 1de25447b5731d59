from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from catchup_operator.connection import NoClusterError, find

PROXY = "http://proxy.example.com:3128"


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(path))
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    write(path)
    return path


def write(path: Path, **cluster: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": {"server": "https://kube.example.com:6443", **cluster}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "me"}}],
        "users": [{"name": "me", "user": {}}],
        "current-context": "one",
    }
    path.write_text(yaml.safe_dump(config))


async def test_without_a_service_account_the_kubeconfig_is_read(kubeconfig: Path) -> None:
    found = await find()
    assert (found.host, found.proxy) == ("https://kube.example.com:6443", None)


@pytest.mark.parametrize(
    ("env", "of_the_file", "proxy"),
    [
        ({"HTTPS_PROXY": PROXY}, None, PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "kube.example.com"}, None, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "other.example.com"}, None, PROXY),
        ({"HTTPS_PROXY": PROXY}, "http://mine.example.com:1", "http://mine.example.com:1"),
    ],
)
async def test_the_proxy_is_the_kubeconfigs_or_else_the_environments(
    kubeconfig: Path,
    monkeypatch: pytest.MonkeyPatch,
    env: dict[str, str],
    of_the_file: str | None,
    proxy: str | None,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    write(kubeconfig, **({"proxy-url": of_the_file} if of_the_file else {}))
    assert (await find()).proxy == proxy


async def test_no_kubeconfig_is_said(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{kubeconfig}-of-nobody")
    with pytest.raises(NoClusterError, match="neither in a cluster, nor a usable kubeconfig"):
        await find()
