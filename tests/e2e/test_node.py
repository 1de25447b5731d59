"""The local cluster's node: real pods, several clusters side by side, and an end that leaves no trace."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from waiting import eventually

from catchup_dev import images
from catchup_dev.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

# The same two clusters for all of them.
pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.release]

RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
POD_SECURITY = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
# What a pod sees, told as its termination message.
LOOK_AROUND = """
import json, os, socket, ssl, urllib.request
seen = {"uid": os.getuid()}
try:
    open("/written", "w")
except OSError as error:
    seen["root"] = error.strerror
account = "/var/run/secrets/kubernetes.io/serviceaccount/"
trust = ssl.create_default_context(cafile=account + "ca.crt")
def get(url, **more):
    request = urllib.request.Request(url, **more)
    return urllib.request.urlopen(request, timeout=5, context=trust if "s:" in url else None)
by_address = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}/version"
token = {"Authorization": "Bearer " + open(account + "token").read()}
seen["api by address"] = json.load(get(by_address, headers=token))["major"]
seen["api by name"] = json.load(get("https://kubernetes.default.svc/version", headers=token))["major"]
seen["service by name"] = get("http://web.apart.svc.cluster.local:8080/etc/hostname").read().decode().strip()
seen["machine by name"] = get(f"http://host.catchup.internal:{os.environ['HOST_PORT']}/").read().decode()
seen["machine by address"] = get(f"http://{os.environ['HOST_ADDRESS']}:{os.environ['HOST_PORT']}/").read().decode()
try:
    socket.getaddrinfo("nowhere.invalid", 80)
except OSError as error:
    seen["outside"] = error.errno
open("/dev/termination-log", "w").write(json.dumps(seen))
print("looked around")
"""


class Answer(http.server.BaseHTTPRequestHandler):
    """A service double on this machine."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the machine")

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


def pod(image: str, *command: str, **more: Any) -> dict[str, Any]:
    """A pod's spec that Pod Security `restricted` lets in."""
    container = {
        "name": "main",
        "image": image,
        "command": list(command),
        "securityContext": RESTRICTED,
        "resources": {"limits": {"memory": "64Mi"}},
    }
    container |= more.pop("container", {})
    return {"securityContext": POD_SECURITY, "restartPolicy": "Never", "containers": [container]} | more


def manifest(kind: str, name: str, version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **more.pop("metadata", {})}, **more}


