"""The Events of a status patch: one for each condition that became False, has another reason, or became True again.

The status is the only memory: what it says already is not posted again, not even after a restart of the operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from catchup_contract.api import API_GROUP, API_VERSION
from catchup_contract.timestamps import format_utc
from catchup_operator.manifests.names import FIELD_MANAGER, Owner
from catchup_operator.status.conditions import find_condition

_MESSAGE_MAX: Final = 1024
"""Characters of an Event's message."""


def events(owner: Owner, body: Mapping[str, Any], patch: Mapping[str, Any], now: datetime) -> Iterator[dict[str, Any]]:
    """Yield the Events (v1) that announce a status patch of a resource of the kind `owner`."""
    for condition in patch.get("conditions") or ():
        before = find_condition(body.get("status") or {}, condition["type"])
        is_false, was_false = condition["status"] == "False", before.get("status") == "False"
        if is_false and (not was_false or before.get("reason") != condition["reason"]):
            yield _of_condition(owner, body, "Warning", condition, now)
        elif was_false and condition["status"] == "True":
            yield _of_condition(owner, body, "Normal", condition, now)


def cronjob_event(metadata: Mapping[str, Any], reason: str, message: str, now: datetime) -> dict[str, Any]:
    """Return the Event (v1) of a CronJob of which no resource's status can tell any more."""
    return _event("batch/v1", "CronJob", metadata, ("Warning", reason, message), now)


def _of_condition(
    owner: Owner, body: Mapping[str, Any], event_type: str, condition: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    told = event_type, condition["reason"], f"{condition['type']}: {condition['message']}"
    return _event(f"{API_GROUP}/{API_VERSION}", owner.kind, body["metadata"], told, now)


def _event(
    api_version: str, kind: str, metadata: Mapping[str, Any], told: tuple[str, str, str], now: datetime
) -> dict[str, Any]:
    event_type, reason, message = told
    time = format_utc(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}-", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": api_version,
            "kind": kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": event_type,
        "reason": reason,
        "message": message[:_MESSAGE_MAX],
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
