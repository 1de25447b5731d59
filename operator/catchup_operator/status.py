"""The next status of a UserSchedule, or nothing where it is already so; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_jobs.contract import Job, format_utc, parse_utc
from catchup_operator.cadence import in_zone
from catchup_operator.desired import digest_times, sync_cadence
from catchup_operator.resource import UserSchedule
from catchup_operator.runs import Run

READY: Final = "Ready"
RECONCILED: Final = "Reconciled"
SUSPENDED: Final = "Suspended"
INVALID_SPEC: Final = "InvalidSpec"
REFUSED: Final = "CronJobRefused"
NOT_OURS: Final = "CronJobNotOurs"

_NOT_DUE: Final = "NotDue"
_ALREADY_DONE: Final = "AlreadyDone"
_MESSAGE_MAX: Final = 2000
# The firings of one due date end within this time; what is earlier is of another date.
_ONE_DIGEST: Final = timedelta(hours=6)


def is_current(body: Mapping[str, Any], template_hash: str) -> bool:
    """Whether this generation was reconciled with this template, so that nothing need be written."""
    status = body.get("status") or {}
    return (
        status.get("observedGeneration") == body["metadata"]["generation"]
        and status.get("templateHash") == template_hash
        and _condition(status).get("status") == "True"
    )


def reconciled(
    body: Mapping[str, Any],
    schedule: UserSchedule,
    cronjobs: Mapping[Job, Mapping[str, Any]],
    *,
    template_hash: str,
    now: datetime,
) -> dict[str, Any] | None:
    """Return the status patch after the CronJobs (as the API server returned them) were applied."""
    reason, message = RECONCILED, "the CronJobs are as specified"
    if schedule.suspend:
        reason, message = SUSPENDED, "the jobs are suspended; set spec.suspend to false to go on"
    patch: dict[str, Any] = {
        "observedGeneration": schedule.generation,
        "templateHash": template_hash,
        "conditions": _conditions(body, "True", reason, message, now),
    }
    for job, cronjob in cronjobs.items():
        patch[job.value] = {
            "display": _display(schedule, job),
            "cronJobName": cronjob["metadata"]["name"],
            "cronJobUID": cronjob["metadata"]["uid"],
            "cronJobGeneration": cronjob["metadata"]["generation"],
            "schedule": cronjob["spec"]["schedule"],
            "timeZone": cronjob["spec"]["timeZone"],
            "nextRun": next_run(schedule, job, now),
        }
    return _changed(body.get("status") or {}, patch)


def not_ready(body: Mapping[str, Any], reason: str, message: str, *, now: datetime) -> dict[str, Any] | None:
    """Return the status patch that says why the CronJobs are not as the spec wants them."""
    patch = {
        "observedGeneration": body["metadata"]["generation"],
        "conditions": _conditions(body, "False", reason, message[:_MESSAGE_MAX], now),
    }
    return _changed(body.get("status") or {}, patch)


def recorded(
    body: Mapping[str, Any], schedule: UserSchedule | None, run: Run, *, now: datetime
) -> dict[str, Any] | None:
    """Return the status patch for a finished run, or None if it (or a later one) is already told."""
    before = (body.get("status") or {}).get(run.job.value) or {}
    if is_recorded(before, run.finished_at, run.job_name):
        return None
    following = {} if schedule is None else {"nextRun": next_run(schedule, run.job, now)}
    if not _is_news(before, run):
        return _changed(body.get("status") or {}, {run.job.value: following})
    ended = format_utc(run.finished_at)
    entry: dict[str, Any] = {
        **following,
        "lastRunTime": ended,
        "lastResult": run.result,
        "lastReason": run.reason,
        "lastJobName": run.job_name,
        # A merge patch keeps what it does not name: counts of an earlier run must not stay.
        "counts": {**dict.fromkeys(before.get("counts") or {}), **run.counts},
        "consecutiveFailures": before.get("consecutiveFailures", 0) + 1 if run.result == "Failed" else 0,
    }
    if run.result == "Succeeded":
        entry["lastSuccessTime"] = ended
    if run.result == "Failed":
        entry["lastError"] = {"reason": run.reason, "message": run.message, "time": ended}
    return _changed(body.get("status") or {}, {run.job.value: entry})


def _is_news(before: Mapping[str, Any], run: Run) -> bool:
    """Whether a run says more than what is told already.

    A digest fires several times for each due date: perhaps too early in UTC, and again after it was settled. Such a
    firing must not replace what became of the digest, nor cost a write.
    """
    if run.job is not Job.DIGEST or run.slot is None or run.result != "Skipped":
        return True
    if run.reason == _NOT_DUE:
        return False
    last = before.get("lastRunTime")
    told = last is not None and run.finished_at - parse_utc(last) < _ONE_DIGEST
    return not told or run.reason not in {_ALREADY_DONE, before.get("lastReason")}


def is_recorded(job_status: Mapping[str, Any], finished_at: datetime, job_name: str) -> bool:
    """Whether a run that ended then is told by the status already, itself or by a later one."""
    last = job_status.get("lastRunTime") or ""
    ended = format_utc(finished_at)
    return bool(ended < last or (ended == last and job_name == job_status.get("lastJobName")))


def next_run(schedule: UserSchedule, job: Job, now: datetime) -> str | None:
    """Return the next run in the user's zone, or None where nothing will run."""
    if schedule.suspend or not _enabled(schedule, job):
        return None
    if job is Job.SYNC:
        return in_zone(sync_cadence(schedule).next_after(now), schedule.time_zone)
    return in_zone(next(digest_times(schedule).due_after(now)), schedule.time_zone)


def _display(schedule: UserSchedule, job: Job) -> str:
    if schedule.suspend:
        return "Suspended"
    if not _enabled(schedule, job):
        return "Disabled"
    return f"every {schedule.sync_every}" if job is Job.SYNC else f"{schedule.digest_day} {schedule.digest_time}"


def _enabled(schedule: UserSchedule, job: Job) -> bool:
    return schedule.sync_enabled if job is Job.SYNC else schedule.digest_enabled


def _condition(status: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == READY), {})


def _conditions(body: Mapping[str, Any], status: str, reason: str, message: str, now: datetime) -> list[dict[str, Any]]:
    before = _condition(body.get("status") or {})
    since = before["lastTransitionTime"] if before.get("status") == status else format_utc(now)
    return [
        {
            "type": READY,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": body["metadata"]["generation"],
            "lastTransitionTime": since,
        }
    ]


def _changed(status: Mapping[str, Any], patch: dict[str, Any]) -> dict[str, Any] | None:
    """Return the patch if merging it (RFC 7396) would change the status."""
    return patch if _differs(status, patch) else None


def _differs(current: Any, patch: Any) -> bool:
    if not isinstance(patch, Mapping):
        return bool(current != patch)
    if not isinstance(current, Mapping):
        return True  # merging makes it an object, if only an empty one
    return any(
        (name in current) if value is None else _differs(current.get(name), value) for name, value in patch.items()
    )
