"""The CronJobs of a SchedulePool: one for each kind of job, for all members. Each of their runs is a tick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from catchup_contract.env import Env
from catchup_contract.kinds import Kind
from catchup_contract.pools import TICK_DEADLINE_SECONDS, TICK_STARTING_SECONDS, Off
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.cronjob import SPEC_FIELDS, Work, cronjob, limits_of, pod_failure_policy
from catchup_operator.manifests.list_configmaps import FOLDER, VOLUME, list_volume
from catchup_operator.manifests.names import SCHEDULE_POOL, pool_cronjob_name
from catchup_operator.schedule.schedule_pool import SchedulePool

# A tick is not retried: the next one does what it left. One that the cluster evicted is replaced.
_ONE_POD: Final[Mapping[str, Any]] = {"backoffLimit": 0, "podFailurePolicy": pod_failure_policy("FailJob")}


def pool_cronjobs(
    pool: SchedulePool, template: JobTemplate, active_since: Mapping[Kind, str | None]
) -> dict[Kind, dict[str, Any]]:
    """Return the manifest of the CronJob of each kind; one that is disabled is suspended.

    `active_since` says when the pool was resumed last (RFC 3339, UTC), for each kind with due dates; None where it
    never was.
    """
    works = (_work(pool, template, kind, active_since.get(kind)) for kind in pool.sections)
    return {work.kind: cronjob(SCHEDULE_POOL, pool, work, template) for work in works}


def _work(pool: SchedulePool, template: JobTemplate, kind: Kind, since: str | None) -> Work:
    section = pool.sections[kind]
    off = Off.SUSPENDED if pool.suspend else None if section.enabled else Off.DISABLED
    fields = ((name, field) for name, (owner, field) in SPEC_FIELDS.items() if owner is kind)
    return Work(
        kind=kind,
        name=pool_cronjob_name(pool.name, kind),
        schedule=f"*/{section.tick_minutes} * * * *",
        suspend=off is not None,
        starting_deadline=TICK_STARTING_SECONDS,
        # The deadline is no choice of the installation: it bounds how many ticks live at once.
        limits={**limits_of(kind, template), "activeDeadlineSeconds": TICK_DEADLINE_SECONDS},
        job=_ONE_POD if section.shards == 1 else _shards(section.shards),
        args=(kind.name, "--pool", pool.name),
        env={
            **{name: section.fields[field] for name, field in fields if field in section.fields},
            **({Env.DIGEST_SINCE: since} if since else {}),
            Env.POOL_SHARDS: str(section.shards),
            Env.POOL_MEMBERS: pool.members.value,
            Env.POOL_TICK: section.tick,
            **({Env.POOL_OFF: off.value} if off else {}),
            Env.SCHEDULE_LIST: FOLDER,
        },
        volumes=(list_volume(),),
        mounts=({"name": VOLUME, "mountPath": FOLDER, "readOnly": True},),
    )


def _shards(number: int) -> dict[str, Any]:
    """Return the fields of a Job with a pod for each shard, of which one that fails ends no other.

    https://kubernetes.io/docs/concepts/workloads/controllers/job/#backoff-limit-per-index
    """
    return {
        "completionMode": "Indexed",
        "completions": number,
        "parallelism": number,
        "backoffLimitPerIndex": 0,
        "maxFailedIndexes": number,
        "podFailurePolicy": pod_failure_policy("FailIndex"),
    }
