"""The result of a finished Job, from its condition and the termination messages of its pods, which are not trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from catchup_contract.api import LABEL_JOB
from catchup_contract.kinds import Kind, kind_named, user_kinds
from catchup_contract.outcomes import ADVICE, ExitCode, Outcome, Reason
from catchup_contract.run_keys import slot_of
from catchup_contract.summary import InvalidSummaryError, Summary
from catchup_contract.timestamps import parse_utc
from catchup_contract.trouble import TroublePage
from catchup_operator.manifests.names import LABEL_BY_HAND, Owner, owner_of
from catchup_operator.manifests.pod import CONTAINER

SEE_THE_LOG: Final = "see the log of the Job's pod"
# Reasons of Kubernetes for the failure of a Job (`JobFailed` in batch/v1).
_POD_FAILURE_POLICY: Final = "PodFailurePolicy"
_BACKOFF_LIMIT: Final = "BackoffLimitExceeded"
_FAILED_INDEXES: Final = "FailedIndexes"
_DEADLINE: Final = "DeadlineExceeded"
# The label of the pods of an Indexed Job.
_SHARD: Final = "batch.kubernetes.io/job-completion-index"
# The kubelet's reason for a container that the kernel killed.
_OOM_KILLED: Final = "OOMKilled"
_JOB_ADVICE: Final = {
    _BACKOFF_LIMIT: "every pod of the Job failed; see their logs",
    _FAILED_INDEXES: "a shard failed; see the logs of the Job's pods",
    _DEADLINE: "the Job was ended at its deadline; see its pod log for what was slow",
}

_BY_EXIT_CODE: Final = {
    ExitCode.PERMANENT.value: Reason.BAD_DATA,
    ExitCode.TEMPORARY.value: Reason.UNAVAILABLE,
    ExitCode.MISCONFIGURED.value: Reason.MISCONFIGURED,
}


def end_of(job: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the condition by which a Job has ended; None while it runs, or its last pods do at its deadline."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] in {"Complete", "Failed"} and c["status"] == "True"), None)


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What is kept of a Job that has ended.

    Attributes:
        owner, owner_name: the resource that it belongs to, by the Job's labels.
        cronjob_name: the name of that CronJob, or None.
        cronjob_uid: the uid of the CronJob that owns the Job, or None. Only the CronJob controller makes it the
            controller of the Job: not every kubectl does for a manual run, nor does Argo CD.
        slot: the time (UTC) for which the CronJob controller started it, or None for a manual run.
        finished_at: UTC, from the condition that ended it.
        failure: Kubernetes' reason for the failure, or None for a success.
    """

    namespace: str
    name: str
    uid: str
    kind: Kind
    owner: Owner
    owner_name: str
    cronjob_uid: str | None
    slot: datetime | None
    finished_at: datetime
    failure: str | None
    cronjob_name: str | None = None

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> FinishedJob | None:
        """Read a Job; None while it is running, or if it belongs to no resource of ours."""
        end = end_of(item)
        identity = identity_of(item)
        if end is None or identity is None:
            return None
        cronjob = cronjob_of(item)
        is_by_hand = LABEL_BY_HAND in (item["metadata"].get("labels") or {})
        return cls(
            **identity,
            slot=slot_of(identity["name"], cronjob["name"]) if cronjob and not is_by_hand else None,
            cronjob_name=cronjob["name"] if cronjob else None,
            finished_at=parse_utc(end["lastTransitionTime"]),
            failure=None if end["type"] == "Complete" else str(end.get("reason") or "Failed"),
        )


