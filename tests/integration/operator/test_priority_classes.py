"""PriorityClasses at upgrades by Helm: a Job whose class is gone gets no pod, and CronJobs roll after the upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from integration.operator.chart_rendering import cluster_name
from integration.operator.conftest import CHART, Namespace
from integration.operator.test_left_namespaces import Installed

from catchup_dev.console import Failure

# The tests of the chart share one API server, those of the operator two others.
pytestmark = [pytest.mark.xdist_group("chart"), pytest.mark.release]

OTHERS = "low=system-node-critical,normal=system-node-critical,high=system-node-critical"


@pytest.fixture
def release(helm: Path, namespace: Namespace) -> Iterator[Installed]:
    found = Installed(helm, namespace)
    yield found
    found.start("uninstall", found.name, "--no-hooks", "--ignore-not-found").communicate(timeout=90)


def test_no_upgrade_deletes_a_class_that_cronjobs_may_still_name(release: Installed, namespace: Namespace) -> None:
    def helm(verb: str, classes: str) -> None:
        values = [
            "crds.enabled=false,generateSecrets=true",
            *(f"jobs.priorityClasses.{each}" for each in classes.split(",")),
        ]
        release.run(verb, release.name, str(CHART), "--no-hooks", *(f"--set={value}" for value in values))

    def made() -> dict[str, str]:
        selector = f"app.kubernetes.io/instance={release.name}"
        columns = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.annotations}{'\\n'}{end}"
        lines = namespace.kubectl("get", "priorityclasses", "-l", selector, "-o", columns).splitlines()
        # Other tests have releases of that name in other namespaces.
        mine = (line.split(" ")[:2] for line in lines if f'"{namespace.name}"' in line)
        return dict(mine)

    def admits(name: str) -> bool:
        spec = {"priorityClassName": name, "containers": [{"name": "job", "image": "none"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "of-a-job"}, "spec": spec}
        try:
            namespace.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
        except Failure as failure:
            if f"no PriorityClass with name {name} was found" in str(failure):
                return False
            raise
        return True

    def named() -> str:
        return namespace.kubectl(
            "get", "configmap", "catchup-jobs-operator", "-o", r"jsonpath={.data.job-template\.yaml}"
        )

    helm("install", "create=true")
    first = made()
    prefix = cluster_name(namespace.name)
    assert first.keys() == {f"{prefix}-{suffix}" for suffix in ("deferred", "normal", "high")}
    for classes in (OTHERS, "create=false", f"create=false,{OTHERS}", "create=false"):
        helm("upgrade", classes)
        assert made() == first, classes
        assert all(map(admits, first)), classes
        assert prefix not in named(), classes
    release.run("rollback", release.name, "1", "--no-hooks")
    assert made() == first
    assert prefix in named()
    # Deleted by hand, a class stays away while the values do not ask for it.
    helm("upgrade", "create=false")
    gone = f"{prefix}-high"
    namespace.kubectl("delete", "priorityclass", gone)
    helm("upgrade", "create=false")
    assert made().keys() == first.keys() - {gone}
    assert not admits(gone)
    helm("upgrade", "create=true")
    assert made().keys() == first.keys()
    release.run("uninstall", release.name, "--no-hooks")
    assert made() == {}


def test_who_has_rights_in_one_namespace_only_upgrades_a_release_without_classes(
    release: Installed, namespace: Namespace
) -> None:
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    metadata = {"name": "installer"}
    api = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": api, "kind": "Role", "name": "installer"},
        "subjects": [{"apiGroup": api, "kind": "User", "name": "installer"}],
    }
    namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([role, binding]))
    values = ["crds.enabled=false,generateSecrets=true,jobs.priorityClasses.create=false,rbac.aggregate=false"]
    options = ["--no-hooks", "--kube-as-user=installer", *(f"--set={value}" for value in values)]

    def upgrade() -> tuple[int, str]:
        process = release.start("upgrade", release.name, str(CHART), *options)
        _, errors = process.communicate(timeout=90)
        return process.returncode, errors

    release.run("install", release.name, str(CHART), *options)
    assert upgrade() == (0, "")
    # An older chart does not say which it has.
    patch = '[{"op": "remove", "path": "/data/priorityClasses"}]'
    namespace.kubectl("patch", "configmap", "catchup-jobs-operator", "--type=json", "-p", patch)
    code, errors = upgrade()
    assert code != 0
    assert 'cannot list resource "priorityclasses"' in errors
