"""Names, labels, keys and fingerprints of objects. They must be the same in every reconciliation."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from catchup_contract.api import KIND, LABEL_JOB, LABEL_USER_SCHEDULE, PLURAL
from catchup_contract.kinds import Kind
from catchup_contract.pools import LABEL_POOL, POOL_KIND, POOL_PLURAL
from catchup_operator.schedule.user_schedule import UserSchedule

FIELD_MANAGER: Final = "catchup-operator"
APP: Final = "catchup-jobs"
_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
SELECTOR: Final = f"{_MANAGED_BY}={FIELD_MANAGER},{LABEL_JOB}"
"""The label selector of the CronJobs that the operator applies, and of their Jobs."""

LABEL_BY_HAND: Final = "catchup.dev/by-hand"
"""The label of the CronJob of a request by hand, and of its Job."""
_CRONJOB_NAME_MAX: Final = 52
_HASH_CHARACTERS: Final = 10

Key = tuple[str, str]
"""(namespace, name) of an object."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A kind of custom resource that owns CronJobs.

    Attributes:
        kind, plural: as in the API.
        label: the label of CronJobs, Jobs and pods whose value is the name of the resource.
    """

    kind: str
    plural: str
    label: str


USER_SCHEDULE: Final = Owner(KIND, PLURAL, LABEL_USER_SCHEDULE)
SCHEDULE_POOL: Final = Owner(POOL_KIND, POOL_PLURAL, LABEL_POOL)
OWNERS: Final = (USER_SCHEDULE, SCHEDULE_POOL)


def key_of(item: Mapping[str, Any]) -> Key:
    """Return the key of an object."""
    return item["metadata"]["namespace"], item["metadata"]["name"]


def owner_of(labels: Mapping[str, str]) -> tuple[Owner, str] | None:
    """Return the kind and the name of the resource whose CronJob, Job or pod has these labels; None for others'."""
    return next(((owner, labels[owner.label]) for owner in OWNERS if owner.label in labels), None)


def cronjob_name(schedule: UserSchedule, kind: Kind) -> str:
    """Return `<UserSchedule>-<kind>-<hash>`, at most 52 characters."""
    return schedule_cronjob_name(schedule.namespace, schedule.name, schedule.uid, kind)


def schedule_cronjob_name(namespace: str, name: str, uid: str, kind: Kind) -> str:
    """Return the name of a CronJob of the UserSchedule with this metadata."""
    return hashed_name(name, kind.name, namespace, uid, kind.name)


def hashed_name(prefix: str, suffix: str, *parts: str) -> str:
    """Return `<prefix>-<suffix>-<hash of the parts>`, at most 52 characters (the limit of the CronJob controller).

    The hash keeps long, similar and recreated names apart.
    """
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    ending = f"-{suffix}-{base64.b32encode(digest).decode().lower()[:_HASH_CHARACTERS]}"
    return prefix[: _CRONJOB_NAME_MAX - len(ending)].replace(".", "-").rstrip("-") + ending


def pool_cronjob_name(pool: str, kind: Kind) -> str:
    """Return `<pool>-pool-<kind>`, at most 52 characters by the pattern of pools' names."""
    return f"{pool}-pool-{kind}"


def labels(owner: Owner, name: str, kind: Kind) -> dict[str, str]:
    """Return the labels that CronJobs, Jobs and pods of the resource `name` carry."""
    return {
        LABEL_JOB: kind.name,
        owner.label: name,
        "app.kubernetes.io/name": APP,
        "app.kubernetes.io/component": kind.name,
        _MANAGED_BY: FIELD_MANAGER,
    }


def has_operator_labels(labels: Mapping[str, str]) -> bool:
    """Whether an object's labels say that this operator applied it."""
    return labels.get(_MANAGED_BY) == FIELD_MANAGER and LABEL_JOB in labels and owner_of(labels) is not None


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits that change when the JSON-serialisable value does."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]
