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
            yield _event(owner, body, "Warning", condition, now)
        elif was_false and condition["status"] == "True":
            yield _event(owner, body, "Normal", condition, now)


def _event(
    owner: Owner, body: Mapping[str, Any], event_type: str, condition: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    metadata = body["metadata"]
    time = format_utc(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}-", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": f"{API_GROUP}/{API_VERSION}",
            "kind": owner.kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": event_type,
        "reason": condition["reason"],
        "message": f"{condition['type']}: {condition['message']}"[:_MESSAGE_MAX],
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
