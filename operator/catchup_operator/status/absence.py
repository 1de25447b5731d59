"""Runs that do not come: when one is missed, and what its Jobs and pods say about why.

A Job whose pod is on a dead node never ends: with a pod failure policy the Job controller waits until the pod has
terminated, which only its kubelet reports. And a CronJob whose controller is down says nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_contract.cadence import MISSED_SYNCS
from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.timestamps import parse_utc
from catchup_operator.schedule.timetable import TIMETABLES
from catchup_operator.status.conditions import Condition, find_condition

MISSING: Final = "RunMissing"
STUCK: Final = "RunStuck"
ABSENT: Final = frozenset({MISSING, STUCK})

_GRACE: Final = timedelta(minutes=20)
"""How long after a due time a digest that has not ended counts as missing, at least."""
_END: Final = timedelta(minutes=5)
"""How long after its deadline a Job may take to end and to be recorded."""


def overdue_at(kind: Kind, section: Mapping[str, Any], deadline: timedelta) -> datetime | None:
    """Return when a run of a kind must have ended, by the next runs in its section: 20 minutes after a due date, or at
    the third run of an interval, of which each writes the next three. A longer `deadline` of its Jobs puts it off.
    """
    due = section.get("nextRunTimes")
    if not due:
        return None
    first, last = parse_utc(due[0]), parse_utc(due[:MISSED_SYNCS][-1])
    longest = deadline + _END
    if TIMETABLES[user_kinds()[kind].rule].has_due_dates:
        return first + max(_GRACE, longest)
    return last if longest <= _GRACE else max(last, first + longest)


def absence(
    kind: Kind, section: Mapping[str, Any], *, created: str, job: Mapping[str, Any] | None, pods: Sequence[Any]
) -> Condition:
    """Return the condition of a kind whose run is overdue.

    Args:
        kind: the kind of job.
        section: its section of the status.
        created: when the resource was created (RFC 3339).
        job: the oldest Job of its CronJob that has not ended, or None.
        pods: the pods of that Job.
    """
    since = f"no {kind} has ended since {section.get('lastRunTime') or created}"
    condition = user_kinds()[kind].condition
    if job is None:
        cronjob = section.get("cronJobName")
        why = f"CronJob {cronjob} has started none that was due; see `kubectl describe cronjob {cronjob}`, and whether"
        return Condition(condition, "False", MISSING, f"{since}: {why} the cluster's CronJob controller works")
    metadata = job["metadata"]
    see = f"see `kubectl describe job {metadata['name']}`"
    suspended = "is suspended by somebody (spec.suspend)" if (job.get("spec") or {}).get("suspend") else ""
    reasons = "; ".join(_troubles(pods)) or f"{suspended or _between_attempts(pods) or 'has no pod'}; {see}"
    text = f"{since}: Job {metadata['name']}, created {metadata.get('creationTimestamp')}, {reasons}"
    return Condition(condition, "False", STUCK, text)


def _troubles(pods: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for pod in pods:
        status, metadata = pod.get("status") or {}, pod["metadata"]
        phase = status.get("phase")
        if phase in {"Succeeded", "Failed"}:
            continue
        node = (pod.get("spec") or {}).get("nodeName")
        if node is None:
            yield f"waits for its pod {metadata['name']} to be scheduled{_unscheduled(status)}"
        elif deleted := metadata.get("deletionTimestamp"):
            yield (
                f"waits for its pod {metadata['name']}, deleted at {deleted}, to end; node {node} does not answer: "
                "delete the node if it is gone for good, or force the deletion of the pod"
            )
        elif phase == "Pending":
            waiting = _waiting(status) or "; see whether that answers"
            yield f"waits for its pod {metadata['name']} to start on node {node}{waiting}"
        else:
            yield f"waits for its pod {metadata['name']} on node {node}, which is {phase}{_not_ready(status)}"


def _between_attempts(pods: Sequence[Mapping[str, Any]]) -> str:
    """Say how the last pod of a Job ended that makes the next one after a pause; empty where there is none."""
    last = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)
    if last is None:
        return ""
    states = [container.get("state") or {} for container in (last.get("status") or {}).get("containerStatuses") or ()]
    codes = [str(ended["exitCode"]) for state in states if (ended := state.get("terminated")) and "exitCode" in ended]
    with_code = f" with exit code {', '.join(codes)}" if codes else ""
    return f"waits before its next attempt; its pod {last['metadata']['name']} ended{with_code}"


def _unscheduled(status: Mapping[str, Any]) -> str:
    message = find_condition(status, "PodScheduled").get("message")
    return f" ({message})" if message else ""


def _not_ready(status: Mapping[str, Any]) -> str:
    """Say since when a pod is not ready: so does the node lifecycle controller of pods on a node without heartbeats."""
    ready = find_condition(status, "Ready")
    if ready.get("status") != "False":
        return ""
    return f", but not ready since {ready.get('lastTransitionTime')}; see whether the node answers"


def _waiting(status: Mapping[str, Any]) -> str:
    states = [(container.get("state") or {}).get("waiting") for container in status.get("containerStatuses") or ()]
    reasons = sorted({state["reason"] for state in states if state and state.get("reason")})
    return f" ({', '.join(reasons)})" if reasons else ""
