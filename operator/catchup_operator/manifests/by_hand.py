"""The CronJob that makes one Job by hand, from the CronJob of a kind.

The operator may make CronJobs and no Jobs. So a request is a CronJob that fires once, at the next full minute, and is
deleted later. Its Job does not bear the name of the regular CronJob, so that the run serves no slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from catchup_contract.kinds import Kind
from catchup_contract.requests import REQUEST_LIFETIME
from catchup_contract.timestamps import format_utc, parse_utc
from catchup_operator.manifests.names import LABEL_BY_HAND, hashed_name

# As `kubectl create job --from` says it of a Job.
_MANUAL: Final = {"cronjob.kubernetes.io/instantiate": "manual"}
# A CronJob that is made at its time or later would not fire.
_MARGIN: Final = timedelta(seconds=10)
"""How long before its time the CronJob of a request must be made."""
_KEPT: Final = timedelta(hours=6)
"""How long the CronJob of a request is kept, with its Job and the log of its pod."""


def is_spent(metadata: Mapping[str, Any], now: datetime) -> bool:
    """Whether an object is the CronJob of a request that is to be deleted at `now` (aware)."""
    if LABEL_BY_HAND not in (metadata.get("labels") or {}) or "deletionTimestamp" in metadata:
        return False
    return now - parse_utc(metadata["creationTimestamp"]) > _KEPT


def by_hand_name(metadata: Mapping[str, Any], kind: Kind, requested: datetime) -> str:
    """Return the name of the CronJob of a request: the same for the same one, at most 52 characters."""
    parts = (metadata["namespace"], metadata["uid"], kind.name, format_utc(requested))
    return hashed_name(metadata["name"], f"{kind}-now", *parts)


def by_hand(manifest: Mapping[str, Any], name: str, now: datetime) -> dict[str, Any]:
    """Return the CronJob `name` that makes one Job at the next full minute after `now` (aware).

    `manifest` is that of the regular CronJob.
    """
    at = (now.astimezone(UTC) + _MARGIN).replace(second=0, microsecond=0) + timedelta(minutes=1)
    metadata, spec = manifest["metadata"], manifest["spec"]
    template = spec["jobTemplate"]
    label = {LABEL_BY_HAND: "true"}
    of_job = template["metadata"]
    return {
        **manifest,
        "metadata": {**metadata, "name": name, "labels": {**metadata["labels"], **label}},
        "spec": {
            **spec,
            "schedule": f"{at.minute} {at.hour} {at.day} {at.month} *",
            "suspend": False,
            "startingDeadlineSeconds": int(REQUEST_LIFETIME.total_seconds()),
            "jobTemplate": {
                **template,
                "metadata": {
                    "labels": {**of_job["labels"], **label},
                    "annotations": {**of_job.get("annotations", {}), **_MANUAL},
                },
            },
        },
    }
