"""The ConfigMaps with the list of UserSchedules, and the volume by which pods of pools read them.

Their number is fixed, so that the manifests of CronJobs do not depend on the number of users, the operator's Role names
each, and a pod makes the kubelet watch few. They have no owner: all pools of a namespace read the same ones.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from catchup_contract.schedule_list import INDEX_FILE, part_name
from catchup_operator.manifests.names import APP, FIELD_MANAGER

LIST_PARTS: Final = 4
"""The parts of the list of UserSchedules, a ConfigMap each: 45 bytes a UserSchedule, a mebibyte a ConfigMap."""
FOLDER: Final = "/etc/catchup/schedule-list"
VOLUME: Final = "catchup-schedule-list"
_PREFIX: Final = "catchup-schedule-list"

INDEX: Final = f"{_PREFIX}-index"
"""The ConfigMap of the index."""
# The index is written last: it names the parts.
CONFIGMAPS: Final[Mapping[str, str]] = {
    **{f"{_PREFIX}-{number}": part_name(number) for number in range(LIST_PARTS)},
    INDEX: INDEX_FILE,
}
"""The name of each ConfigMap, and the one file in it."""


def configmap(namespace: str, name: str, content: bytes) -> dict[str, Any]:
    """Return the manifest of one of `CONFIGMAPS` with the content of its file."""
    labels = {
        "app.kubernetes.io/name": APP,
        "app.kubernetes.io/component": "schedule-list",
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "binaryData": {CONFIGMAPS[name]: base64.b64encode(content).decode()},
    }


def list_volume() -> dict[str, Any]:
    """Return the volume. A pod starts without ConfigMaps, and says then that it does not know whom to serve."""
    sources = [{"configMap": {"name": name, "optional": True}} for name in CONFIGMAPS]
    return {"name": VOLUME, "projected": {"sources": sources}}
