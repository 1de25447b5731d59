"""Drift: CronJobs that somebody else edited, deleted or recreated.

The reconciliation records the CronJobs that it expects, a metadata-only watch those that it observes. The API server
increments `metadata.generation` with each change of a spec, so that specs are neither compared nor kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from catchup_operator.manifests.names import Key, Owner, has_operator_labels, key_of
from catchup_operator.state.ownership import is_labelled_for


@dataclass(slots=True, frozen=True)
class ExpectedCronJob:
    """A CronJob after the operator's last apply, and the resource that it belongs to."""

    owner: Owner
    owner_name: str
    owner_uid: str
    uid: str
    generation: int
    held_by: tuple[str, ...] = ()
    """The finalizers that hold a CronJob that is being deleted; empty for any other."""
    is_unmarked: bool = False
    """Whether an admission takes its labels or its owner off at each apply: the watch may not tell of it then."""


@dataclass(slots=True, frozen=True)
class _ObservedCronJob:
    """A CronJob as the watch reports it."""

    uid: str
    generation: int
    owner_uid: str | None
    has_other_owners: bool
    has_labels: bool
    is_deleting: bool

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> _ObservedCronJob:
        metadata = item["metadata"]
        owners, labels = metadata.get("ownerReferences") or (), metadata.get("labels") or {}
        controller = next((owner for owner in owners if owner.get("controller")), None)
        return cls(
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            owner_uid=controller["uid"] if controller else None,
            # The garbage collector deletes an object once all of its owners are gone.
            has_other_owners=len(owners) > 1,
            has_labels=has_operator_labels(labels) and (controller is None or is_labelled_for(labels, controller)),
            is_deleting="deletionTimestamp" in metadata,
        )

    def is_as(self, applied: ExpectedCronJob) -> bool:
        """Whether nobody has changed it since it was `applied`."""
        return (
            (self.uid, self.generation, self.owner_uid) == (applied.uid, applied.generation, applied.owner_uid)
            and self.has_labels
            and not self.has_other_owners
            and not self.is_deleting
        )


class DriftDetector:
    """Compares expected and observed CronJobs and reports those that differ."""

    def __init__(self) -> None:
        self._expected: dict[Key, ExpectedCronJob] = {}
        self._observed: dict[Key, _ObservedCronJob] = {}
        self._unrecorded: dict[Key, ExpectedCronJob] = {}
        self._listed: set[str | None] = set()
        self._on_drift: Callable[[Key, ExpectedCronJob], None] | None = None

    def subscribe(self, on_drift: Callable[[Key, ExpectedCronJob], None]) -> None:
        """Call `on_drift(cronjob, what is expected of it)` for every CronJob that drifts from now on."""
        self._on_drift = on_drift

    def expect(self, key: Key, expected: ExpectedCronJob, *, just_applied: bool) -> None:
        """Record the expected state of a CronJob.

        One that was just applied is not drift before the watch has reported it.
        """
        self._expected[key] = expected
        self._unrecorded.pop(key, None)
        if key in self._observed or not just_applied:
            self._check(key)

    def expect_again(self, key: Key, expected: ExpectedCronJob) -> None:
        """Record an earlier expected state without a report, for a caller that retries.

        What was expected until now is the operator's own apply, which no status names yet.
        """
        if key in self._expected:
            self._unrecorded.setdefault(key, self._expected[key])
        self._expected[key] = expected

    def forget(self, key: Key) -> None:
        """Stop expecting a CronJob, since its owner is gone."""
        self._expected.pop(key, None)
        self._unrecorded.pop(key, None)

    def is_unchanged(self, key: Key, applied: ExpectedCronJob) -> bool:
        """Whether a CronJob is observed exactly as it was `applied`, and no later apply is recorded."""
        observed = self._observed.get(key)
        return observed is not None and self._expected.get(key, applied) == applied and observed.is_as(applied)

    def adopt(self, key: Key, applied: ExpectedCronJob) -> bool:
        """Expect a CronJob as another pod of this release has `applied` it, unless it has drifted from that.

        Whether it is expected so. An observation that is older than that apply is no drift.
        """
        before = self._expected.get(key)
        if before is None:
            return False
        self._expected[key] = applied
        if self.has_drifted(key):
            self._expected[key] = before
            return False
        self._unrecorded.pop(key, None)
        return True

    def was_as_expected(self, key: Key) -> Callable[[], bool]:
        """Return a function that says whether a CronJob as it is observed now is, by then, what is expected."""
        observed = self._observed.get(key)

        def is_expected() -> bool:
            expected = self._expected.get(key)
            if expected is None or expected.held_by:
                return True
            return observed is not None and observed.is_as(expected)

        return is_expected

    def owner_uid(self, key: Key) -> str | None:
        """Return the uid of the resource for which a CronJob is expected."""
        expected = self._expected.get(key)
        return expected.owner_uid if expected else None

    def held_by(self, key: Key) -> tuple[str, ...]:
        """Return the finalizers that hold an expected CronJob that is being deleted; empty for any other."""
        expected = self._expected.get(key)
        return expected.held_by if expected else ()

    def observe(self, item: Mapping[str, Any]) -> Key:
        """Record a CronJob that exists; return its key."""
        key = key_of(item)
        self._observed[key] = _ObservedCronJob.from_object(item)
        self._check(key)
        return key

    def observe_deletion(self, key: Key) -> None:
        """Record that a CronJob was deleted."""
        self._observed.pop(key, None)
        self._check(key)

    def observe_list(self, namespace: str | None, keys: set[Key]) -> None:
        """Record that exactly these CronJobs exist in a namespace (None: in the cluster)."""
        self._listed.add(namespace)
        for key in self._in(namespace, self._observed) - keys:
            del self._observed[key]
        for key in self._in(namespace, self._expected):
            self._check(key)

    def has_drifted(self, key: Key) -> bool:
        """Whether the CronJob differs from the expected one. An observation older than the last apply is no drift."""
        expected = self._expected.get(key)
        if expected is None or self._listed.isdisjoint((None, key[0])):
            return False
        observed = self._observed.get(key)
        if expected.is_unmarked:  # a repair would not bring them back
            return observed is not None and observed.generation > expected.generation
        return (
            observed is None
            or observed.uid != expected.uid
            or observed.generation > expected.generation
            or observed.owner_uid != expected.owner_uid
            or observed.has_other_owners
            or not observed.has_labels
            or (observed.is_deleting and not expected.held_by)
        )

    def is_deleted(self, key: Key) -> bool:
        """Whether the CronJob is expected and not there."""
        return key not in self._observed and self.has_drifted(key)

    def is_edited(self, key: Key) -> bool:
        """Whether the CronJob is there and somebody else made it differ from the expected one."""
        observed, own = self._observed.get(key), self._unrecorded.get(key)
        if observed is None or (own and (observed.uid, observed.generation) == (own.uid, own.generation)):
            return False
        return self.has_drifted(key)

    def _check(self, key: Key) -> None:
        if self._on_drift is not None and self.has_drifted(key):
            self._on_drift(key, self._expected[key])

    @staticmethod
    def _in(namespace: str | None, keys: Mapping[Key, Any]) -> set[Key]:
        return {key for key in keys if namespace in {None, key[0]}}