def shared_traces(root: Path) -> dict[str, set[str]]:
    """What a node could leave behind on the machine; `root` is below pytest's, where other tests mount things."""
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    places = ("/run/containerd", "/run/netns", "/var/lib/cni", "/var/lib/kubelet", "/opt/containerd", "/etc/cni")
    mounts = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    settings = ("net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
    return {
        "mounts": {place for place in mounts if str(root) in place or str(root.parents[2]) not in place},
        "rules": set(rules.splitlines()),
        "files": {place for place in places if Path(place).exists()},
        "settings": {f"{name}={(Path('/proc/sys') / name).read_text().strip()}" for name in settings},
    }


def own_traces(cluster: Cluster) -> dict[str, set[str]]:
    """What belongs to this cluster outside of its directory: seen while it runs, looked for when it is gone."""
    link = cluster.host_address.rsplit(".", 1)[0]
    init = (cluster.layout.run / "sandbox.pid").read_text().split(" ")[0]
    child = Path(f"/proc/{init}/task/{init}/children").read_text().split()[0]
    containers = (cluster.layout.containerd / "io.containerd.runtime.v2.task" / "k8s.io").iterdir()
    routes = subprocess.run(["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True)
    return {
        "routes": {line for line in routes.stdout.splitlines() if f"{link}." in line},
        "cgroups": {str(path) for entry in containers for path in Path("/sys/fs/cgroup").glob(f"**/{entry.name}")},
        "namespaces": {str(Path(f"/proc/{child}/ns/{kind}").readlink()) for kind in ("net", "mnt", "pid")},
    }


def all_namespaces() -> set[str]:
    shell = "readlink /proc/[0-9]*/ns/net /proc/[0-9]*/ns/mnt /proc/[0-9]*/ns/pid 2>/dev/null | sort -u"
    return set(subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False).stdout.split())


def processes_of(directory: Path) -> list[str]:
    done = subprocess.run(["pgrep", "-fa", str(directory)], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout that the clusters are of, with a path that is too long for a socket below it."""
    made = tmp_path_factory.mktemp("checkout") / ("deep" * 20)
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def before(root: Path) -> dict[str, set[str]]:
    return shared_traces(root)


@pytest.fixture(scope="module")
def image() -> images.Image:
    return images.base()


@pytest.fixture(scope="module")
def clusters(root: Path, image: images.Image, before: dict[str, set[str]]) -> Iterator[list[Cluster]]:
    made = [Cluster(name, root=root, node=True) for name in ("one", "two")]
    try:
        for cluster in made:
            cluster.up()
            images.import_image(cluster, image)
        yield made
    finally:
        for cluster in made:
            cluster.down()


@pytest.fixture(scope="module")
def one(clusters: list[Cluster], image: images.Image) -> Iterator[Cluster]:
    """The first cluster, with everything applied at once so that the pods' starts overlap."""
    cluster, reference = clusters[0], image.reference
    server = http.server.ThreadingHTTPServer((cluster.host_address, 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {"HOST_ADDRESS": cluster.host_address, "HOST_PORT": str(server.server_port)}
    look = {"env": [{"name": name, "value": value} for name, value in environment.items()]}
    spec = pod(reference, "python3", "-c", LOOK_AROUND, container=look)
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [65]}}]}
    failing = {
        "backoffLimit": 3,
        "podFailurePolicy": policy,
        "template": {"spec": pod(reference, "sh", "-c", "exit 65")},
    }
    hourly = {"schedule": "0 7 * * *", "timeZone": "Europe/Berlin", "suspend": True}
    web = pod(reference, "python3", "-m", "http.server", "8080", "--directory", "/", restartPolicy="Always")
    strict = {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    labels = {"labels": {"app": "web"}}
    items = [
        manifest("Namespace", "apart", metadata=strict),
        manifest("Pod", "web", spec=web, metadata={"namespace": "apart", **labels}),
        manifest(
            "Service",
            "web",
            metadata={"namespace": "apart"},
            spec={"selector": {"app": "web"}, "ports": [{"port": 8080}]},
        ),
        manifest(
            "CronJob",
            "look",
            "batch/v1",
            metadata={"namespace": "apart"},
            spec={**hourly, "jobTemplate": {"spec": {"backoffLimit": 3, "template": {"spec": spec}}}},
        ),
        manifest("Job", "failing", "batch/v1", metadata={"namespace": "apart"}, spec=failing),
    ]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest("List", "all", items=items)))
    cluster.kubectl("wait", "-n", "apart", "--for=condition=Ready", "pod/web", "--timeout=120s")
    cluster.kubectl("create", "job", "-n", "apart", "look", "--from=cronjob/look")
    yield cluster
    server.shutdown()
    server.server_close()


def test_two_clusters_are_ready_on_addresses_of_their_own(clusters: list[Cluster]) -> None:
    for cluster in clusters:
        assert [row for row in cluster.status() if not row.healthy] == []
    assert clusters[0].host_address != clusters[1].host_address


def test_a_restricted_pod_of_a_cronjob_reaches_what_it_needs(one: Cluster) -> None:
    one.kubectl("wait", "-n", "apart", "--for=condition=Complete", "job/look", "--timeout=120s")
    # The Job may have needed a second pod: a Service's name and its endpoints reach the node a moment after its pod.
    ended = ("-l", "job-name=look", "--field-selector=status.phase=Succeeded", "-o", "json")
    (found,) = json.loads(one.kubectl("get", "pods", "-n", "apart", *ended))["items"]
    seen = json.loads(found["status"]["containerStatuses"][0]["state"]["terminated"]["message"])
    assert seen == {
        "uid": 1000,
        "root": "Read-only file system",
        "api by address": "1",
        "api by name": "1",
        "service by name": "web",
        "machine by name": "the machine",
        "machine by address": "the machine",
        "outside": -2,  # no such name, at once, instead of waiting for servers that can't be reached
    }
    assert one.kubectl("logs", "-n", "apart", found["metadata"]["name"]) == "looked around\n"


