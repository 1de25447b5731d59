"""The condition Ready: whether the CronJobs are as the spec wants them, and why not."""

from __future__ import annotations

from typing import Final

from catchup_operator.status.conditions import READY, Condition

CONFLICT: Final = "Conflict"
SUSPENDED: Final = "Suspended"


def reconciled() -> Condition:
    """The CronJobs are applied."""
    return Condition(READY, "True", "Reconciled", "the CronJobs are as specified")


def suspended() -> Condition:
    """The CronJobs are applied, suspended as the spec says."""
    return Condition(READY, "True", SUSPENDED, "the jobs are suspended; set spec.suspend to false to resume them")


def conflict(older: object) -> Condition:
    """An `older` UserSchedule (`namespace/name`) serves the same user."""
    message = f"the user is served by the older UserSchedule {older}; delete that one or this one"
    return Condition(READY, "False", CONFLICT, message)


def invalid_spec(error: Exception) -> Condition:
    """The spec breaks a rule of the schema."""
    return Condition(READY, "False", "InvalidSpec", str(error))


def refused(error: object) -> Condition:
    """The API server refuses a CronJob: a quota, an admission, its type, or a CronJob of that name exists."""
    message = f"a CronJob cannot be applied: {error}; retried every ten minutes, and at once when the spec is edited"
    return Condition(READY, "False", "CronJobRefused", message)


def webhook_failed(error: object) -> Condition:
    """An admission webhook does not answer."""
    message = f"a CronJob cannot be applied: {error}; see that the webhook's pods run; retried every 20 seconds"
    return Condition(READY, "False", "CronJobRefused", message)


def permission_missing(permission: str, error: object) -> Condition:
    """RBAC denies a permission, e.g. `patch cronjobs`."""
    message = f"the operator may not {permission} in this namespace; see the Role in its chart. {error}"
    return Condition(READY, "False", "PermissionMissing", message)
