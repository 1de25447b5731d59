"""A Job of which a pod does not start: why, by its pods and by the Events of both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.run_keys import slot_of
from catchup_contract.timestamps import parse_utc
from catchup_operator.manifests.names import Owner
from catchup_operator.manifests.pod import CONTAINER
from catchup_operator.status.conditions import Condition, find_condition
from catchup_operator.status.results import Cause, cronjob_of, identity_of

# Normal states of a container that starts.
_STARTING: Final = frozenset({"ContainerCreating", "PodInitializing", ""})
_ENDS: Final = frozenset({"Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"})
# Events about the end of a Job, not about its beginning; and about a time before the pod had a node: of one that has
# none its condition tells.
_OTHER_EVENTS: Final = frozenset({"DeadlineExceeded", "BackoffLimitExceeded", "PodFailurePolicy", "FailedScheduling"})
# The Job controller's own reason; `Suspended` is what the spec of a UserSchedule says.
_SUSPENDED: Final = "JobSuspended"
# The CronJob controller and the Job controller, which make a Job and its status.
_CONTROLLER: Final = "kube-controller-manager"
# Two names of one cause, which alternate.
_SAME_CAUSE: Final = {"ErrImagePull": "ImagePullBackOff"}
# A kubelet writes `startTime` as soon as it hears of a pod.
_TAKEN_UP_WITHIN: Final = timedelta(seconds=15)
"""How long a node may take to take up a pod before it is said to be silent; less than the first look at a Job."""
_NODE_SILENT: Final = "NodeSilent"
# How a container runtime wraps what it says.
_WRAPPING: Final = re.compile(r"rpc error: code = \w+ desc = ")
_NO_SANDBOX: Final = "FailedCreatePodSandBox"
# What containerd and CRI-O say of a RuntimeClass whose handler they do not have.
_UNKNOWN_HANDLER: Final = re.compile(r"no runtime for|runtime handler")
# Of a time in RFC 3339, without fractions of a second.
_SECONDS: Final = len("2026-11-23T09:00:00")
# Not the Job itself: an earlier attempt, or another shard, may have started.
_WHO: Final = "a pod of Job "
_NOT_STARTED: Final = " has not started: "


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A Job that runs, of which a pod that is to run is not ready.

    Attributes:
        created_at: UTC.
        cronjob_name: the name of the CronJob that owns it, or None.
        is_suspended: whether somebody suspends it, such as a queue of Jobs.
        failed: how many of its pods have failed.
    """

    namespace: str
    name: str
    uid: str
    kind: Kind
    owner: Owner
    owner_name: str
    cronjob_uid: str | None
    created_at: datetime
    cronjob_name: str | None = None
    is_suspended: bool = False
    failed: int = 0

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> WaitingJob | None:
        """Read a Job; None if all of its pods that are to run do, or if it has ended or is of nobody we know."""
        status = item.get("status") or {}
        if is_ending(item) or (status.get("ready") or 0) >= _wanted_pods(item):
            return None
        created, identity, cronjob = item["metadata"].get("creationTimestamp"), identity_of(item), cronjob_of(item)
        if identity is None or created is None:
            return None
        is_suspended = (
            bool((item.get("spec") or {}).get("suspend")) or find_condition(status, "Suspended").get("status") == "True"
        )
        return cls(
            **identity,
            created_at=parse_utc(created),
            cronjob_name=cronjob["name"] if cronjob else None,
            is_suspended=is_suspended,
            failed=status.get("failed") or 0,
        )


def _wanted_pods(item: Mapping[str, Any]) -> int:
    """Return how many pods of a Job are to run at once; of a Job with shards, one that failed is not tried again."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    shards: int = spec.get("completions") or 1
    parallel: int = spec.get("parallelism", 1)
    ended: int = (status.get("succeeded") or 0) + ((status.get("failed") or 0) if shards > 1 else 0)
    return min(parallel, max(0, shards - ended))


def is_ending(item: Mapping[str, Any]) -> bool:
    """Whether a Job has ended, or its end is decided."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(condition["type"] in _ENDS and condition["status"] == "True" for condition in conditions)


def cause_of(pods: Sequence[Mapping[str, Any]], events: Iterable[Mapping[str, Any]], *, now: datetime) -> Cause | None:
    """Return why a pod does not start, or None if nothing says why.

    Args:
        pods: the Job's pods.
        events: the warnings about the Job and about those of its pods that wait.
        now: the time, aware.
    """
    waits = waiting_pods(pods)
    statuses = [pod["status"] for pod in waits]
    for state in [*_states(statuses, "initContainerStatuses"), *_states(statuses, "containerStatuses")]:
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason") or ""
        if reason not in _STARTING:
            return Cause(_SAME_CAUSE.get(reason, reason), _unwrapped(waiting.get("message") or reason))
    for status in statuses:
        scheduled = find_condition(status, "PodScheduled")
        if scheduled.get("status") == "False":
            return Cause(scheduled.get("reason") or "Unschedulable", scheduled.get("message") or "no node has room")
    if (silent := next((pod for pod in waits if _is_not_taken_up(pod, now)), None)) is not None:
        return _node_silent(silent)
    warnings = (event for event in events if event.get("reason") not in _OTHER_EVENTS)
    warning = max(warnings, key=_time_of, default=None)
    return _told_by(warning, waits) if warning else None


