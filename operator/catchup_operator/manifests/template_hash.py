"""Hashes of the job template that change whenever CronJobs of the same specs would be made differently.

A status names the hash by which its CronJobs were applied; another hash starts a rollout. The hash covers the manifests
of sample schedules, so that a change of the code that makes manifests is noticed without a version number. A test
asserts that the samples reach every branch of this package and of the cron schedules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from catchup_contract.kinds import DIGEST, user_kinds
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.manifests.names import fingerprint
from catchup_operator.manifests.pooled import pool_cronjobs
from catchup_operator.schedule.clock_changes import zone_data_version
from catchup_operator.schedule.schedule_pool import SchedulePool
from catchup_operator.schedule.user_schedule import UserSchedule

_SINCE: Final = "2026-01-01T00:00:00Z"
_METADATA: Final = {"namespace": "sample", "uid": "sample", "generation": 1}
# Zones with one offset and with two, with a skipped midnight, a skipped time, and a jump of half an hour.
_SAMPLES: Final[tuple[dict[str, Any], ...]] = (
    {"priority": "low", "calendarSync": {"every": "12h"}},
    {"timeZone": "Europe/Berlin", "calendarSync": {"every": "2h"}, "digest": {"day": "Daily", "time": "22:30"}},
    {"timeZone": "Asia/Beirut", "digest": {"day": "Friday"}},
    {"timeZone": "America/New_York", "digest": {"day": "Sunday", "time": "02:30"}, "priority": "high"},
    {"timeZone": "Australia/Lord_Howe", "suspend": True},
    {"calendarSync": {"enabled": False}, "digest": {"enabled": False}},
)


_POOLS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"calendarSync": {"tick": "5m", "shards": 4}, "digest": {"enabled": False}},
    {"suspend": True},
)


def template_hash(template: JobTemplate) -> str:
    """Return the hash (16 hexadecimal digits) of UserSchedules; a few milliseconds."""
    # Few zones are among the samples; new rules of any other zone may change its cron expression, too.
    return fingerprint([zone_data_version(), asdict(template), list(_sample_manifests(template))])


def pool_template_hash(template: JobTemplate) -> str:
    """Return the hash of SchedulePools, whose CronJobs depend on no zone."""
    bodies = ({"metadata": {**_METADATA, "name": "sample"}, "spec": spec} for spec in _POOLS)
    pools = (pool_cronjobs(SchedulePool.from_body(body), template, {DIGEST: _SINCE}) for body in bodies)
    return fingerprint([asdict(template), [list(manifests.values()) for manifests in pools]])


def _sample_manifests(template: JobTemplate) -> Iterator[dict[str, Any]]:
    for number, spec in enumerate(_SAMPLES):
        body = {"metadata": {**_METADATA, "name": f"sample-{number}"}, "spec": {"userId": f"sample-{number}", **spec}}
        schedule = UserSchedule.from_body(body, digest_spread=template.digest_spread)
        since = dict.fromkeys(user_kinds(), None if schedule.suspend else _SINCE)
        yield from desired_cronjobs(schedule, template, since).values()
