"""What a cluster has from the start: rights for its DNS, and volumes to claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catchup_dev.cluster.pki import NODE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catchup_dev.cluster.api import Api
    from catchup_dev.cluster.layout import Layout

VOLUMES = 8
_VOLUME_SIZE = "2Gi"  # what it is listed with; nothing limits it
_CLASS = "local"
_ANYBODY = 0o777  # pods run as any user; the directory above lets nobody else in


def apply(layout: Layout, api: Api) -> None:
    """Apply all; doing it again changes nothing."""
    for number in range(1, VOLUMES + 1):
        directory = layout.volumes / f"volume-{number}"
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(_ANYBODY)
    for path, manifest in _manifests(layout):
        api.apply(path, manifest)


def _manifests(layout: Layout) -> Iterator[tuple[str, dict[str, Any]]]:
    rbac, rbac_path = "rbac.authorization.k8s.io/v1", "/apis/rbac.authorization.k8s.io/v1"
    reads = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    name = "catchup:coredns"
    yield (
        f"{rbac_path}/clusterroles",
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": name}, "rules": reads},
    )
    yield (
        f"{rbac_path}/clusterrolebindings",
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}],
        },
    )
    yield (
        "/apis/storage.k8s.io/v1/storageclasses",
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": _CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Retain",
        },
    )
    on_this_node = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}]}
    for number in range(1, VOLUMES + 1):
        yield (
            "/api/v1/persistentvolumes",
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"volume-{number}"},
                "spec": {
                    "capacity": {"storage": _VOLUME_SIZE},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": _CLASS,
                    "persistentVolumeReclaimPolicy": "Retain",
                    "local": {"path": str(layout.volumes / f"volume-{number}")},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [on_this_node]}},
                },
            },
        )
