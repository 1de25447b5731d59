"""A Job of which no pod has started: why, by its pods and by the Events of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.timestamps import parse_utc
from catchup_operator.manifests.names import Owner
from catchup_operator.status.conditions import Condition, find_condition
from catchup_operator.status.results import Cause, identity_of

# Normal states of a container that starts.
_STARTING: Final = frozenset({"ContainerCreating", "PodInitializing", ""})
_ENDS: Final = frozenset({"Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"})
# Events about the end of a Job, not about its beginning.
_END_EVENTS: Final = frozenset({"DeadlineExceeded", "BackoffLimitExceeded", "PodFailurePolicy"})
# Two names of one cause, which alternate.
_SAME_CAUSE: Final = {"ErrImagePull": "ImagePullBackOff"}
_NOT_STARTED: Final = "has not started: "


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A Job that runs, of which no pod is or was ready; `created_at` is UTC."""

    namespace: str
    name: str
    uid: str
    kind: Kind
    owner: Owner
    owner_name: str
    cronjob_uid: str | None
    created_at: datetime

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> WaitingJob | None:
        """Read a Job; None if a pod of it has started, or if it has ended, is suspended, or is of nobody we know."""
        status, created = item.get("status") or {}, item["metadata"].get("creationTimestamp")
        is_over = is_ending(item) or find_condition(status, "Suspended").get("status") == "True"
        has_started = any(status.get(name) for name in ("ready", "failed", "succeeded"))
        identity = identity_of(item)
        if identity is None or created is None or is_over or has_started:
            return None
        return cls(**identity, created_at=parse_utc(created))


def is_ending(item: Mapping[str, Any]) -> bool:
    """Whether a Job has ended, or its end is decided."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(condition["type"] in _ENDS and condition["status"] == "True" for condition in conditions)


def cause_of(pods: Sequence[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]) -> Cause | None:
    """Return why no pod starts, or None if one has started or nothing says why.

    Args:
        pods: the Job's pods.
        events: the warnings about the Job and its pods.
    """
    statuses = [pod.get("status") or {} for pod in pods]
    states = list(_states(statuses, "containerStatuses"))
    if any(state.get("terminated") or state.get("running") is not None for state in states):
        return None
    for state in [*_states(statuses, "initContainerStatuses"), *states]:
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason") or ""
        if reason not in _STARTING:
            return Cause(_SAME_CAUSE.get(reason, reason), waiting.get("message") or reason)
    for status in statuses:
        scheduled = find_condition(status, "PodScheduled")
        if scheduled.get("status") == "False":
            return Cause(scheduled.get("reason") or "Unschedulable", scheduled.get("message") or "no node has room")
    warnings = (event for event in events if event.get("reason") not in _END_EVENTS)
    warning = max(warnings, key=_time_of, default=None)
    return Cause(warning.get("reason") or "Failed", warning.get("message") or "") if warning else None


def not_started(job: WaitingJob, cause: Cause) -> Condition:
    """Return the condition of the Job's kind."""
    message = f"Job {job.name} {_NOT_STARTED}{cause.message}"
    return Condition(user_kinds()[job.kind].condition, "False", cause.reason, message)


def is_not_started(condition: Mapping[str, Any]) -> bool:
    """Whether `not_started` made a condition."""
    return _NOT_STARTED in condition.get("message", "")


def known_cause(body: Mapping[str, Any], kind: Kind, job_name: str) -> Cause | None:
    """Return why the Job has not started, as the status of its owner says it, or None."""
    condition = find_condition(body.get("status") or {}, user_kinds()[kind].condition)
    job, found, message = condition.get("message", "").partition(f" {_NOT_STARTED}")
    return Cause(condition["reason"], message) if found and job == f"Job {job_name}" else None


def _states(statuses: Iterable[Mapping[str, Any]], containers: str) -> Iterator[Mapping[str, Any]]:
    for status in statuses:
        for container in status.get(containers) or ():
            yield container.get("state") or {}


def _time_of(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
