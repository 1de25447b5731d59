"""The UserSchedules of all served namespaces, as the pods of pools are told of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from catchup_contract.schedule_list import ListedSchedule
from catchup_operator.manifests.names import Key, key_of
from catchup_operator.schedule.listed import KnownSchedule, known_schedule
from catchup_operator.status.job_section import since_of_list
from catchup_operator.status.validation import with_valid_status


class KnownSchedules:
    """Tracks them by key."""

    def __init__(self, digest_spread: int) -> None:
        self._digest_spread = digest_spread
        self._known: dict[Key, KnownSchedule] = {}

    def observe(self, body: Mapping[str, Any]) -> bool:
        """Record a UserSchedule; return whether that changes the list."""
        since = since_of_list(with_valid_status(body))
        known = known_schedule(body, digest_since=since, digest_spread=self._digest_spread)
        before = self._known.get(key_of(body))
        if known is None:
            return self.forget(key_of(body))
        self._known[key_of(body)] = known
        return known != before

    def forget(self, key: Key) -> bool:
        """Record that a UserSchedule is gone; return whether that changes the list."""
        return self._known.pop(key, None) is not None

    def keys_in(self, namespace: str | None) -> set[Key]:
        """Return the keys of those in a namespace (None: in all)."""
        return {key for key in self._known if namespace in {None, key[0]}}

    def listed(self, namespace: str, admits: Callable[[Key], bool | None]) -> list[ListedSchedule]:
        """Return the list for the pods of a namespace.

        Of several UserSchedules of one user the oldest is served, if it is to be, and no other. One that names a pool
        which is not there, or does not `admit` UserSchedules, is not served. Pools of other namespaces are not named:
        those of this one may have the same names.
        """
        oldest: dict[str, KnownSchedule] = {}
        for known in self._known.values():
            if not known.is_ending:
                user = known.listed.user_id
                oldest[user] = min(oldest.get(user, known), known, key=_age)
        found = []
        for (home, _), known in self._known.items():
            listed, pool = known.listed, (home, known.listed.pool)
            is_served = listed.is_served and oldest.get(listed.user_id) is known and (not pool[1] or bool(admits(pool)))
            found.append(replace(listed, is_served=is_served, pool=listed.pool if home == namespace else ""))
        return found


def _age(known: KnownSchedule) -> tuple[str, str]:
    return known.created, known.listed.uid
