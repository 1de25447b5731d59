"""Applies the CronJobs of a resource and records what the drift detector is to expect."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from catchup_contract.kinds import Kind, user_kinds
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import CRONJOBS
from catchup_operator.manifests.names import Key, Owner, fingerprint, has_operator_labels, key_of, owner_of
from catchup_operator.state.contests import Contests
from catchup_operator.state.deletion import held_by
from catchup_operator.state.drift import DriftDetector, ExpectedCronJob
from catchup_operator.state.ownership import change, other_managers, other_owners, taken_over
from catchup_operator.state.replaced import replaced, summary
from catchup_operator.status.job_section import cronjob_fields, section_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Applied:
    """A CronJob after its apply.

    Attributes:
        fields: for its section of the status.
        replaced: what the server does not keep as it was applied, for people; empty where it keeps all.
    """

    fields: dict[str, Any]
    replaced: str = ""


class CronJobApplier:
    """Brings CronJobs to the state of their manifests."""

    def __init__(self, client: KubeClient, owner: Owner, drift: DriftDetector, contests: Contests) -> None:
        self._client = client
        self._owner = owner
        self._drift = drift
        self._contests = contests

    async def apply(self, body: Mapping[str, Any], kind: Kind, manifest: Mapping[str, Any]) -> Applied:
        """Apply the CronJob of a kind of the resource `body`.

        Writes nothing where the status has the fingerprint of this manifest and the CronJob is observed unchanged. One
        that the server has not kept as it was applied has no fingerprint in the status, and is applied again.

        Raises:
            ApiError: as the API server answers; 422 also where a CronJob of that name belongs to somebody else.
        """
        wanted = fingerprint(manifest)
        before = section_of(body, kind)
        if before.get("fingerprint") == wanted and self._drift.is_unchanged(
            key_of(manifest), self._expected(body, before)
        ):
            # Only the uid and the generation are of the status: what somebody wrote into the rest does not stay.
            stored = {
                "name": key_of(manifest)[1],
                "uid": before["cronJobUID"],
                "generation": before["cronJobGeneration"],
            }
            fields = cronjob_fields(manifest, wanted, stored)
            self._drift.expect(key_of(manifest), self._expected(body, fields), just_applied=True)
            return Applied(fields)
        found = await self._apply(body["metadata"], manifest, uid=before.get("cronJobUID"))
        # One that is being deleted was only read.
        others = [] if held_by(found) or "spec" not in found else replaced(manifest, found)
        fields = cronjob_fields(manifest, None if others else wanted, found["metadata"])
        is_unmarked = any(other.is_mark for other in others)
        expected = replace(self._expected(body, fields), held_by=held_by(found), is_unmarked=is_unmarked)
        self._drift.expect(key_of(manifest), expected, just_applied=True)
        return Applied(fields, summary(others))

    async def create_once(self, manifest: Mapping[str, Any]) -> None:
        """Create a CronJob of a request by hand, unless it was made before. Raises ApiError."""
        try:
            await self._client.create(CRONJOBS, manifest)
        except ApiError as error:
            if not error.already_exists:
                raise

    def expect_status(self, body: Mapping[str, Any]) -> None:
        """Expect the CronJobs that the status of a resource names."""
        for key, expected in self._in_status(body):
            self._drift.expect(key, expected, just_applied=False)

    def expect_status_again(self, body: Mapping[str, Any]) -> None:
        """Expect what the status names again, after a newer status could not be written.

        Otherwise a repair would recreate the CronJob but leave the old uid in the status.
        """
        for key, expected in self._in_status(body):
            self._drift.expect_again(key, expected)

    def is_in_status(self, body: Mapping[str, Any], cronjob: Key) -> bool:
        """Whether the status of a resource names a CronJob."""
        return any(key == cronjob for key, _ in self._in_status(body))

    def is_as_in_status(self, body: Mapping[str, Any], cronjob: Key) -> bool:
        """Whether a CronJob is observed as the status of a resource names it; if so, expect it."""
        return any(key == cronjob and self._drift.adopt(key, expected) for key, expected in self._in_status(body))

    async def suspend(self, body: Mapping[str, Any]) -> None:
        """Suspend the CronJobs that the status of a resource names, where they are still there.

        Raises:
            ApiError: one could not be suspended; all others were tried.
        """
        failed: ApiError | None = None
        for key, expected in self._in_status(body):
            self._drift.forget(key)
            try:
                patch = {"metadata": {"uid": expected.uid}, "spec": {"suspend": True}}
                if not (await self._client.merge(CRONJOBS, *key, patch))["spec"]["suspend"]:
                    failed = ApiError(422, f"a mutating admission policy or webhook lets CronJob {key[1]} go on")
            except ApiError as error:
                if not error.is_of_another:
                    failed = error
        if failed is not None:
            raise failed

    async def delete(self, body: Mapping[str, Any], *, keep: Collection[Kind]) -> None:
        """Delete the CronJobs that the status of a resource names, but those of the kinds to keep. Raises ApiError.

        Their Jobs go with them: a pod that runs is told to end, and whoever serves the user next goes on.
        """
        for kind in user_kinds():
            section = section_of(body, kind)
            if kind in keep or "cronJobName" not in section:
                continue
            key = (body["metadata"]["namespace"], section["cronJobName"])
            self._drift.forget(key)
            try:
                await self._client.delete(CRONJOBS, *key, uid=section.get("cronJobUID"))
            except ApiError as error:
                if not error.is_of_another:
                    raise

    async def _apply(
        self, owner: Mapping[str, Any], manifest: Mapping[str, Any], *, uid: str | None
    ) -> Mapping[str, Any]:
        """Apply without force. Where somebody else set fields of the spec, take it over and apply with force.

        A CronJob is taken over only if it belongs to the owner, or has the uid that the owner's status names. One that
        is being deleted is left alone: its controller starts nothing for it, and it is made again when it is gone.
        """
        key = key_of(manifest)
        if self._drift.is_deleted(key):
            self._contests.note_change(key, "somebody deletes it")
        found = await self._read(manifest) if self._drift.is_edited(key) else None
        if found is None:
            try:
                found = await self._client.apply(CRONJOBS, manifest)
            except ApiError as error:
                if not error.is_outrun:
                    raise
                found = await self._read(manifest)
            else:
                if not other_managers(found["metadata"]):
                    return found
        name = manifest["metadata"]["name"]
        if found is not None:
            metadata = found["metadata"]
            if held_by(found):
                return found
            self._contests.note_change(key, change(metadata, owner["uid"]))
            if metadata["uid"] != uid and not self._belongs_to(metadata, owner):
                raise ApiError(422, f"a CronJob {name} exists and is not ours; delete or rename it")
            if editors := ", ".join(other_managers(metadata)):
                logger.info(
                    "%s/%s: %s edited CronJob %s; taking over", owner["namespace"], owner["name"], editors, name
                )
            await self._take_over(manifest, metadata)
        applied = await self._client.apply(CRONJOBS, manifest, force=True)
        if other_managers(applied["metadata"]):  # a record that was stripped: the server has made one of all fields
            await self._take_over(manifest, applied["metadata"])
            applied = await self._client.apply(CRONJOBS, manifest, force=True)
        return applied

    async def _read(self, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return await self._client.get(CRONJOBS, *key_of(manifest))

    async def _take_over(self, manifest: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        changes: dict[str, Any] = {}
        if (record := taken_over(metadata)) is not None:
            changes["managedFields"] = record
        wanted = manifest["metadata"]["ownerReferences"]
        if other_owners(metadata, wanted[0]["uid"]):
            changes["ownerReferences"] = wanted  # an apply would leave those of other managers
        if changes:
            patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], **changes}}
            await self._client.merge(CRONJOBS, *key_of(manifest), patch)

    def _in_status(self, body: Mapping[str, Any]) -> Iterator[tuple[Key, ExpectedCronJob]]:
        """Yield the CronJobs that the status of a resource names."""
        for kind in user_kinds():
            section = section_of(body, kind)
            if "cronJobName" in section:
                yield (body["metadata"]["namespace"], section["cronJobName"]), self._expected(body, section)

    def _expected(self, body: Mapping[str, Any], section: Mapping[str, Any]) -> ExpectedCronJob:
        return ExpectedCronJob(
            owner=self._owner,
            owner_name=body["metadata"]["name"],
            owner_uid=body["metadata"]["uid"],
            uid=section.get("cronJobUID", ""),
            generation=section.get("cronJobGeneration", 0),
        )

    def _belongs_to(self, metadata: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
        owners, labels = metadata.get("ownerReferences") or (), metadata.get("labels") or {}
        return any(reference["uid"] == owner["uid"] for reference in owners) or (
            has_operator_labels(labels) and owner_of(labels) == (self._owner, owner["name"])
        )
