"""What the operator remembers between visits: which CronJobs there should be, and which ones were seen.

Pure bookkeeping, fed by the reconciliation (what we left) and by a metadata-only watch (what is there). A difference
is drift: somebody deleted or edited a CronJob, or it was lost. `metadata.generation` counts changes of the spec, so the
specs themselves are never compared or kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from catchup_operator.manifests.names import labels_are_ours

Key = tuple[str, str]
"""(namespace, CronJob name)"""


@dataclass(slots=True, frozen=True)
class Expected:
    """A CronJob as the operator left it, and the UserSchedule that it belongs to."""

    schedule: str
    owner_uid: str
    uid: str
    generation: int


@dataclass(slots=True, frozen=True)
class Seen:
    """A CronJob as the watch shows it."""

    uid: str
    generation: int
    owner_uid: str | None
    labelled: bool

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> Seen:
        """Read an object's metadata."""
        metadata = item["metadata"]
        owners = metadata.get("ownerReferences") or ()
        return cls(
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            owner_uid=next((owner["uid"] for owner in owners if owner.get("controller")), None),
            labelled=labels_are_ours(metadata.get("labels") or {}),
        )


class Ledger:
    """Expected and seen CronJobs; tells where they differ."""

    def __init__(self) -> None:
        self._expected: dict[Key, Expected] = {}
        self._seen: dict[Key, Seen] = {}
        self._listed: set[str | None] = set()
        self._on_drift: Callable[[Key, str], None] = _nobody_is_told

    def report_to(self, on_drift: Callable[[Key, str], None]) -> None:
        """Call `on_drift(cronjob, schedule)` for every CronJob that drifts from now on."""
        self._on_drift = on_drift

    def expect(self, key: Key, expected: Expected, *, applied: bool) -> None:
        """Note how a CronJob was left: just `applied` (the watch may take its time to show it), or long ago."""
        self._expected[key] = expected
        if key in self._seen or not applied:
            self._check(key)

    def go_back(self, key: Key, expected: Expected) -> None:
        """Note that a CronJob should be as it was left before; nobody is told, since whoever failed tries again."""
        self._expected[key] = expected

    def disown(self, key: Key) -> None:
        """Forget a CronJob whose UserSchedule no longer exists."""
        self._expected.pop(key, None)

    def shows(self, key: Key, left: Expected) -> bool:
        """Whether the watch shows a CronJob exactly as it was `left`, and nothing is known of a later change."""
        seen = self._seen.get(key)
        return (
            seen is not None
            and self._expected.get(key, left) == left
            and (seen.uid, seen.generation, seen.owner_uid) == (left.uid, left.generation, left.owner_uid)
            and seen.labelled
        )

    def owner_uid(self, key: Key) -> str | None:
        """Return the uid of the UserSchedule that a CronJob was made for."""
        expected = self._expected.get(key)
        return expected.owner_uid if expected else None

    def see(self, item: Mapping[str, Any]) -> Key:
        """Note a CronJob that exists; return its key."""
        key = key_of(item)
        self._seen[key] = Seen.from_object(item)
        self._check(key)
        return key

    def lose(self, key: Key) -> None:
        """Note that a CronJob was deleted."""
        self._seen.pop(key, None)
        self._check(key)

    def listed(self, namespace: str | None, keys: set[Key]) -> None:
        """Note that exactly these CronJobs exist in the namespace (None: in the cluster)."""
        self._listed.add(namespace)
        for key in self._in(namespace, self._seen) - keys:
            del self._seen[key]
        for key in self._in(namespace, self._expected):
            self._check(key)

    def drifted(self, key: Key) -> bool:
        """Whether the CronJob is not as the operator left it. A view older than our last write is no drift."""
        expected = self._expected.get(key)
        if expected is None or self._listed.isdisjoint((None, key[0])):
            return False
        seen = self._seen.get(key)
        return (
            seen is None
            or seen.uid != expected.uid
            or seen.generation > expected.generation
            or seen.owner_uid != expected.owner_uid
            or not seen.labelled
        )

    def _check(self, key: Key) -> None:
        if self.drifted(key):
            self._on_drift(key, self._expected[key].schedule)

    @staticmethod
    def _in(namespace: str | None, keys: Mapping[Key, Any]) -> set[Key]:
        return {key for key in keys if namespace in {None, key[0]}}


def key_of(item: Mapping[str, Any]) -> Key:
    """Return (namespace, name) of an object."""
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _nobody_is_told(cronjob: Key, schedule: str) -> None:
    """Before anybody asked for reports."""
