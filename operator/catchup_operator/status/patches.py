"""The next status of a UserSchedule, or nothing where it is already so; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from catchup_contract.kinds import Job
from catchup_contract.timestamps import format_utc, parse_utc
from catchup_operator.manifests.cronjob import digest_times, sync_cadence
from catchup_operator.schedule.cadence import in_zone
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status.conditions import READY, Condition, find, health, updated
from catchup_operator.status.results import Run

RECONCILED: Final = "Reconciled"
SUSPENDED: Final = "Suspended"
CONFLICT: Final = "Conflict"
INVALID_SPEC: Final = "InvalidSpec"
REFUSED: Final = "CronJobRefused"
PERMISSION: Final = "PermissionMissing"

# What a job's part of the status says of its CronJob.
LEFT: Final = ("cronJobName", "cronJobUID", "cronJobGeneration", "schedule", "timeZone", "fingerprint")

_NOT_DUE: Final = "NotDue"
_ALREADY_DONE: Final = "AlreadyDone"
_NEXT_RUNS: Final = 3
# The firings of one due date end within this time; what is earlier is of another date.
_ONE_DIGEST: Final = timedelta(hours=6)


def is_current(body: Mapping[str, Any], template_hash: str) -> bool:
    """Whether this generation was reconciled with this template, so that nothing need be written."""
    return _observed(body, template_hash) and find(body["status"], READY).get("status") == "True"


def is_known_conflict(body: Mapping[str, Any], template_hash: str, rival: object) -> bool:
    """Whether the status of this generation and template says already that this other one serves the user."""
    return (
        _observed(body, template_hash)
        and find(body["status"], READY).get("reason") == CONFLICT
        and body["status"].get("conflictsWith") == str(rival)
    )


def _observed(body: Mapping[str, Any], template_hash: str) -> bool:
    status = body.get("status") or {}
    return (
        status.get("observedGeneration") == body["metadata"]["generation"]
        and status.get("templateHash") == template_hash
    )


def left(manifest: Mapping[str, Any], fingerprint: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a job's part of the status says of its CronJob: its manifest, and the metadata after the apply."""
    spec = manifest["spec"]
    told = (metadata["name"], metadata["uid"], metadata["generation"], spec["schedule"], spec["timeZone"], fingerprint)
    return dict(zip(LEFT, told, strict=True))


def reconciled(
    body: Mapping[str, Any],
    schedule: UserSchedule,
    cronjobs: Mapping[Job, Mapping[str, Any]],
    *,
    template_hash: str,
    digest_since: str | None,
    digest_spread: int,
    now: datetime,
    rival: object = None,
) -> dict[str, Any] | None:
    """Return the status patch after the CronJobs were left like this (see `left`).

    With a `rival`, an older UserSchedule of the same user, the schedule given is the suspended one that was applied.
    """
    ready = Condition(READY, "True", RECONCILED, "the CronJobs are as specified")
    if rival is not None:
        message = f"the user is served by the older UserSchedule {rival}; delete that one or this one"
        ready = Condition(READY, "False", CONFLICT, message)
    elif schedule.suspend:
        ready = Condition(READY, "True", SUSPENDED, "the jobs are suspended; set spec.suspend to false to go on")
    status = body.get("status") or {}
    healths = [health(job, status.get(job.value) or {}, switched_off=_switched_off(schedule, job)) for job in cronjobs]
    patch: dict[str, Any] = {
        "observedGeneration": schedule.generation,
        "templateHash": template_hash,
        "conflictsWith": None if rival is None else str(rival),
        "conditions": updated(body, [ready, *healths], now),
    }
    for job, cronjob in cronjobs.items():
        patch[job.value] = {
            **cronjob,
            "display": _display(schedule, job),
            "nextRuns": next_runs(schedule, job, now, digest_spread=digest_spread),
        }
    patch.setdefault(Job.DIGEST.value, {})["activeSince"] = digest_since
    return _changed(body.get("status") or {}, patch)


def digest_since(body: Mapping[str, Any], schedule: UserSchedule, *, now: datetime) -> str | None:
    """Return since when (UTC) the digest runs without a pause: as the status says, or from now on; None while it does
    not run."""
    if _switched_off(schedule, Job.DIGEST):
        return None
    known = (body.get("status") or {}).get(Job.DIGEST.value)
    if not known:
        return str(body["metadata"].get("creationTimestamp") or format_utc(now))
    return str(known.get("activeSince") or format_utc(now))


def refreshed(
    body: Mapping[str, Any], schedule: UserSchedule, *, digest_spread: int, now: datetime
) -> dict[str, Any] | None:
    """Return the status patch that brings the next runs up to date where those that it names are over."""
    status = body.get("status") or {}
    if find(status, READY).get("status") != "True":
        return None
    patch = {
        job.value: {"nextRuns": next_runs(schedule, job, now, digest_spread=digest_spread)}
        for job in (Job.SYNC, Job.DIGEST)
    }
    return _changed(status, patch)


def not_ready(body: Mapping[str, Any], reason: str, message: str, *, now: datetime) -> dict[str, Any] | None:
    """Return the status patch that says why the CronJobs are not as the spec wants them."""
    patch = {
        "observedGeneration": body["metadata"]["generation"],
        "conditions": updated(body, [Condition(READY, "False", reason, message)], now),
    }
    return _changed(body.get("status") or {}, patch)


def recorded(
    body: Mapping[str, Any], schedule: UserSchedule | None, run: Run, *, digest_spread: int, now: datetime
) -> dict[str, Any] | None:
    """Return the status patch for a finished run, or None if it (or a later one) is already told."""
    before = (body.get("status") or {}).get(run.job.value) or {}
    if is_recorded(before, run.finished_at, run.job_name):
        return None
    following: dict[str, Any] = {}
    if schedule is not None:
        following = {"nextRuns": next_runs(schedule, run.job, now, digest_spread=digest_spread)}
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
    after = {**before, **entry}
    off = _switched_off(schedule, run.job) if schedule is not None else None
    conditions = updated(body, [health(run.job, after, switched_off=off)], now)
    return _changed(body.get("status") or {}, {run.job.value: entry, "conditions": conditions})


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


def next_runs(schedule: UserSchedule, job: Job, now: datetime, *, digest_spread: int) -> list[str] | None:
    """Return the next three runs in the user's zone, or None where nothing will run."""
    if _switched_off(schedule, job):
        return None
    if job is Job.SYNC:
        runs = sync_cadence(schedule).runs_after(now)
    else:
        runs = digest_times(schedule, digest_spread).due_after(now)
    return [in_zone(run, schedule.time_zone) for run in islice(runs, _NEXT_RUNS)]


def _display(schedule: UserSchedule, job: Job) -> str:
    if switched_off := _switched_off(schedule, job):
        return switched_off
    return f"every {schedule.sync_every}" if job is Job.SYNC else f"{schedule.digest_day} {schedule.digest_time}"


def _switched_off(schedule: UserSchedule, job: Job) -> str | None:
    if schedule.suspend:
        return SUSPENDED
    enabled = schedule.sync_enabled if job is Job.SYNC else schedule.digest_enabled
    return None if enabled else "Disabled"


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
