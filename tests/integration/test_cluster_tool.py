"""The local cluster's control plane: start, repair, and an end that leaves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from catchup_dev.cluster import Cluster, Failure
from catchup_dev.cluster.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator

# One cluster for all of them.
pytestmark = [pytest.mark.xdist_group("cluster-tool"), pytest.mark.release]


def processes_of(directory: Path) -> list[str]:
    """Command lines that name the cluster's directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in command:
            found.append(command)
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster("tool", root=tmp_path_factory.mktemp("checkout"), node=False)
    try:
        made.up()
        yield made
    finally:
        made.down()


def test_objects_can_be_made_and_controllers_work_on_them(cluster: Cluster) -> None:
    cluster.kubectl("create", "job", "hello", "--image=none")
    deadline = time.monotonic() + 120
    while not (pods := json.loads(cluster.kubectl("get", "pods", "-o", "json"))["items"]):
        assert time.monotonic() < deadline, "the Job controller made no pod"
        time.sleep(0.05)
    assert pods[0]["metadata"]["ownerReferences"][0]["name"] == "hello"


def test_its_server_says_the_pinned_version(cluster: Cluster) -> None:
    pin = Path(__file__).parents[2] / "dev" / "cluster" / "kubernetes" / "go.mod"
    found = re.search(r"k8s\.io/kubernetes (v\S+)", pin.read_text())
    assert found is not None
    assert json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"] == found.group(1)


def test_status_shows_every_component(cluster: Cluster) -> None:
    rows = {row.name: row for row in cluster.status()}
    assert set(rows) == {"etcd", "kube-apiserver", "kube-controller-manager"}
    assert all(row.healthy and row.version and row.address.startswith("127.0.0.1:") for row in rows.values())


def test_only_its_owner_may_read_keys_and_tokens(cluster: Cluster) -> None:
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert cluster.layout.directory.stat().st_mode & 0o777 == 0o700


def test_up_on_a_healthy_cluster_restarts_nothing(cluster: Cluster) -> None:
    names = ("etcd", "kube-apiserver", "kube-controller-manager")
    before = [cluster.layout.daemon(name).identity() for name in names]
    Cluster("tool", root=cluster.layout.local.parent).up()
    assert [cluster.layout.daemon(name).identity() for name in names] == before


@pytest.mark.parametrize("name", ["kube-apiserver", "etcd", "kube-controller-manager"])
def test_up_heals_what_was_killed(cluster: Cluster, name: str) -> None:
    cluster.kubectl("create", "configmap", f"before-{name}")
    pid = cluster.layout.daemon(name).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while cluster.layout.daemon(name).alive():
        time.sleep(0.01)
    assert name in {row.name for row in cluster.status() if not row.healthy}
    cluster.up()
    assert all(row.healthy for row in cluster.status())
    assert "before" in cluster.kubectl("get", "configmap", f"before-{name}", "-o", "name")


def test_a_cluster_does_not_change_its_kind(cluster: Cluster) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can ask for a node")
    with pytest.raises(Failure, match="without a node"):
        Cluster("tool", root=cluster.layout.local.parent, node=True).up()


def test_a_record_of_another_process_is_never_signalled(tmp_path: Path) -> None:
    cluster = Cluster("stale", root=tmp_path, node=False)
    cluster.layout.make()
    ours = Path("/proc/self/stat").read_text().strip()
    fields = ours.split(" ")
    fields[21] = str(int(fields[21]) - 1)  # this pid, but an earlier start: a pid that was used again
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    (cluster.layout.run / "etcd.pid").write_text(" ".join(fields) + "\n" + boot)
    cluster.down()  # would end this test
    assert not cluster.layout.directory.exists()


def test_down_leaves_nothing(tmp_path: Path) -> None:
    cluster = Cluster("gone", root=tmp_path, node=False)
    cluster.up()
    assert processes_of(cluster.layout.directory)
    cluster.down()
    assert not processes_of(cluster.layout.directory)
    assert list(tmp_path.iterdir()) == []
    cluster.down()  # and again, with nothing there


def test_status_of_no_cluster_has_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--name", "never-started"]) == 3
    assert "not running" in capsys.readouterr().err


def test_a_name_that_can_not_be_one_is_refused_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--name", "../x"]) == 1
    assert "can't name a cluster" in capsys.readouterr().err
