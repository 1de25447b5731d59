"""The chart's NetworkPolicies enforced: each component reaches what it needs, and a stranger's pod does not.

The same installation has a proxy that is dead, and the cluster's networks in `NO_PROXY`.

The enforcer, on the node, is https://github.com/kubernetes-sigs/kube-network-policies.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml
from e2e.test_product import schedule
from waiting import eventually

from catchup_dev.binaries import ensure
from catchup_dev.cluster.pki import NODE_NAME
from catchup_dev.cluster.sandbox import Sandbox
from catchup_dev.console import Console
from catchup_dev.stack import CHART, RELEASE, Stack, build_images

pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.release]

NAMESPACE, APART, USER = "guarded", "apart", "guarded"
PROGRAM: Final = "kube-network-policies"
# The enforcer's own rule needs nft's queue, which not every kernel has; iptables' is in each.
RULE: Final = (
    "FORWARD",
    "-m",
    "conntrack",
    "--ctstate",
    "NEW",
    "-j",
    "NFQUEUE",
    "--queue-num",
    "100",
    "--queue-bypass",
)
ACCOUNT: Final = "/run/secrets/kubernetes.io/serviceaccount"
CONNECT: Final = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
except OSError:
    print("refused")
else:
    print("reached")
"""


def policies(api_port: int) -> dict[str, Any]:
    """Return values with every NetworkPolicy on; the API server of this cluster listens on no usual port."""
    enabled: dict[str, Any] = {"networkPolicy": {"enabled": True}}
    operator = {"networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": api_port}]}]}}
    return {"operator": operator, **dict.fromkeys(("jobs", "metrics", "postgresql", "redis"), enabled)}


# Nobody listens there. Pods, Services and the API server of a local cluster have addresses in that network.
DEAD, DIRECT = "http://127.0.0.1:9", "10.0.0.0/8"


def proxied() -> dict[str, Any]:
    """Return values with a dead proxy for whatever is not of the cluster."""
    variables = [{"name": "HTTPS_PROXY", "value": DEAD}, {"name": "NO_PROXY", "value": DIRECT}]
    return {
        "proxy": {"https": DEAD, "noProxy": DIRECT},
        "operator": {"extraEnv": variables},
        "metrics": {"access": "reviewed"},
    }


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {**values, **{name: {**values.get(name, {}), **fields} for name, fields in more.items()}}


