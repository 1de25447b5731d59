"""The condition Ready: whether the CronJobs are as the spec wants them, and why not."""

from __future__ import annotations

from typing import Final

from catchup_contract.timestamps import format_utc
from catchup_operator.manifests.names import SCHEDULE_POOL, USER_SCHEDULE, Owner
from catchup_operator.schedule.suspension import Suspension
from catchup_operator.status.conditions import READY, RECONCILING, STALLED, Condition

CRONJOB_REFUSED: Final = "CronJobRefused"
LIST_REFUSED: Final = "ListRefused"
WEBHOOK_FAILED: Final = "WebhookFailed"
CRONJOB_FAILED: Final = "CronJobFailed"
CRONJOB_MUTATED: Final = "CronJobMutated"
CRONJOB_TERMINATING: Final = "CronJobTerminating"
TERMINATING: Final = "Terminating"
CONTESTED: Final = "Contested"
CONFLICT: Final = "Conflict"
PERMISSION_MISSING: Final = "PermissionMissing"
UNINSTALLED: Final = "Uninstalled"
SUSPENDED: Final = "Suspended"
POOLED: Final = "Pooled"
POOL_SUSPENDED: Final = "PoolSuspended"
POOL_DISABLED: Final = "PoolDisabled"

_SERVED: Final = {USER_SCHEDULE: "the user is", SCHEDULE_POOL: "the users of a pool of this name are"}
_RETRIES: Final = "retried within half a minute at first, every ten minutes later"
_IN_PROGRESS: Final = {CONTESTED, CRONJOB_TERMINATING, LIST_REFUSED, PERMISSION_MISSING, WEBHOOK_FAILED}


def reconciled() -> Condition:
    """The CronJobs are applied."""
    return Condition(READY, "True", "Reconciled", "the CronJobs are as specified")


def suspended(suspension: Suspension | None = None) -> Condition:
    """The jobs are suspended as the spec says: by a suspension with an end, or without one."""
    message = "the jobs are suspended; set spec.suspend to false to resume them"
    if suspension is not None:
        message = (
            f"the jobs are suspended until {format_utc(suspension.until)}: {suspension.reason}; they resume by "
            "themselves, or at once when spec.suspension is set to null"
        )
    return Condition(READY, "True", SUSPENDED, message)


def pooled(pool: str) -> Condition:
    """A SchedulePool serves the user."""
    return Condition(READY, "True", POOLED, f"the SchedulePool {pool} serves the user")


def pool_suspended(pool: str) -> Condition:
    """The SchedulePool that is to serve the user is suspended."""
    message = f"the SchedulePool {pool} is suspended, so nobody serves the user; set its spec.suspend to false"
    return Condition(READY, "True", POOL_SUSPENDED, message)


def pool_not_found(pool: str, *, has_cronjobs: bool) -> Condition:
    """There is no such SchedulePool in the namespace; CronJobs that the user has stay until there is."""
    message = (
        f"this namespace has no SchedulePool {pool} with members: UserSchedules, so "
        f"{'CronJobs of its own go on serving' if has_cronjobs else 'nobody serves'} the user; "
        "make it, or name another one in spec.pool"
    )
    return Condition(READY, "False", "PoolNotFound", message)


def conflict(older: object, owner: Owner = USER_SCHEDULE) -> Condition:
    """An `older` resource (`namespace/name`) serves the same user, or is the pool of the same name."""
    message = f"{_SERVED[owner]} served by the older {owner.kind} {older}; delete that one or this one"
    return Condition(READY, "False", CONFLICT, message)


def contested(cronjob: str, change: str) -> Condition:
    """Another writer changes a CronJob back whenever it is repaired."""
    message = (
        f"CronJob {cronjob} is changed again and again: {change}; it is repaired about once a minute until that stops, "
        "so stop that writer, or say what it wants in the spec of this resource"
    )
    return Condition(READY, "False", CONTESTED, message)


def mutated(cronjob: str, replaced: str) -> Condition:
    """The API server does not keep a CronJob as it was applied."""
    message = (
        f"CronJob {cronjob} is not as specified: {replaced}. A mutating admission policy or webhook replaces what is "
        "applied, or the server does not know the field; exempt these CronJobs there. It is applied again within a "
        "minute at first, every ten minutes later, and at once when the spec is edited"
    )
    return Condition(READY, "False", CRONJOB_MUTATED, message)


def cronjob_terminating(cronjob: str, finalizers: tuple[str, ...]) -> Condition:
    """A CronJob is being deleted, and its `finalizers` hold it; Kubernetes starts no Jobs for it any more."""
    message = (
        f"CronJob {cronjob} is being deleted and waits for {', '.join(finalizers)}; it starts no runs, and is "
        "made again when it is gone"
    )
    return Condition(READY, "False", CRONJOB_TERMINATING, message)


