"""Names, labels and fingerprints: everything that must stay the same between two visits."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from catchup_contract.api import LABEL_JOB, LABEL_USER_SCHEDULE
from catchup_contract.kinds import Job
from catchup_operator.schedule.user_schedule import UserSchedule

FIELD_MANAGER: Final = "catchup-operator"
APP: Final = "catchup-jobs"

_CRONJOB_NAME_MAX: Final = 52
_HASH_CHARACTERS: Final = 10


def stable_hash(*parts: str) -> int:
    """Return a 256-bit number that depends on the parts only (Python's own `hash` differs between processes)."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest())


def cronjob_name(schedule: UserSchedule, job: Job) -> str:
    """Return `<resource>-<job>-<hash>`, at most 52 characters (the limit of the CronJob controller).

    The hash of namespace, uid and job keeps long, similar and recreated names apart.
    """
    digest = hashlib.sha256("\0".join((schedule.namespace, schedule.uid, job)).encode()).digest()
    suffix = f"-{job}-{base64.b32encode(digest).decode().lower()[:_HASH_CHARACTERS]}"
    prefix = schedule.name[: _CRONJOB_NAME_MAX - len(suffix)].replace(".", "-").rstrip("-")
    return prefix + suffix


def labels(schedule: UserSchedule, job: Job) -> dict[str, str]:
    """Return the labels that CronJobs, Jobs and pods carry."""
    return {
        LABEL_JOB: job.value,
        LABEL_USER_SCHEDULE: schedule.name,
        "app.kubernetes.io/name": APP,
        "app.kubernetes.io/component": job.value,
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
    }


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits that change when the JSON-serialisable value does."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def labels_are_ours(found: Mapping[str, str]) -> bool:
    """Whether an object carries the labels that say that this operator made it."""
    return (
        found.get("app.kubernetes.io/managed-by") == FIELD_MANAGER
        and LABEL_JOB in found
        and LABEL_USER_SCHEDULE in found
    )
