"""Conflicts: several UserSchedules that name the same user. The oldest is served, in whatever namespace it is.

Resources that were created in the same second are ordered by uid, so that every start of the operator decides alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from catchup_operator.manifests.names import Key, key_of


@dataclass(slots=True, frozen=True, order=True)
class ScheduleRef:
    """A UserSchedule, ordered by its age: the smallest is the oldest."""

    created: str
    uid: str
    key: Key

    def __str__(self) -> str:
        """Return `namespace/name`."""
        return "/".join(self.key)


class Conflicts:
    """The UserSchedules of each user. Reports those whose conflict began or ended through an event of another one."""

    def __init__(self) -> None:
        self._by_user: dict[str, tuple[ScheduleRef, ...]] = {}
        self._user_of: dict[Key, str] = {}
        self._on_change: Callable[[Key], None] | None = None

    def subscribe(self, on_change: Callable[[Key], None]) -> None:
        """Call `on_change(key)` for every UserSchedule that gains or loses its user from now on."""
        self._on_change = on_change

    def add(self, body: Mapping[str, Any]) -> ScheduleRef:
        """Record that a UserSchedule exists; return the reference to it."""
        metadata = body["metadata"]
        key, user = key_of(body), _user_of(body)
        ref = ScheduleRef(metadata.get("creationTimestamp", ""), metadata["uid"], key)
        before = self._by_user.get(user, ())
        if ref in before:
            return ref
        if key in self._user_of:  # it was recreated, and the deletion was not observed
            self.remove(key)
            before = self._by_user.get(user, ())
        self._user_of[key] = user
        self._by_user[user] = tuple(sorted((*before, ref)))
        if before and ref < before[0]:
            self._report(before[0].key)
        return ref

    def remove(self, key: Key, uid: str | None = None) -> None:
        """Record that a UserSchedule is gone; with a uid, only if it is the one that is recorded."""
        user = self._user_of.get(key)
        if user is None:
            return
        before = self._by_user[user]
        after = tuple(ref for ref in before if ref.key != key or uid not in {None, ref.uid})
        if after == before:
            return
        del self._user_of[key]
        if not after:
            del self._by_user[user]
            return
        self._by_user[user] = after
        if after[0] != before[0]:
            self._report(after[0].key)

    def older_than(self, ref: ScheduleRef) -> ScheduleRef | None:
        """Return the oldest UserSchedule of the same user, or None if it is this one."""
        oldest = self._by_user[self._user_of[ref.key]][0]
        return None if oldest == ref else oldest

    def not_served(self) -> list[Key]:
        """Return the UserSchedules whose user an older one serves."""
        return [ref.key for refs in self._by_user.values() for ref in refs[1:]]

    def _report(self, key: Key) -> None:
        if self._on_change is not None:
            self._on_change(key)


def _user_of(body: Mapping[str, Any]) -> str:
    spec = body.get("spec")
    user = spec.get("userId") if isinstance(spec, Mapping) else None
    # Without a user there is no conflict: the key is unique.
    return user if isinstance(user, str) else f"?{body['metadata']['uid']}"