def identity_of(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the first seven fields of a `FinishedJob` for a Job in any state; None if it is of no resource of ours."""
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    try:
        kind = kind_named(labels.get(LABEL_JOB, ""))
    except ValueError:
        return None
    found = owner_of(labels)
    if kind not in user_kinds() or found is None:
        return None
    cronjob = cronjob_of(item)
    return {
        **{name: metadata[name] for name in ("namespace", "name", "uid")},
        "kind": kind,
        "owner": found[0],
        "owner_name": found[1],
        "cronjob_uid": cronjob["uid"] if cronjob else None,
    }


def cronjob_of(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the reference of a Job to the CronJob that owns it, or None."""
    owners = item["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner["kind"] == "CronJob"), None)


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of a Job as the status says it.

    Attributes:
        result: Succeeded, Skipped or Failed.
        reason: CamelCase.
        message: for a failure, what happened and what to do.
        trouble: of a tick, a page of the members who are in trouble.
    """

    kind: Kind
    job_name: str
    finished_at: datetime
    result: str
    reason: str | None = None
    message: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    slot: datetime | None = None
    trouble: TroublePage | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why no pod starts: Kubernetes' reason and words."""

    reason: str
    message: str


def result_of(
    finished: FinishedJob,
    pods: Iterable[Mapping[str, Any]],
    required_objects: Sequence[str] = (),
    *,
    cause: Cause | None = None,
) -> JobResult:
    """Return the result of a Job: success or failure by its condition, details by its last pod, if one is left.

    A Job with shards has a last pod of each; their counts are added, and a shard that failed says why.

    Args:
        finished: the Job.
        pods: its pods that are left; the Job controller deletes those that were running at the deadline.
        required_objects: what the namespace must hold for a pod to start, e.g. `Secret database`.
        cause: why no pod started, if that is known.
    """
    shards = _last_terminations(pods)
    failed = [each for each in shards if each.exit_code] if finished.failure else []
    last = max(failed or shards, key=lambda termination: termination.at, default=None)
    summary, summaries = _summary_of(finished, last), [_summary_of(finished, shard) for shard in shards]
    message = None
    if finished.failure is None:
        result = "Skipped" if summary is not None and summary.outcome is Outcome.SKIPPED else "Succeeded"
        reason = summary.reason.camel_case if summary is not None and summary.reason is not None else None
    else:
        result = "Failed"
        reason, advice = _failure(finished.failure, summary, last)
        message = f"Job {finished.name} failed: {advice}"
        if last is None and cause is not None:
            reason, message = cause.reason, f"Job {finished.name} failed: no pod of it started: {cause.message}"
        elif reason == _DEADLINE and last is None and required_objects:
            needed = ", ".join(required_objects)
            message += f". If no pod of it ever started, see whether {finished.namespace} holds {needed}"
    return JobResult(
        kind=finished.kind,
        job_name=finished.name,
        finished_at=finished.finished_at,
        result=result,
        reason=reason,
        message=message,
        counts=_added(summaries),
        slot=finished.slot,
        # The first shard tells it.
        trouble=next((each.trouble for each in summaries if each is not None and each.trouble is not None), None),
    )


@dataclass(frozen=True, slots=True)
class _Termination:
    """How our container of a pod ended; `memory_limit` is a quantity, e.g. `512Mi`."""

    at: str
    exit_code: int | None
    reason: str
    message: str
    memory_limit: str | None


def _failure(failure: str, summary: Summary | None, last: _Termination | None) -> tuple[str, str]:
    """Return the reason and the advice: the job's own reason where Kubernetes' says only that pods failed."""
    if last is not None and last.reason == _OOM_KILLED:
        limit = f"its memory limit of {last.memory_limit}" if last.memory_limit else "the limit of the node's memory"
        return _OOM_KILLED, f"its last pod was killed at {limit}; raise jobs.resources.limits.memory"
    reason = None
    if failure in {_POD_FAILURE_POLICY, _BACKOFF_LIMIT, _FAILED_INDEXES} and summary is not None:
        reason = summary.reason
    if failure == _POD_FAILURE_POLICY and reason is None and last is not None and last.exit_code is not None:
        reason = _BY_EXIT_CODE.get(last.exit_code)
    if reason is not None:
        return reason.camel_case, ADVICE[reason].text
    return failure, _JOB_ADVICE.get(failure, SEE_THE_LOG)


def _last_terminations(pods: Iterable[Mapping[str, Any]]) -> list[_Termination]:
    """Return how our container of each shard terminated last, or of the one that there is without shards.

    Other containers, which somebody injected, tell nothing of the run.
    """
    last: dict[str, _Termination] = {}
    for pod in pods:
        shard = ((pod.get("metadata") or {}).get("labels") or {}).get(_SHARD, "")
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            state = (container.get("state") or {}).get("terminated")
            if container.get("name") != CONTAINER or not state:
                continue
            found = _Termination(
                at=state.get("finishedAt") or "",
                exit_code=state.get("exitCode"),
                reason=state.get("reason") or "",
                message=state.get("message") or "",
                memory_limit=_memory_limit(pod),
            )
            last[shard] = max(last.get(shard, found), found, key=lambda termination: termination.at)
    return list(last.values())


def _added(summaries: Iterable[Summary | None]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for summary in summaries:
        counts.update({str(name): value for name, value in summary.counts.items()} if summary else {})
    return dict(counts)


def _memory_limit(pod: Mapping[str, Any]) -> str | None:
    containers = (pod.get("spec") or {}).get("containers") or ()
    ours: Mapping[str, Any] = next((each for each in containers if each.get("name") == CONTAINER), {})
    limit = ((ours.get("resources") or {}).get("limits") or {}).get("memory")
    return str(limit) if limit else None


def _summary_of(finished: FinishedJob, last: _Termination | None) -> Summary | None:
    """Return the summary in a termination message, if it is a valid one of this kind of job."""
    try:
        summary = Summary.from_json(last.message if last else "")
    except InvalidSummaryError:
        return None
    return summary if summary.kind is finished.kind else None