@pytest.fixture
def guarded(stack: Stack) -> Iterator[Stack]:
    """A second release with all policies, which nobody enforces yet."""
    second = Stack(stack.cluster, NAMESPACE)
    second.make_namespace()
    stack.cluster.kubectl("create", "namespace", APART)
    server = urlsplit(yaml.safe_load(stack.cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    values = second.values(build_images(Console(quiet=True))) | {"crds": {"enabled": False}}
    values = merged(merged(values, policies(server.port or 443)), proxied())
    file = second.write_values(values)
    second.helm("install", RELEASE, str(CHART), f"--values={file}", "--timeout=4m")
    second.wait_for_operator()
    yield second
    stack.cluster.kubectl("delete", "namespace", APART, NAMESPACE, "--wait=false")


@pytest.fixture
def enforce(stack: Stack, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Start the enforcer on the node, as a pod's program would find its account there."""
    cluster, node = stack.cluster, Sandbox(stack.cluster.layout)
    started: list[subprocess.Popen[bytes]] = []

    def on_node(*command: str) -> None:
        subprocess.run(node.enter(command), check=True)

    def start() -> None:
        cluster.kubectl("-n", "kube-system", "create", "serviceaccount", "enforcer")
        watch = "--verb=get,list,watch", "--resource=pods,namespaces,nodes,networkpolicies.networking.k8s.io"
        cluster.kubectl("create", "clusterrole", "enforcer", *watch)
        bind = "--clusterrole=enforcer", "--serviceaccount=kube-system:enforcer"
        cluster.kubectl("create", "clusterrolebinding", "enforcer", *bind)
        config = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
        inline = config.get("certificate-authority-data")
        folder = node.path(ACCOUNT)
        folder.mkdir(parents=True)
        (folder / "token").write_text(cluster.kubectl("-n", "kube-system", "create", "token", "enforcer").strip())
        (folder / "ca.crt").write_bytes(
            base64.b64decode(inline) if inline else Path(config["certificate-authority"]).read_bytes()
        )
        server = urlsplit(config["server"])
        address = {"KUBERNETES_SERVICE_HOST": server.hostname or "", "KUBERNETES_SERVICE_PORT": str(server.port)}
        command = node.enter([str(ensure([PROGRAM])[PROGRAM]), f"--hostname-override={NODE_NAME}", "--disable-nri"])
        with (tmp_path / "enforcer.log").open("wb") as log:
            started.append(subprocess.Popen(command, env={**os.environ, **address}, stdout=log, stderr=log))
        on_node("iptables", "-t", "mangle", "-I", *RULE)

    yield start
    if started:
        on_node("iptables", "-t", "mangle", "-D", *RULE)
        started[0].kill()
        started[0].wait()
        subprocess.run(node.enter(["rm", "-r", ACCOUNT]), check=True)
        cluster.kubectl("delete", "clusterrole,clusterrolebinding", "enforcer")
        cluster.kubectl("-n", "kube-system", "delete", "serviceaccount", "enforcer")


SCRAPE: Final = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
print(urllib.request.urlopen(request, timeout=30).read().decode())
"""


def scraped(stack: Stack, url: str) -> str:
    """Return the metrics as an account reads them that is bound to the release's reader; in a stranger's pod."""
    where = f"--namespace={APART}"
    role = json.loads(stack.cluster.kubectl("get", "clusterroles", "-l", f"{INSTANCE},{METRICS}", "--output=json"))
    (reader,) = (
        each["metadata"]["name"]
        for each in role["items"]
        if each["metadata"]["name"].startswith(f"{NAMESPACE}-") and each["metadata"]["name"].endswith("-reader")
    )
    create = stack.cluster.kubectl
    create(where, "create", "serviceaccount", "scraper")
    create("create", "clusterrolebinding", "scraper", f"--clusterrole={reader}", f"--serviceaccount={APART}:scraper")
    token = create(where, "create", "token", "scraper").strip()
    try:
        return eventually(lambda: create(where, "exec", "stranger", "--", "python", "-c", SCRAPE, url, token))
    finally:
        create("delete", "clusterrolebinding", "scraper")


INSTANCE, METRICS = f"app.kubernetes.io/instance={RELEASE}", "app.kubernetes.io/component=metrics"


def stranger(stack: Stack, namespace: str, labels: dict[str, str]) -> Callable[[str, int], str]:
    """Run a pod, and return what tells whether it reaches a port."""
    pod = stack.get("pods", "-l", "app.kubernetes.io/component=toolbox")["items"][0]["spec"]
    (container,) = pod["containers"]
    kept = {key: container[key] for key in ("image", "imagePullPolicy", "securityContext")}
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger", "labels": labels},
        "spec": {
            "containers": [{"name": "stranger", "command": ["sleep", "infinity"], **kept}],
            "securityContext": pod["securityContext"],
            "terminationGracePeriodSeconds": 0,
        },
    }
    where = f"--namespace={namespace}"
    stack.cluster.kubectl(where, "apply", "-f", "-", stdin=json.dumps(document))
    stack.cluster.kubectl(where, "wait", "--for=condition=Ready", "pod/stranger", "--timeout=60s")

    def reach(host: str, port: int) -> str:
        return stack.cluster.kubectl(where, "exec", "stranger", "--", "python", "-c", CONNECT, host, str(port)).strip()

    return reach


def test_each_component_reaches_what_it_needs_and_a_strangers_pod_reaches_neither_database(
    stack: Stack, guarded: Stack, enforce: Callable[[], None]
) -> None:
    servers = [(f"{RELEASE}-{name}.{NAMESPACE}", port) for name, port in (("postgresql", 5432), ("redis", 6379))]
    exporter = (f"{RELEASE}-metrics.{NAMESPACE}", 9464)
    # Another chart's pod in the same release, and a pod of another namespace.
    beside = {"app.kubernetes.io/name": "other", "app.kubernetes.io/instance": RELEASE}
    strangers = [
        stranger(guarded, NAMESPACE, {**beside, "app.kubernetes.io/component": "migration"}),
        stranger(guarded, APART, {}),
    ]
    assert {reach(*server) for reach in strangers for server in servers} == {"reached"}
    enforce()
    eventually(lambda: {reach(*server) for reach in strangers for server in servers} == {"refused"})
    # Prometheus may be anywhere.
    assert {reach(*exporter) for reach in strangers} == {"reached"}

    assert "current" in guarded.catchup_jobs("db", "status")
    entry = {"id": USER, "name": USER, "timeZone": "Europe/Berlin"}
    guarded.catchup_jobs("user", "import", "-", stdin=json.dumps(entry))
    account = f"{USER}@example.com"
    guarded.google.add_user(account, "Europe/Berlin")
    token = json.dumps(guarded.google.grant(account, client_id="catchup-demo"))
    guarded.catchup_jobs("calendar", "connect", USER, "--token-file", "-", stdin=token)
    schedule(guarded, USER, timeZone="Europe/Berlin")  # the operator reaches the API server
    assert guarded.follow(USER, guarded.trigger(USER))["lastResult"] == "Succeeded"
    assert guarded.helm("test", RELEASE)
    # The exporter asks the API server who may read, and reads the database.
    assert 'catchup_service_up{service="database"} 1' in scraped(stack, f"http://{exporter[0]}:{exporter[1]}/metrics")
    values = guarded.write_values(json.loads(guarded.helm("get", "values", RELEASE, "--output=json")))
    again = "migration.backoffLimit=99"  # another Job, and pods anew
    guarded.helm("upgrade", RELEASE, str(CHART), f"--values={values}", f"--set={again}", "--timeout=4m")
    guarded.wait_for_operator()
    guarded.helm("uninstall", RELEASE, "--timeout=3m")  # by a hook that reaches the API server
