"""The CronJobs of a UserSchedule on the cluster: applied, taken back, or left alone; and the ledger told of each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

from catchup_contract.api import LABEL_JOB, LABEL_USER_SCHEDULE
from catchup_contract.kinds import Job
from catchup_operator.kube.client import Cluster
from catchup_operator.kube.resources import CRONJOBS
from catchup_operator.kube.transport import ApiError
from catchup_operator.manifests.names import fingerprint, labels_are_ours
from catchup_operator.state.drift import Expected, Key, Ledger, key_of
from catchup_operator.status import patches as status

_CONFLICT: Final = 409

logger = logging.getLogger(__name__)


class CronJobs:
    """Makes CronJobs as their manifests say."""

    def __init__(self, cluster: Cluster, ledger: Ledger) -> None:
        self._cluster = cluster
        self._ledger = ledger

    async def make_so(self, body: Mapping[str, Any], manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a CronJob of the UserSchedule `body` as its manifest says; return what the status is to say of it.

        Writes nothing where this very manifest was applied before and the watch shows the CronJob untouched since.

        Raises:
            ApiError: as the API server answers; 422 also where somebody else has a CronJob of that name.
        """
        wanted = fingerprint(manifest)
        known = (body.get("status") or {}).get(job_of(manifest).value) or {}
        if known.get("fingerprint") == wanted and self._ledger.shows(key_of(manifest), _expected(body, known)):
            left = {name: known[name] for name in status.LEFT}
        else:
            applied = await self._apply(body["metadata"], manifest)
            left = status.left(manifest, wanted, applied["metadata"])
        self._ledger.expect(key_of(manifest), _expected(body, left), applied=True)
        return left

    def remember(self, body: Mapping[str, Any]) -> None:
        """Tell the ledger of the CronJobs that the status of a UserSchedule names."""
        for key, expected in _named(body):
            self._ledger.expect(key, expected, applied=False)

    def untold(self, body: Mapping[str, Any]) -> None:
        """Tell the ledger that the status could not be written: until it is, what it names is what there should be.

        A repair would else be over with the CronJob, and its status name the one that is gone.
        """
        for key, expected in _named(body):
            self._ledger.go_back(key, expected)

    async def _apply(self, owner: Mapping[str, Any], manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Apply without force; where somebody else holds a field, take it back only if the CronJob is ours."""
        try:
            return await self._cluster.apply(CRONJOBS, manifest)
        except ApiError as error:
            if error.status != _CONFLICT:
                raise
        name = manifest["metadata"]["name"]
        found = await self._cluster.get(CRONJOBS, owner["namespace"], name)
        if found is not None and not _is_ours(found["metadata"], owner):
            raise ApiError(422, f"a CronJob {name} exists and is not ours; delete or rename it")
        logger.info("%s/%s: taking back CronJob %s, which was edited", owner["namespace"], owner["name"], name)
        return await self._cluster.apply(CRONJOBS, manifest, force=True)


def job_of(manifest: Mapping[str, Any]) -> Job:
    """Return the kind of job that a CronJob of ours starts."""
    return Job(manifest["metadata"]["labels"][LABEL_JOB])


def _named(body: Mapping[str, Any]) -> Iterator[tuple[Key, Expected]]:
    """Yield the CronJobs that the status of a UserSchedule names, as it was told that they were left."""
    for job in Job:
        known = (body.get("status") or {}).get(job.value) or {}
        if "cronJobName" in known:
            yield (body["metadata"]["namespace"], known["cronJobName"]), _expected(body, known)


def _expected(body: Mapping[str, Any], left: Mapping[str, Any]) -> Expected:
    metadata = body["metadata"]
    return Expected(metadata["name"], metadata["uid"], left.get("cronJobUID", ""), left.get("cronJobGeneration", 0))


def _is_ours(metadata: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    owners = metadata.get("ownerReferences") or ()
    return any(each["uid"] == owner["uid"] for each in owners) or (
        labels_are_ours(metadata.get("labels") or {}) and metadata["labels"][LABEL_USER_SCHEDULE] == owner["name"]
    )