def test_a_pod_failure_policy_ends_a_job_at_its_first_pod(one: Cluster) -> None:
    one.kubectl("wait", "-n", "apart", "--for=condition=Failed", "job/failing", "--timeout=120s")
    job = json.loads(one.kubectl("get", "job", "-n", "apart", "failing", "-o", "json"))
    conditions = {entry["type"]: entry.get("reason") for entry in job["status"]["conditions"]}
    assert conditions["Failed"] == "PodFailurePolicy"
    assert job["status"]["failed"] == 1


def test_a_command_runs_in_a_pod(one: Cluster) -> None:
    assert one.kubectl("exec", "-n", "apart", "web", "--", "cat", "/proc/1/comm") == "python3\n"


def test_redis_and_postgres_run_restricted(one: Cluster) -> None:
    references = {}
    for name in ("redis", "postgres"):
        built = images.known_image(name)
        images.import_image(one, built)
        references[name] = built.reference
    database = {"POSTGRES_USER": "catchup", "POSTGRES_PASSWORD": "it's", "POSTGRES_DB": "catch-up"}
    variables = {"env": [{"name": name, "value": value} for name, value in database.items()]}
    services = {"redis": {"args": ["--requirepass", "secret"]}, "postgres": variables}
    user = {**POD_SECURITY, "runAsUser": 999}
    specs = {name: pod(references[name], container=more, securityContext=user) for name, more in services.items()}
    for spec in specs.values():
        del spec["containers"][0]["command"]  # the image's own
        spec["containers"][0]["resources"]["limits"]["memory"] = "128Mi"
    items = [manifest("Pod", name, metadata={"namespace": "apart"}, spec=spec) for name, spec in specs.items()]
    one.kubectl("apply", "-f", "-", stdin=json.dumps(manifest("List", "all", items=items)))
    one.kubectl("wait", "-n", "apart", "--for=condition=Ready", "pod/redis", "pod/postgres", "--timeout=120s")
    ping = one.kubectl("exec", "-n", "apart", "redis", "--", "redis-cli", "-a", "secret", "--no-auth-warning", "ping")
    assert ping == "PONG\n"
    shell = (
        "until pg_isready -q -h 127.0.0.1; do sleep 0.1; done; "
        'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U catchup -d catch-up -Atc "select current_user"'
    )
    assert one.kubectl("exec", "-n", "apart", "postgres", "--", "sh", "-c", shell) == "catchup\n"


def test_up_after_the_node_was_killed_brings_its_pods_back(one: Cluster) -> None:
    holder = one.layout.daemon("sandbox").pid
    assert holder is not None
    os.kill(holder, signal.SIGKILL)
    deadline = time.monotonic() + 120
    while processes_of(one.layout.node) and time.monotonic() < deadline:
        time.sleep(0.05)
    address = one.host_address
    one.up()
    assert one.host_address == address
    # While the kubelet was away its heartbeats may have become too old.
    eventually(lambda: all(row.healthy for row in one.status()))
    restarted = "jsonpath={.status.containerStatuses[0].restartCount}=1"
    one.kubectl("wait", "-n", "apart", f"--for={restarted}", "pod/web", "--timeout=120s")
    one.kubectl("wait", "-n", "apart", "--for=condition=Ready", "pod/web", "--timeout=120s")


def test_down_leaves_nothing_and_the_other_cluster_alone(
    root: Path, one: Cluster, clusters: list[Cluster], before: dict[str, set[str]]
) -> None:
    two = clusters[1]
    own = own_traces(one)
    assert all(own.values()), "there must be something to look for"
    one.down()
    assert processes_of(one.layout.directory) == []
    assert not one.layout.directory.exists()
    routes = subprocess.run(["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True)
    assert own["routes"] & set(routes.stdout.splitlines()) == set()
    assert [path for path in own["cgroups"] if Path(path).exists()] == []
    # The kernel takes its time to bury the last process of a namespace.
    eventually(lambda: own["namespaces"].isdisjoint(all_namespaces()))
    assert [row for row in two.status() if not row.healthy] == []
    two.down()
    assert not two.layout.local.exists()
    assert shared_traces(root) == before
