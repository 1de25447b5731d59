from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from catchup_operator import kube
from catchup_operator.kube.config import NoClusterError, load_access

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
    found = await load_access()
    assert (found.server, found.proxy) == ("https://kube.example.com:6443", None)


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
    assert (await load_access()).proxy == proxy


def put(path: Path, content: str | None) -> None:
    path.unlink()
    if content is not None:
        path.write_text(content)


UNUSABLE: dict[str, tuple[str | None, str]] = {
    "missing": (None, "FileNotFoundError: no such file"),
    "empty": ("", "cannot be used"),
    "no YAML": ("clusters: [", "cannot be used: ParserError"),
    "text": ("hello", "cannot be used"),
    "no contexts": ("clusters: []", "Expected key current-context"),
    "no server's context": ("current-context: one\ncontexts: []", "Expected object with name one"),
}


@pytest.mark.parametrize(("content", "says"), UNUSABLE.values(), ids=UNUSABLE)
async def test_a_kubeconfig_that_cannot_be_used_is_named_with_what_is_wrong_and_what_to_do(
    kubeconfig: Path, content: str | None, says: str
) -> None:
    put(kubeconfig, content)
    with pytest.raises(NoClusterError) as caught:
        await load_access()
    told = str(caught.value)
    assert told.startswith("not in a pod (KUBERNETES_SERVICE_HOST and _PORT are not set), and")
    assert f"the kubeconfig {kubeconfig} cannot be used" in told
    assert says in told
    assert told.endswith("; set KUBECONFIG to a file with which kubectl reaches the cluster")


async def test_certificates_that_cannot_be_used_are_told_before_anything_is_asked(kubeconfig: Path) -> None:
    write(kubeconfig, **{"certificate-authority-data": "bm90IGEgY2VydGlmaWNhdGU="})
    with pytest.raises(NoClusterError, match=r"the certificates for https://kube\.example\.com:6443 cannot be used"):
        await load_access()


async def test_a_list_of_kubeconfigs_may_name_some_that_are_not_there(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{kubeconfig}-of-nobody:{kubeconfig}")
    assert (await load_access()).server == "https://kube.example.com:6443"


async def test_without_the_kubernetes_client_a_kubeconfig_is_refused_with_what_to_install(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(kube, "kubeconfig", raising=False)
    monkeypatch.setitem(sys.modules, "catchup_operator.kube.kubeconfig", None)
    with pytest.raises(NoClusterError, match=r"not in a pod .*; pip install 'catchup-jobs\[kubeconfig\]' reads it"):
        await load_access()
