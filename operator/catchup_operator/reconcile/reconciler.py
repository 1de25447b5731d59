"""Reconciliation of one resource: apply its CronJobs as the spec wants them, and write its status."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.manifests.names import Key, Owner, key_of
from catchup_operator.reconcile.cronjobs import CronJobApplier
from catchup_operator.reconcile.placements import Placement
from catchup_operator.reconcile.refusals import Refusals, RefusedError
from catchup_operator.reconcile.rollout import Rollout
from catchup_operator.reconcile.served_namespaces import ServedNamespaces
from catchup_operator.reconcile.status_writer import StatusWriter
from catchup_operator.reconcile.work_queue import RetryAfterError
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.state import State
from catchup_operator.state.conflicts import OwnerRef
from catchup_operator.state.deletion import held_by, is_deleted, leaves_work
from catchup_operator.status import patches, ready
from catchup_operator.status.conditions import READY, find_condition
from catchup_operator.status.validation import with_valid_status

logger = logging.getLogger(__name__)


class Reconciler:
    """Reconciles the resources of one placement, each at most once at a time."""

    def __init__(
        self,
        client: KubeClient,
        placement: Placement,
        *,
        state: State,
        rollout: Rollout[tuple[Owner, Key]],
        served: ServedNamespaces,
        writer: StatusWriter,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._placement = placement
        self._owner = placement.owner
        self._cronjobs = CronJobApplier(client, self._owner, state.drift, state.contests)
        self._state = state
        self._rollout = rollout
        self._served_namespaces = served
        self._writer = writer
        self._refusals = Refusals(now)
        self._now = now

    def is_up_to_date(self, body: Mapping[str, Any]) -> bool:
        """Whether a resource that a watch reports needs no reconciliation; if so, remember what its status names.

        Sends no request. Most resources are up to date, at a restart and after the operator's own writes. One of which
        only the job template is another waits for the rollout.
        """
        if self._state.statuses.is_written(body):
            return True
        body = with_valid_status(body)
        self._state.statuses.note(body, self._now())
        ref = self._state.conflicts.add(body)
        if self._state.conflicts.older_than(ref) is not None:
            return False
        if self._placement.must_act(body, self._now()):
            return False
        if not self._placement.is_current(body, self._placement.template_hash(body)):
            applied_hash = (body.get("status") or {}).get("templateHash")
            if not applied_hash or not self._placement.is_current(body, applied_hash):
                return False
            self._rollout.add((self._owner, key_of(body)))
        self._remember(body)
        return True

    async def reconcile(self, body: Mapping[str, Any]) -> None:
        """Reconcile a resource that kopf reports and that is not up to date.

        Raises:
            RetryAfterError: the API server refuses a CronJob; the status says so.
            ApiError: for everything that a retry may solve.
        """
        stored, body = body, with_valid_status(body)
        if await self._is_reconciled(body, self._placement.template_hash(body)):
            self._remember(body)
            return
        applied_hash = (body.get("status") or {}).get("templateHash")
        if applied_hash and await self._is_reconciled(body, applied_hash):
            self._remember(body)
            self._rollout.add((self._owner, key_of(body)))
            return
        async with self._writer.lock(key_of(body)):
            await self._reconcile(stored, first=True)

    async def repair(self, key: Key, cronjob: Key) -> bool:
        """Read and reconcile a resource of which a CronJob drifted; whether that CronJob had to be restored.

        Not where another pod of this release has applied it, while both run.

        Raises:
            RetryAfterError: the API server refuses a CronJob; the status says so.
            ApiError: for everything that a retry may solve.
        """
        async with self._writer.lock(key):
            body = await self._client.get(self._owner.plural, *key)
            owner_uid = None if body is None or is_deleted(body) else body["metadata"]["uid"]
            if body is None or owner_uid != self._state.drift.owner_uid(cronjob):
                self._state.drift.forget(cronjob)  # the garbage collector deletes it with its owner
                return False
            valid = with_valid_status(body)
            if not self._cronjobs.is_in_status(valid, cronjob):
                self._state.drift.forget(cronjob)  # not of this resource any more, or its status is still to be written
                return False
            if self._cronjobs.is_as_in_status(valid, cronjob):
                return False
            is_known = patches.is_observed(valid, self._placement.template_hash(valid))
            was_as_expected = self._state.drift.was_as_expected(cronjob)
            await self._reconcile(body)
            if not is_known or was_as_expected():
                return False
            logger.info("%s/%s: CronJob %s was changed or deleted; restored it", *key, cronjob[1])
            return True

    async def reconcile_key(self, key: Key) -> None:
        """Read and reconcile a resource: for a retry, a conflict or a rollout.

        Raises:
            RetryAfterError: the API server refuses a CronJob; the status says so.
            ApiError: for everything that a retry may solve.
        """
        async with self._writer.lock(key):
            body = await self._client.get(self._owner.plural, *key)
            if body is None:
                self._state.reported.forget(key)
            elif is_deleted(body):
                await self._end(body)
            elif not await self._is_reconciled(with_valid_status(body), self._placement.template_hash(body)):
                await self._reconcile(body)

    def to_try_again(self, at: float) -> list[Key]:
        """Return the resources whose CronJobs are to be applied again `at` (seconds of a monotonic clock); once."""
        return self._refusals.due(at)

    def forget(self, body: Mapping[str, Any]) -> None:
        """Forget a resource that was deleted; a younger one takes over."""
        self._forget(key_of(body), body["metadata"]["uid"])

    def forget_namespace(self, namespace: str) -> None:
        """Forget the resources of a namespace that is gone: the events of their deletion may have been refused."""
        for key in self._state.conflicts.keys_in(namespace):
            self._forget(key, None)

    def _forget(self, key: Key, uid: str | None) -> None:
        self._refusals.end(key)
        self._state.conflicts.remove(key, uid)
        self._state.statuses.forget(key)
        self._state.reported.forget(key)

    def needs_event(self, event_type: str | None, body: Mapping[str, Any]) -> bool:
        """Whether `forget` or `observe` must be called for an event of the watch, which costs a handler of kopf."""
        if event_type == "DELETED":
            return True
        self._state.reported.observe(with_valid_status(body))
        return self.must_act(body) or self._state.statuses.is_unobserved(key_of(body))

    def observe(self, body: Mapping[str, Any]) -> None:
        """Record a resource as the watch reports it."""
        self._state.statuses.observe(with_valid_status(body))

    def must_act(self, body: Mapping[str, Any]) -> bool:
        """Whether there is something to do of which no change of the spec tells."""
        return self.must_end(body) or self._placement.must_act(with_valid_status(body), self._now())

    def must_end(self, body: Mapping[str, Any]) -> bool:
        """Whether a resource is deleted and held by a finalizer, and its status does not say so yet."""
        if not leaves_work(body):
            return False
        status, generation = with_valid_status(body).get("status") or {}, body["metadata"]["generation"]
        if self._refusals.is_known(key_of(body)) and status.get("observedGeneration") == generation:
            return False  # a retry is on its way; the deletion is a generation of its own
        return find_condition(status, READY).get("reason") != ready.TERMINATING

    async def _end(self, stored: Mapping[str, Any]) -> None:
        # Kubernetes deletes the CronJobs once their owner is gone. Until then they would go on starting Jobs.
        if not leaves_work(stored):
            return
        body = with_valid_status(stored)
        try:
            with self._refusals.reported(body, partial(ready.not_suspended, held_by(stored))):
                await self._cronjobs.suspend(body)
        except RefusedError as error:  # they go on, so that a younger one does not serve yet
            await self._writer.write(stored, error.patch)
            raise
        self._refusals.end(key_of(body))
        self._state.conflicts.remove(key_of(body), body["metadata"]["uid"])
        await self._writer.write(stored, patches.not_ready(body, ready.terminating(held_by(stored)), now=self._now()))

    async def _is_reconciled(self, body: Mapping[str, Any], applied_hash: str) -> bool:
        older = await self._older(body)
        if older is not None:
            return patches.is_known_conflict(body, applied_hash, older)
        return self._placement.is_current(body, applied_hash) and not self._placement.must_act(body, self._now())

    async def _older(self, body: Mapping[str, Any]) -> OwnerRef | None:
        """Return the older resource that serves instead, after a check that it exists, or None."""
        conflicts = self._state.conflicts
        ref = conflicts.add(body)
        named = (body.get("status") or {}).get("conflictsWith")
        if named and conflicts.older_than(ref) is None:
            # At the operator's start kopf may not have reported the older one yet.
            older = await self._served(tuple(named.split("/", 1)))
            if older is not None and not is_deleted(older):
                conflicts.add(older)
        while (oldest := conflicts.older_than(ref)) is not None:
            current = await self._served(oldest.key)
            if current is not None and current["metadata"]["uid"] == oldest.uid:
                return oldest
            conflicts.remove(oldest.key, oldest.uid)
        return None

    async def _served(self, key: Key) -> dict[str, Any] | None:
        """Return a resource of a served namespace: elsewhere nobody reconciles it, and it cannot even be read."""
        return await self._client.get(self._owner.plural, *key) if self._served_namespaces.serves(key[0]) else None

    async def _reconcile(self, stored: Mapping[str, Any], *, first: bool = False) -> None:
        body = with_valid_status(stored)
        # Where the apply is refused, the CronJobs of before go on, and so does the watch over their runs.
        self._state.statuses.note_due(key_of(body), body.get("status") or {})
        try:
            patch = await self._apply(body)
        except RefusedError as error:
            await self._writer.write(stored, error.patch, announce_rejected=first)
            raise
        if not patch:
            return
        self._state.statuses.write_started(body)
        try:
            await self._writer.write(stored, patch, announce_rejected=first)
        except (ApiError, RetryAfterError):
            self._state.statuses.write_failed(key_of(body))
            self._cronjobs.expect_status_again(body)
            raise
        reason = find_condition(patch, READY)["reason"]
        logger.info("%s/%s: generation %d: %s", *key_of(body), body["metadata"]["generation"], reason)

    async def _apply(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Apply the CronJobs; return the status patch. Raises RefusedError, ApiError."""
        now = self._now()
        older = await self._older(body)
        try:
            desired = self._placement.desired(body, older=older, now=now)
        except InvalidSpecError as error:
            return patches.not_ready(body, ready.invalid_spec(error), now=now)
        if older is not None:
            logger.info("%s/%s: not served, since %s is older", *key_of(body), older)
        with self._refusals.reported(body, ready.not_deleted):
            await self._cronjobs.delete(body, keep=desired.manifests)
        with self._refusals.reported(body, ready.refused, off=desired.off):
            applied = {
                kind: await self._cronjobs.apply(body, kind, manifest) for kind, manifest in desired.manifests.items()
            }
            for manifest in desired.once:
                await self._cronjobs.create_once(manifest)
        mutated = [(each.fields["cronJobName"], each.replaced) for each in applied.values() if each.replaced]
        if mutated:
            self._refusals.put_off(key_of(body))
        else:
            self._refusals.end(key_of(body))
        keys = [key_of(manifest) for manifest in desired.manifests.values()]
        changes = ((key, self._state.contests.contested_by(key)) for key in keys)
        held = ((key, self._state.drift.held_by(key)) for key in keys)
        patch = desired.patch(
            {kind: each.fields for kind, each in applied.items()},
            mutated=next(iter(mutated), None),
            contested=next(((key[1], change) for key, change in changes if change), None),
            terminating=next(((key[1], finalizers) for key, finalizers in held if finalizers), None),
        )
        self._state.statuses.note_next_runs(key_of(body), patch or body.get("status") or {})
        return patch

    def _remember(self, body: Mapping[str, Any]) -> None:
        self._state.statuses.note_next_runs(key_of(body), body["status"])
        self._cronjobs.expect_status(body)
