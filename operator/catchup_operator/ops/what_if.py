"""What would change if all users and pools had other settings: bodies changed before a forecast is made. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.kinds import SYNC, user_kinds
from catchup_contract.pools import POOL_NAME_PATTERN, SHARDS_MAX, TICKS_MINUTES, Members

_SYNC: Final = user_kinds()[SYNC].spec_section
_SETTINGS: Final[Mapping[str, tuple[str, Callable[[str], bool]]]] = {
    "every": (", ".join(SYNC_INTERVALS_MINUTES), SYNC_INTERVALS_MINUTES.__contains__),
    "pool": (
        "the name of a SchedulePool, or nothing for CronJobs of their own",
        lambda value: re.fullmatch(f"({POOL_NAME_PATTERN})?", value) is not None,
    ),
    "tick": (", ".join(TICKS_MINUTES), TICKS_MINUTES.__contains__),
    "shards": (f"1 to {SHARDS_MAX}", lambda value: value.isdecimal() and 1 <= int(value) <= SHARDS_MAX),
    "members": ("a number of users of each pool of the database", str.isdecimal),
}


class InvalidChangeError(ValueError):
    """A change that is none; the message says what there is."""


def parse(changes: Iterable[str]) -> dict[str, str]:
    """Return settings by name from `every=15m` and the like; of one name the last counts.

    Raises:
        InvalidChangeError: the name or its value is not known.
    """
    found = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in _SETTINGS:
            raise InvalidChangeError(f"{change}: write NAME=VALUE with one of {', '.join(_SETTINGS)}")
        allowed, is_allowed = _SETTINGS[name]
        if not is_allowed(value):
            raise InvalidChangeError(f"{change}: {name} is {allowed}")
        found[name] = value
    return found


def schedules(bodies: Iterable[Mapping[str, Any]], changes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return UserSchedules as they would be: with another interval (`every`), or in another pool (`pool`)."""
    changed = []
    for body in bodies:
        spec = dict(body.get("spec") or {})
        if "every" in changes:
            spec[_SYNC] = {**(spec.get(_SYNC) or {}), "every": changes["every"]}
        if "pool" in changes:
            spec["pool"] = changes["pool"]
        changed.append({**body, "spec": spec})
    return changed


def pools(
    bodies: Iterable[Mapping[str, Any]], changes: Mapping[str, str], *, namespaces: Iterable[str]
) -> list[dict[str, Any]]:
    """Return SchedulePools as they would be, and with `pool` one of that name in each namespace that has none.

    Args:
        bodies: the SchedulePools.
        changes: `every`, `tick` and `shards` of all pools; `members` of those of the database.
        namespaces: those that have UserSchedules.
    """
    found = [dict(body) for body in bodies]
    there = {(body["metadata"]["namespace"], body["metadata"]["name"]) for body in found}
    if name := changes.get("pool"):
        found += [_pool(namespace, name) for namespace in sorted(set(namespaces)) if (namespace, name) not in there]
    return [_changed(body, changes) for body in found]


def _changed(body: Mapping[str, Any], changes: Mapping[str, str]) -> dict[str, Any]:
    spec, status = dict(body.get("spec") or {}), dict(body.get("status") or {})
    for kind, work in user_kinds().items():
        section = dict(spec.get(work.spec_section) or {})
        if "tick" in changes:
            section["tick"] = changes["tick"]
        if "shards" in changes:
            section["shards"] = int(changes["shards"])
        if "every" in changes and kind is SYNC:
            section["every"] = changes["every"]
        spec[work.spec_section] = section
    if "members" in changes:
        status["members"] = int(changes["members"])
    return {**body, "spec": spec, "status": status}


def _pool(namespace: str, name: str) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "uid": "", "generation": 1}
    return {"metadata": metadata, "spec": {"members": Members.USER_SCHEDULES.value}}
