"""Observers of the operator's own watches: SchedulePools, CronJobs for drift, Jobs for results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from catchup_operator.manifests.by_hand import is_spent
from catchup_operator.manifests.names import Key, key_of
from catchup_operator.reconcile.reconciler import Reconciler
from catchup_operator.state.deletion import is_deleted
from catchup_operator.state.drift import DriftDetector
from catchup_operator.state.ownership import may_be_abandoned
from catchup_operator.state.waiting_jobs import WaitingJobs
from catchup_operator.status.results import FinishedJob
from catchup_operator.status.waiting import WaitingJob


class CronJobObserver:
    """Feeds the CronJobs of a namespace (None: of all) to the drift detector.

    Calls `on_spent` with the key and the uid of a CronJob of a request by hand that is to be deleted, and
    `on_abandoned` with the key of one whose resource may be gone.
    """

    def __init__(
        self,
        drift: DriftDetector,
        namespace: str | None,
        on_spent: Callable[[Key, str], None],
        on_abandoned: Callable[[Key], None],
        now: Callable[[], datetime],
    ) -> None:
        self._drift = drift
        self._on_spent = on_spent
        self._on_abandoned = on_abandoned
        self._now = now
        self._namespace = namespace
        self._listed: set[Key] = set()

    def list_started(self) -> None:
        """Begin a list: what it does not have is gone."""
        self._listed = set()

    def observe(self, item: Mapping[str, Any]) -> None:
        """Take a CronJob of a list or an event."""
        self._listed.add(self._drift.observe(item))
        if is_spent(item["metadata"], self._now()):
            self._on_spent(key_of(item), item["metadata"]["uid"])
        if may_be_abandoned(item["metadata"]):
            self._on_abandoned(key_of(item))

    def forget(self, item: Mapping[str, Any]) -> None:
        """Take a CronJob's deletion."""
        self._drift.observe_deletion(key_of(item))

    def list_ended(self) -> None:
        """End the list."""
        self._drift.observe_list(self._namespace, self._listed)
        self._listed = set()


class JobObserver:
    """Calls `on_finished` once for each Job that has ended; knows those that have not started.

    Calls `on_started` for a Job of which a status says why it waits, when a pod of it has started or it is gone.
    """

    def __init__(
        self, on_finished: Callable[[FinishedJob], None], waiting: WaitingJobs, on_started: Callable[[WaitingJob], None]
    ) -> None:
        self._on_finished = on_finished
        self._waiting = waiting
        self._on_started = on_started
        self._reported: set[str] = set()
        self._listed: set[str] = set()

    def list_started(self) -> None:
        """Begin a list: what it does not have is gone."""
        self._listed = set()

    def observe(self, item: Mapping[str, Any]) -> None:
        """Take a Job of a list or an event."""
        uid = item["metadata"]["uid"]
        self._listed.add(uid)
        if (started := self._waiting.observe(item)) is not None:
            self._on_started(started)
        if uid not in self._reported and (finished := FinishedJob.from_object(item)) is not None:
            self._reported.add(uid)
            self._on_finished(finished)

    def forget(self, item: Mapping[str, Any]) -> None:
        """Take a Job's deletion."""
        self._reported.discard(item["metadata"]["uid"])
        if (gone := self._waiting.forget(item)) is not None:
            self._on_started(gone)

    def list_ended(self) -> None:
        """End the list."""
        self._reported &= self._listed
        self._waiting.keep(self._listed)
        self._listed = set()


class OwnerObserver:
    """Feeds resources of a namespace (None: of all) to their reconciliation: those that are few, without kopf.

    `enqueue` reads and reconciles one; `on_listed` is called when all are known.
    """

    def __init__(self, reconciler: Reconciler, enqueue: Callable[[Key], None], on_listed: Callable[[], None]) -> None:
        self._reconciler = reconciler
        self._enqueue = enqueue
        self._on_listed = on_listed
        self._known: dict[Key, Mapping[str, Any]] = {}
        self._listed: set[Key] = set()

    def list_started(self) -> None:
        """Forget which items the last list had."""
        self._listed = set()

    def observe(self, item: Mapping[str, Any]) -> None:
        """Remember an item of a list or an event, and enqueue it."""
        key = key_of(item)
        self._known[key] = {"metadata": {"namespace": key[0], "name": key[1], "uid": item["metadata"]["uid"]}}
        self._listed.add(key)
        if self._reconciler.needs_event("MODIFIED", item):
            self._reconciler.observe(item)
        if self._reconciler.must_end(item) or not (is_deleted(item) or self._reconciler.is_up_to_date(item)):
            self._enqueue(key)

    def forget(self, item: Mapping[str, Any]) -> None:
        """Forget an item that is deleted."""
        self._known.pop(key_of(item), None)
        self._reconciler.forget(item)

    def list_ended(self) -> None:
        """Forget the items that the list did not have."""
        for key in self._known.keys() - self._listed:
            self.forget(self._known[key])
        self._listed = set()
        self._on_listed()
