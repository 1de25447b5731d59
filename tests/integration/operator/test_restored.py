"""Resources that come back from a backup have new uids; what a backup of the namespace had of CronJobs comes too."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from integration.operator.conftest import Namespace
from kopf.testing import KopfRunner
from waiting import eventually

# The tests without faults share one API server, those with faults another.
pytestmark = pytest.mark.xdist_group("operator")

_KEPT = ("name", "namespace", "labels", "annotations", "ownerReferences")


def as_restored(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object as tools for backups make it: without status, and without what the API server gave it."""
    metadata = {name: value for name, value in item["metadata"].items() if name in _KEPT}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


@pytest.mark.parametrize("order", ["cronjobs first", "userschedules first"])
def test_restored_resources_have_their_cronjobs_once(operator: KopfRunner, namespace: Namespace, order: str) -> None:
    namespace.apply("ada", timeZone="Asia/Tokyo", digest={"day": "Daily", "time": "07:30"})
    before = namespace.ready()
    listed = json.loads(namespace.kubectl("get", "userschedules,cronjobs", "--output=json"))["items"]
    backup = sorted(map(as_restored, listed), key=lambda item: item["kind"], reverse=order != "cronjobs first")
    assert [item["kind"] for item in backup].count("CronJob") == 2
    namespace.kubectl("delete", "userschedule", "ada")
    eventually(lambda: namespace.items("cronjobs") == [])

    for item in backup:
        namespace.kubectl("create", "-f", "-", stdin=json.dumps(item))
    after = namespace.ready()
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"] == before["spec"]

    def owners() -> set[str]:
        return {item["metadata"]["ownerReferences"][0]["uid"] for item in namespace.items("cronjobs")}

    def settled() -> bool:
        return len(namespace.items("cronjobs")) == 2 and owners() == {after["metadata"]["uid"]}

    eventually(settled, seconds=90)
    names = {item["metadata"]["name"] for item in namespace.items("cronjobs")}
    time.sleep(3)  # the garbage collector has seen the owner that is gone
    assert settled()
    assert names == {after["status"][kind]["cronJobName"] for kind in ("sync", "digest")}
