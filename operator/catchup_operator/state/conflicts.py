"""Conflicts: several UserSchedules that name one user, or several SchedulePools of one name. The oldest is served, in
whatever namespace it is (`precedence`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catchup_operator.manifests.names import Key, key_of


def precedence(created: str, uid: str) -> tuple[str, str]:
    """Return what decides which of several resources serves: the one with the smallest, which is the oldest.

    Those of one second are ordered by uid, so that every start of the operator decides alike.

    Args:
        created: when the resource was created (RFC 3339, UTC).
        uid: its uid.
    """
    return created, uid


@dataclass(slots=True, frozen=True)
class OwnerRef:
    """A resource that may have to leave its user, or its pool's name, to another one."""

    created: str
    uid: str
    key: Key

    @property
    def precedence(self) -> tuple[str, str]:
        """The smallest of several resources serves."""
        return precedence(self.created, self.uid)

    def __str__(self) -> str:
        """Return `namespace/name`."""
        return "/".join(self.key)


class Conflicts:
    """The resources of each user, or of each pool's name: of what `subject_of` says that only one may serve.

    Reports those whose conflict began, ended or names another one through an event of another one.
    """

    def __init__(self, subject_of: Callable[[Mapping[str, Any]], str]) -> None:
        self._subject_of = subject_of
        self._by_subject: dict[str, tuple[OwnerRef, ...]] = {}
        self._subject: dict[Key, str] = {}
        self._on_change: Callable[[Key], None] | None = None

    def subscribe(self, on_change: Callable[[Key], None]) -> None:
        """Call `on_change(key)` for every resource that gains or loses what it serves from now on."""
        self._on_change = on_change

    def add(self, body: Mapping[str, Any]) -> OwnerRef:
        """Record that a resource exists; return the reference to it."""
        metadata = body["metadata"]
        key, subject = key_of(body), self._subject_of(body)
        ref = OwnerRef(metadata.get("creationTimestamp", ""), metadata["uid"], key)
        before = self._by_subject.get(subject, ())
        if ref in before:
            return ref
        if key in self._subject:  # it was recreated, and the deletion was not observed
            self.remove(key)
            before = self._by_subject.get(subject, ())
        self._subject[key] = subject
        self._by_subject[subject] = after = tuple(sorted((*before, ref), key=lambda each: each.precedence))
        if before and after[0] is ref:
            self._report(before)
        return ref

    def remove(self, key: Key, uid: str | None = None) -> None:
        """Record that a resource is gone; with a uid, only if it is the one that is recorded."""
        subject = self._subject.get(key)
        if subject is None:
            return
        before = self._by_subject[subject]
        after = tuple(ref for ref in before if ref.key != key or uid not in {None, ref.uid})
        if after == before:
            return
        del self._subject[key]
        if not after:
            del self._by_subject[subject]
            return
        self._by_subject[subject] = after
        if after[0] != before[0]:
            self._report(after)

    def keys_in(self, namespace: str) -> list[Key]:
        """Return the resources of a namespace."""
        return [key for key in self._subject if key[0] == namespace]

    def older_than(self, ref: OwnerRef) -> OwnerRef | None:
        """Return the oldest resource of the same subject, or None if it is this one."""
        oldest = self._by_subject[self._subject[ref.key]][0]
        return None if oldest == ref else oldest

    def not_served(self) -> list[Key]:
        """Return the resources in whose place an older one serves."""
        return [ref.key for refs in self._by_subject.values() for ref in refs[1:]]

    def _report(self, refs: Sequence[OwnerRef]) -> None:
        """Report resources of which another one is served now: also who goes on waiting names that one."""
        if self._on_change is not None:
            for ref in refs:
                self._on_change(ref.key)


def user_of(schedule: Mapping[str, Any]) -> str:
    """Return the user of a UserSchedule."""
    spec = schedule.get("spec")
    user = spec.get("userId") if isinstance(spec, Mapping) else None
    # Without a user there is no conflict: the key is unique.
    return user if isinstance(user, str) else f"?{schedule['metadata']['uid']}"


def name_of(pool: Mapping[str, Any]) -> str:
    """Return the name of a SchedulePool, which is the pool's name in the database."""
    return str(pool["metadata"]["name"])
