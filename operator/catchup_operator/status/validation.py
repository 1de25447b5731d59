"""A status that this operator cannot have written like this is taken for none, and replaced as a whole; pure.

The schema keeps such a status out. But an object may have been written before the schema had the rule, or while the
definition was another one, and the API server does not look at what it has stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from catchup_contract.kinds import Job
from catchup_contract.timestamps import parse_utc
from catchup_operator.schedule.cadence import instant_of

_CONDITION: Final = dict.fromkeys(("type", "status", "reason", "message", "lastTransitionTime"), str)
_TIMES: Final = ("activeSince", "lastRunTime", "lastSuccessTime")
_JOB: Final = {
    **dict.fromkeys(("display", "cronJobName", "cronJobUID", "schedule", "timeZone", "fingerprint", *_TIMES), str),
    **dict.fromkeys(("lastResult", "lastReason", "lastJobName"), str),
    **dict.fromkeys(("cronJobGeneration", "consecutiveFailures"), int),
    "lastError": Mapping,
    "counts": Mapping,
}
_STATUS: Final = {
    "observedGeneration": int,
    "templateHash": str,
    "conflictsWith": str,
    "conditions": list,
    Job.SYNC.value: Mapping,
    Job.DIGEST.value: Mapping,
}


def readable(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the UserSchedule itself, or one without status where that has not the form that the schema gives it."""
    status = body.get("status")
    return body if status is None or _is_sound(status) else {**body, "status": {}}


def replacing(stored: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) that makes of what is stored exactly what is wanted."""
    patch = dict(wanted)
    if isinstance(stored, Mapping):
        for name, value in stored.items():
            if wanted.get(name) is None:
                patch[name] = None
            elif isinstance(wanted[name], Mapping):
                patch[name] = replacing(value, wanted[name])
    return patch


def _is_sound(status: Any) -> bool:
    if not _fits(status, _STATUS):
        return False
    jobs = [status.get(job.value) or {} for job in (Job.SYNC, Job.DIGEST)]
    try:
        for job in jobs:
            if not _fits(job, _JOB) or not _fits(job.get("lastError") or {}, {"message": str}):
                return False
            if not all(isinstance(count, int) for count in (job.get("counts") or {}).values()):
                return False
            for run in job.get("nextRuns") or ():
                instant_of(run)
            for name in _TIMES:
                if name in job:
                    parse_utc(job[name])
    except (ValueError, TypeError, AttributeError):
        return False
    return status.get("conflictsWith", "/").count("/") == 1 and all(
        _fits(condition, _CONDITION) and len(_CONDITION.keys() & condition.keys()) == len(_CONDITION)
        for condition in status.get("conditions") or ()
    )


def _fits(value: Any, shape: Mapping[str, Any]) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(value[name], kind) for name, kind in shape.items() if name in value
    )
