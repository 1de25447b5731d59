"""Names, labels, keys and fingerprints of objects. They must be the same in every reconciliation."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from catchup_contract.api import LABEL_JOB, LABEL_USER_SCHEDULE
from catchup_contract.kinds import Kind
from catchup_operator.schedule.user_schedule import UserSchedule

FIELD_MANAGER: Final = "catchup-operator"
APP: Final = "catchup-jobs"

_CRONJOB_NAME_MAX: Final = 52
_HASH_CHARACTERS: Final = 10

Key = tuple[str, str]
"""(namespace, name) of an object."""


def key_of(item: Mapping[str, Any]) -> Key:
    """Return the key of an object."""
    return item["metadata"]["namespace"], item["metadata"]["name"]


def cronjob_name(schedule: UserSchedule, kind: Kind) -> str:
    """Return `<UserSchedule>-<kind>-<hash>`, at most 52 characters (the limit of the CronJob controller).

    The hash of namespace, uid and kind keeps long, similar and recreated names apart.
    """
    digest = hashlib.sha256("\0".join((schedule.namespace, schedule.uid, kind.name)).encode()).digest()
    suffix = f"-{kind}-{base64.b32encode(digest).decode().lower()[:_HASH_CHARACTERS]}"
    prefix = schedule.name[: _CRONJOB_NAME_MAX - len(suffix)].replace(".", "-").rstrip("-")
    return prefix + suffix


def labels(schedule: UserSchedule, kind: Kind) -> dict[str, str]:
    """Return the labels that CronJobs, Jobs and pods carry."""
    return {
        LABEL_JOB: kind.name,
        LABEL_USER_SCHEDULE: schedule.name,
        "app.kubernetes.io/name": APP,
        "app.kubernetes.io/component": kind.name,
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
    }


def has_operator_labels(labels: Mapping[str, str]) -> bool:
    """Whether an object's labels say that this operator applied it."""
    return (
        labels.get("app.kubernetes.io/managed-by") == FIELD_MANAGER
        and LABEL_JOB in labels
        and LABEL_USER_SCHEDULE in labels
    )


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits that change when the JSON-serialisable value does."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]
