"""What the start refuses of the keys of a pod's lists, no API server takes; and what it takes, a server takes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from integration.operator.conftest import Namespace
from unit.operator.test_template_file import KEYED

from catchup_dev.cluster import Failure

pytestmark = pytest.mark.xdist_group("operator")

TAKEN = [
    "tolerations: [{key: a, operator: Exists}, {key: a, operator: Exists}]",
    "hostAliases: [{ip: 1.2.3.4, hostnames: [a]}, {ip: 1.2.3.5, hostnames: [a]}]",
    "initContainers: [{name: a, image: x, env: [{name: A, value: b}, {name: B, value: b}]}, {name: b, image: x}]",
]


def applied(namespace: Namespace, fields: str) -> None:
    """Apply a CronJob whose pod has these fields. Raises Failure where the server refuses it."""
    pod: dict[str, Any] = yaml.safe_load(f"{{{fields}}}")
    pod |= {"restartPolicy": "Never", "containers": [{"name": "job", "image": "x"}]}
    job = {"spec": {"template": {"spec": pod}}}
    document = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "keys"},
        "spec": {"schedule": "1 1 1 1 *", "jobTemplate": job},
    }
    arguments = ("--server-side", "--validate=ignore", "--dry-run=server", "-f", "-")
    namespace.kubectl("apply", *arguments, stdin=yaml.safe_dump(document))


@pytest.mark.parametrize(("message", "fields"), KEYED, ids=[text for _, text in KEYED])
def test_a_list_that_the_start_refuses_is_refused_by_the_server(
    namespace: Namespace, message: str, fields: str
) -> None:
    with pytest.raises(Failure) as refused:
        applied(namespace, fields)
    is_missing = "must have" in message
    assert ("is invalid" if is_missing else "failed to create typed patch object") in str(refused.value)


@pytest.mark.parametrize("fields", TAKEN)
def test_a_list_that_the_start_takes_is_taken_by_the_server(namespace: Namespace, fields: str) -> None:
    applied(namespace, fields)
