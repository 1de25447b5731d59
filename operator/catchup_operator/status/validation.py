"""Checks the form of a stored status. One that this operator cannot have written is treated as absent and replaced.

The schema rejects such a status. But an object may be older than a rule of the schema, and the API server does not
validate what it has stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from catchup_contract.kinds import user_kinds
from catchup_contract.timestamps import parse_utc

_CONDITION: Final = dict.fromkeys(("type", "status", "reason", "message", "lastTransitionTime"), str)
_TIMES: Final = ("activeSince", "requestedAt", "lastRunTime", "lastSuccessTime")
_SECTION: Final = {
    **dict.fromkeys(("display", "cronJobName", "cronJobUID", "schedule", "timeZone", "fingerprint", *_TIMES), str),
    **dict.fromkeys(("lastResult", "lastReason", "lastJobName", "lastIdleJobName"), str),
    **dict.fromkeys(("cronJobGeneration", "consecutiveFailures"), int),
    **dict.fromkeys(("nextRuns", "nextRunTimes"), list),
    "lastError": Mapping,
    "counts": Mapping,
}
_STATUS: Final = {
    "observedGeneration": int,
    "templateHash": str,
    "conflictsWith": str,
    "servedBy": str,
    "suspendedUntil": str,
    "pool": str,
    "conditions": list,
    # Of pools.
    **dict.fromkeys(("members", "synced", "failing", "late"), int),
    "oldestSync": str,
}


def with_valid_status(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the resource itself, or a copy with an empty status where the status has not the schema's form."""
    status = body.get("status")
    return body if status is None or _is_valid(status) else {**body, "status": {}}


def replacement_patch(stored: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) that turns what is stored into exactly what is wanted."""
    patch = dict(wanted)
    if isinstance(stored, Mapping):
        for name, value in stored.items():
            if wanted.get(name) is None:
                patch[name] = None
            elif isinstance(wanted[name], Mapping):
                patch[name] = replacement_patch(value, wanted[name])
    return patch


def _is_valid(status: Any) -> bool:
    names = [work.status_section for work in user_kinds().values()]
    if not _has_types(status, {**_STATUS, **dict.fromkeys(names, Mapping)}):
        return False
    try:
        if "suspendedUntil" in status:
            parse_utc(status["suspendedUntil"])
        if not all(_is_valid_section(status.get(name) or {}) for name in names):
            return False
    except (ValueError, TypeError, AttributeError):
        return False
    return status.get("conflictsWith", "/").count("/") == 1 and all(
        _has_types(condition, _CONDITION) and condition.keys() >= _CONDITION.keys()
        for condition in status.get("conditions") or ()
    )


def _is_valid_section(section: Mapping[str, Any]) -> bool:
    """Whether a section is valid. Raises ValueError, TypeError or AttributeError for some that are not."""
    for time in section.get("nextRunTimes") or ():
        parse_utc(time)
    for name in _TIMES:
        if name in section:
            parse_utc(section[name])
    return (
        _has_types(section, _SECTION)
        and all(isinstance(text, str) for text in section.get("nextRuns") or ())
        and _has_types(section.get("lastError") or {}, {"message": str})
        and all(isinstance(count, int) for count in (section.get("counts") or {}).values())
    )


def _has_types(value: Any, types: Mapping[str, Any]) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(value[name], expected) for name, expected in types.items() if name in value
    )