def terminating(finalizers: tuple[str, ...]) -> Condition:
    """The resource is being deleted, and its `finalizers` hold it; its CronJobs are suspended."""
    message = (
        f"this resource is being deleted and waits for {', '.join(finalizers)}; its CronJobs are suspended, edits "
        "change nothing any more, and another one may serve in its place"
    )
    return Condition(READY, "False", TERMINATING, message)


def uninstalled() -> Condition:
    """The operator is gone, or serves the namespace no more."""
    message = (
        "the operator was uninstalled, or does not serve this namespace any more: its CronJobs are deleted, and no "
        "jobs run until the chart is installed again and serves this namespace (operator.namespaces)"
    )
    return Condition(READY, "Unknown", UNINSTALLED, message)


def invalid_spec(error: Exception) -> Condition:
    """The spec breaks a rule of the schema."""
    return Condition(READY, "False", "InvalidSpec", str(error))


def refused(error: object) -> Condition:
    """The API server refuses a CronJob: a quota, an admission, its type, or a CronJob of that name exists."""
    return _refused(f"a CronJob cannot be applied: {error}; {_RETRIES}, and at once when the spec is edited")


def not_deleted(error: object) -> Condition:
    """The API server refuses the deletion of a CronJob that the spec does not want any more."""
    message = f"a CronJob that is not wanted any more cannot be deleted, and goes on: {error}"
    return _refused(f"{message}; {_RETRIES}, and at once when the spec is edited")


def not_suspended(finalizers: tuple[str, ...], error: object) -> Condition:
    """The resource is being deleted, and its `finalizers` hold it; a CronJob of it cannot be suspended."""
    return _refused(
        f"this resource is being deleted and waits for {', '.join(finalizers)}; its CronJobs go on starting runs, "
        f"since one cannot be suspended: {error}; {_RETRIES}"
    )


def _refused(message: str) -> Condition:
    return Condition(READY, "False", CRONJOB_REFUSED, message)


def failed(error: object) -> Condition:
    """The requests for the CronJobs go on failing by what is no refusal, e.g. an error within the API server."""
    message = f"the CronJobs are not as specified, since a request fails again and again: {error}"
    return Condition(READY, "False", CRONJOB_FAILED, f"{message}; retried every five minutes or sooner")


def webhook_failed(error: object) -> Condition:
    """An admission webhook does not answer."""
    message = f"a CronJob cannot be applied: {error}; see that the webhook's pods run; retried every 20 seconds"
    return Condition(READY, "False", WEBHOOK_FAILED, message)


def list_refused(error: object) -> Condition:
    """The API server refuses the ConfigMaps by which the pods of pools know whom UserSchedules serve."""
    message = f"the ConfigMaps with the list of UserSchedules, which pools need, cannot be written: {error}"
    return Condition(READY, "False", LIST_REFUSED, f"{message}; retried every 20 seconds")


def permission_missing(permission: str, error: object) -> Condition:
    """RBAC denies a permission, e.g. `patch cronjobs`."""
    message = f"the operator may not {permission} in this namespace; see the Role in its chart. {error}"
    return Condition(READY, "False", PERMISSION_MISSING, message)


def outcome(
    conflict: Condition | None,
    *,
    mutation: tuple[str, str] | None,
    contest: tuple[str, str] | None,
    held: tuple[str, tuple[str, ...]] | None,
    suspend: bool,
    suspension: Suspension | None,
) -> Condition:
    """Return the condition after the CronJobs were applied.

    Args:
        conflict: that another resource serves instead, or None.
        mutation: a CronJob that the server has not kept as it was applied, and what is other: whatever else holds,
            e.g. that it is suspended, may not be true of it.
        contest: a CronJob that another writer changes back each time, and how.
        held: a CronJob that is being deleted, and the finalizers that hold it.
        suspend: whether the spec says so at present.
        suspension: what says so, where that has an end.
    """
    if mutation is not None:
        return mutated(*mutation)
    if conflict is not None:
        return conflict
    if contest is not None:
        return contested(*contest)
    if held is not None:
        return cronjob_terminating(*held)
    return suspended(suspension) if suspend else reconciled()


def progress(ready: Condition) -> list[Condition]:
    """Return what kstatus (Flux, Argo CD) reads beside a `Ready` that is False, and nothing beside another one.

    `Reconciling` while the operator repeats its work every minute or sooner, or continues it by itself, else `Stalled`:
    somebody must change something. kstatus takes `Ready=False` alone for work in progress.
    """
    if ready.status != "False":
        return []
    kind = RECONCILING if ready.reason in _IN_PROGRESS else STALLED
    return [Condition(kind, "True", ready.reason, ready.message)]
