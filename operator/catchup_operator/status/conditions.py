"""The list of conditions in a status (Kubernetes API conventions): finding one, and merging changed ones into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from catchup_contract.kinds import user_kinds
from catchup_contract.timestamps import format_utc

READY: Final = "Ready"
STALLED: Final = "Stalled"
RECONCILING: Final = "Reconciling"

_MESSAGE_MAX: Final = 2000
"""The longest message of a condition (characters)."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition without its times; `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str


def find_condition(status: Mapping[str, Any], condition_type: str) -> Mapping[str, Any]:
    """Return a condition of a status by its type, or an empty mapping."""
    conditions = status.get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == condition_type), {})


def merge_conditions(body: Mapping[str, Any], changed: Sequence[Condition], now: datetime) -> list[dict[str, Any]]:
    """Return the whole list with the changed conditions in it: a merge patch replaces a list as a whole.

    `Ready` comes first, then `Stalled` or `Reconciling`, which go with it, then one condition for each kind of job,
    then those of other controllers.
    """
    status = body.get("status") or {}
    order = [READY, STALLED, RECONCILING, *(work.condition for work in user_kinds().values())]
    new = {
        condition.type: {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message[:_MESSAGE_MAX],
            "observedGeneration": body["metadata"]["generation"],
            "lastTransitionTime": _last_transition(find_condition(status, condition.type), condition, now),
        }
        for condition in changed
    }
    old = {condition["type"]: dict(condition) for condition in status.get("conditions") or ()}
    if READY in new:
        old = {name: condition for name, condition in old.items() if name not in {STALLED, RECONCILING}}
    merged = old | new
    return sorted(merged.values(), key=lambda item: order.index(item["type"]) if item["type"] in order else len(order))


def _last_transition(before: Mapping[str, Any], condition: Condition, now: datetime) -> str:
    if before.get("status") == condition.status:
        return str(before["lastTransitionTime"])
    return format_utc(now)