def _told_by(warning: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> Cause:
    reason, message = warning.get("reason") or "Failed", _unwrapped(warning.get("message") or "")
    asked = next((spec for pod in pods if (spec := pod.get("spec") or {}).get("runtimeClassName")), None)
    if reason == _NO_SANDBOX and asked and _UNKNOWN_HANDLER.search(message):
        message += f"; node {asked.get('nodeName')} does not have what RuntimeClass {asked['runtimeClassName']} names"
    return Cause(reason, message)


def _unwrapped(message: str) -> str:
    return _WRAPPING.sub("", message)


def _is_not_taken_up(pod: Mapping[str, Any], now: datetime) -> bool:
    """Whether a pod has a node of which the kubelet says nothing: no Event and no condition tells that."""
    status = pod["status"]
    bound = find_condition(status, "PodScheduled")
    since = bound.get("lastTransitionTime")
    if bound.get("status") != "True" or status.get("startTime") or not since:
        return False
    return now - parse_utc(since) >= _TAKEN_UP_WITHIN


def _node_silent(pod: Mapping[str, Any]) -> Cause:
    node, since = pod["spec"]["nodeName"], find_condition(pod["status"], "PodScheduled")["lastTransitionTime"]
    told = f"node {node} has not taken up its pod {pod['metadata']['name']} since {since}"
    return Cause(_NODE_SILENT, f"{told}; see whether the node is Ready")


def waiting_pods(pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the pods that have not started: our container has not, whatever others in it do."""
    return [pod for pod in pods if pod.get("status") and not _has_started(pod["status"])]


def since_last_pod(pods: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the Events about a Job since it made its last pod: what came before hindered an earlier one."""
    made = max((str(pod["metadata"].get("creationTimestamp")) for pod in pods), default="")
    return [event for event in events if _time_of(event)[:_SECONDS] >= made[:_SECONDS]]


def suspended(managers: Iterable[str]) -> Cause:
    """Return the cause of a Job that somebody suspends, by its field managers."""
    others = ", ".join(name for name in managers if name != _CONTROLLER)
    who = f"; who else writes it: {others}" if others else ""
    return Cause(_SUSPENDED, f"somebody suspends the Job (spec.suspend), such as a queue of Jobs{who}")


def _has_started(status: Mapping[str, Any]) -> bool:
    if status.get("phase") in {"Succeeded", "Failed"}:
        return True
    states = (each.get("state") or {} for each in status.get("containerStatuses") or () if each["name"] == CONTAINER)
    return any(state.get("terminated") or state.get("running") is not None for state in states)


def not_started(job: WaitingJob, cause: Cause) -> Condition:
    """Return the condition of the Job's kind."""
    message = f"{_WHO}{job.name}{_NOT_STARTED}{cause.message}"
    return Condition(user_kinds()[job.kind].condition, "False", cause.reason, message)


def is_not_started(condition: Mapping[str, Any]) -> bool:
    """Whether `not_started` made a condition."""
    return _job_and_cause(condition) is not None


def is_superseded(section: Mapping[str, Any], job: WaitingJob) -> bool:
    """Whether the section tells of a slot after a Job was made: the condition is of that run, which says more."""
    slot = slot_of(section.get("lastJobName") or "", section.get("cronJobName") or "")
    return slot is not None and slot > job.created_at


def known_cause(body: Mapping[str, Any], kind: Kind, job_name: str) -> Cause | None:
    """Return why a pod of the Job has not started, as the status of its owner says it, or None."""
    condition = find_condition(body.get("status") or {}, user_kinds()[kind].condition)
    told = _job_and_cause(condition)
    return Cause(condition["reason"], told[1]) if told is not None and told[0] == job_name else None


def _job_and_cause(condition: Mapping[str, Any]) -> tuple[str, str] | None:
    """Read what `not_started` wrote: the Job and why. A condition has no other field that could hold it."""
    who, found, cause = condition.get("message", "").partition(_NOT_STARTED)
    return (who.removeprefix(_WHO), cause) if found and who.startswith(_WHO) else None


def _states(statuses: Iterable[Mapping[str, Any]], containers: str) -> Iterator[Mapping[str, Any]]:
    for status in statuses:
        for container in status.get(containers) or ():
            yield container.get("state") or {}


def _time_of(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
