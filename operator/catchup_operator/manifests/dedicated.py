"""The CronJobs of a UserSchedule: one for each kind of job, for this user alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from catchup_contract.env import Env
from catchup_contract.kinds import BACKOFF_LIMIT, DIGEST, Kind, user_kinds
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.cronjob import SPEC_FIELDS, Work, cronjob, limits_of, pod_failure_policy
from catchup_operator.manifests.names import USER_SCHEDULE, cronjob_name
from catchup_operator.schedule.user_schedule import UserSchedule

# A permanent exit code ends the Job at once.
_JOB: Final[Mapping[str, Any]] = {"backoffLimit": BACKOFF_LIMIT, "podFailurePolicy": pod_failure_policy("FailJob")}


def desired_cronjobs(
    schedule: UserSchedule, template: JobTemplate, active_since: Mapping[Kind, str | None]
) -> dict[Kind, dict[str, Any]]:
    """Return the manifest of the CronJob of each kind.

    A kind that is disabled keeps its CronJob, suspended: enabling it again takes the same path as any other edit.

    Args:
        schedule: the UserSchedule.
        template: the installation's part of the pods.
        active_since: when each kind with due dates was created or resumed (RFC 3339, UTC). The CronJob controller
            starts a slot of the last two hours when a CronJob is resumed; the pod must know that it is not due.
    """
    works = (_work(schedule, template, kind, active_since) for kind in schedule.sections)
    return {work.kind: cronjob(USER_SCHEDULE, schedule, work, template) for work in works}


def _work(schedule: UserSchedule, template: JobTemplate, kind: Kind, active_since: Mapping[Kind, str | None]) -> Work:
    section = schedule.sections[kind]
    return Work(
        kind=kind,
        name=cronjob_name(schedule, kind),
        schedule=section.effective.cron_schedule(),
        suspend=schedule.suspend or not section.enabled,
        starting_deadline=section.effective.starting_deadline(kind),
        limits=limits_of(kind, template),
        job=_JOB,
        args=(kind.name, "--user", schedule.user_id),
        env=_env(schedule, kind, active_since),
        priority=schedule.priority,
    )


def _env(schedule: UserSchedule, kind: Kind, active_since: Mapping[Kind, str | None]) -> dict[Env, str]:
    """Return the variables that carry the user's schedule, without those that have no value."""
    values: dict[Env, str | None] = {
        Env.TIME_ZONE: schedule.time_zone,
        Env.DIGEST_SINCE: active_since.get(DIGEST),
    }
    for name, (owner, field) in SPEC_FIELDS.items():
        section = schedule.sections[owner]
        # A pod must know when its own kind is due; the sync stores what the user chose.
        timetable = section.effective if owner is kind else section.chosen
        values[name] = timetable.spec_fields[field]
    return {name: value for name in user_kinds()[kind].env if (value := values[name]) is not None}
