"""Which changes of a status are worth an Event: a condition that became false or has another reason, one that mended.

The status itself is the memory: what it says already is not announced again, not even by a new start of the operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from catchup_contract.api import API_GROUP, API_VERSION, KIND
from catchup_contract.timestamps import format_utc
from catchup_operator.manifests.names import FIELD_MANAGER
from catchup_operator.status.conditions import find

_MESSAGE_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class Announcement:
    """An Event of a UserSchedule; `type` is Normal or Warning."""

    type: str
    reason: str
    message: str


def announcements(body: Mapping[str, Any], patch: Mapping[str, Any]) -> Iterator[Announcement]:
    """Yield the Events for a status patch."""
    before = body.get("status") or {}
    for condition in patch.get("conditions") or ():
        known = find(before, condition["type"])
        ill, was_ill = condition["status"] == "False", known.get("status") == "False"
        text = f"{condition['type']}: {condition['message']}"[:_MESSAGE_MAX]
        if ill and (not was_ill or known.get("reason") != condition["reason"]):
            yield Announcement("Warning", condition["reason"], text)
        elif was_ill and condition["status"] == "True":
            yield Announcement("Normal", condition["reason"], text)


def event(body: Mapping[str, Any], announcement: Announcement, now: datetime) -> dict[str, Any]:
    """Return the Event object."""
    metadata = body["metadata"]
    at = format_utc(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}-", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": f"{API_GROUP}/{API_VERSION}",
            "kind": KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": announcement.type,
        "reason": announcement.reason,
        "message": announcement.message,
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
