"""The UserSchedule as the operator sees it, read from a body that may predate the schema's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

from catchup_contract.api import (
    DEFAULT_DIGEST_DAY,
    DEFAULT_DIGEST_TIME,
    DEFAULT_SYNC_EVERY,
    DEFAULT_TIME_ZONE,
    DIGEST_DAYS,
    SYNC_INTERVALS_MINUTES,
    TIME_OF_DAY_PATTERN,
    USER_ID_PATTERN,
)

_USER_ID: Final = re.compile(USER_ID_PATTERN)
_TIME: Final = re.compile(TIME_OF_DAY_PATTERN)
_PRIORITIES: Final = ("low", "normal", "high")


class InvalidSpecError(ValueError):
    """The spec breaks a rule of the schema; the message says which field and what is allowed."""


@dataclass(frozen=True, slots=True)
class UserSchedule:
    """One user's schedule.

    Attributes:
        sync_every: the time between two syncs, a key of `catchup_contract.api.SYNC_INTERVALS_MINUTES`.
        digest_day: an English day name or `Daily`.
        digest_time: local time of day, HH:MM.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    user_id: str
    time_zone: str
    sync_enabled: bool
    sync_every: str
    digest_enabled: bool
    digest_day: str
    digest_time: str
    priority: str
    suspend: bool

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> UserSchedule:
        """Read the object as the API server stores it.

        The schema refuses bad values at `kubectl apply`; they are checked again because an object may have been
        written before the schema had the rule, and because these values end up in the arguments of a pod.

        Raises:
            InvalidSpecError: naming the first field that breaks a rule.
        """
        metadata = body["metadata"]
        spec = _mapping(body, "spec")
        sync = _mapping(spec, "calendarSync")
        digest = _mapping(spec, "digest")
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata["generation"],
            user_id=_matching(spec, "userId", _USER_ID, "lower-case letters, digits and dashes, at most 63 characters"),
            time_zone=_time_zone(spec),
            sync_enabled=_boolean(sync, "enabled", default=True),
            sync_every=_one_of(sync, "every", tuple(SYNC_INTERVALS_MINUTES), DEFAULT_SYNC_EVERY),
            digest_enabled=_boolean(digest, "enabled", default=True),
            digest_day=_one_of(digest, "day", DIGEST_DAYS, DEFAULT_DIGEST_DAY),
            digest_time=_matching(digest, "time", _TIME, "HH:MM", DEFAULT_DIGEST_TIME),
            priority=_one_of(spec, "priority", _PRIORITIES, "normal"),
            suspend=_boolean(spec, "suspend", default=False),
        )


def _mapping(parent: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = parent.get(field) or {}
    if not isinstance(value, Mapping):
        raise InvalidSpecError(f"{field} must be an object")
    return value


def _boolean(parent: Mapping[str, Any], field: str, *, default: bool) -> bool:
    value = parent.get(field, default)
    if not isinstance(value, bool):
        raise InvalidSpecError(f"{field} must be true or false")
    return value


def _matching(
    parent: Mapping[str, Any], field: str, pattern: re.Pattern[str], allowed: str, default: str | None = None
) -> str:
    value = parent.get(field, default)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidSpecError(f"{field} must be {allowed}")
    return value


def _one_of(parent: Mapping[str, Any], field: str, allowed: tuple[str, ...], default: str) -> str:
    value = parent.get(field, default)
    if value not in allowed:
        raise InvalidSpecError(f"{field} must be one of {', '.join(allowed)}")
    return str(value)


def _time_zone(spec: Mapping[str, Any]) -> str:
    value = spec.get("timeZone", DEFAULT_TIME_ZONE)
    if not isinstance(value, str) or value not in _zones():
        raise InvalidSpecError(
            "timeZone must be an IANA time zone such as Europe/Berlin, and one that this operator's database has"
        )
    return value


@cache
def _zones() -> frozenset[str]:
    # Reads the whole database (25 ms). Some systems keep names there that are no zones of a user.
    return frozenset(available_timezones() - {"Factory", "localtime", "posixrules"})
