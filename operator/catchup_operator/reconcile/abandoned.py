"""CronJobs that are left of a resource which is gone, and that the garbage collector keeps for another owner's sake.

Somebody made a CronJob of ours the dependent of an object of their own while no operator ran, and the UserSchedule or
SchedulePool went meanwhile. An operator that sees such an owner takes it off, so that the CronJob goes with its
resource. One that comes too late deletes the CronJob, which ends the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import CRONJOBS, EVENTS
from catchup_operator.manifests.names import Key, Owner, owner_of
from catchup_operator.reconcile.served_namespaces import ServedNamespaces
from catchup_operator.state.ownership import (
    cronjob_names,
    has_applied,
    may_be_abandoned,
    names_of_owners,
    possible_resources,
)
from catchup_operator.status.events import cronjob_event

_DELETED: Final = "CronJobDeleted"

logger = logging.getLogger(__name__)


class AbandonedCronJobs:
    """Deletes those CronJobs."""

    def __init__(self, client: KubeClient, served: ServedNamespaces, now: Callable[[], datetime]) -> None:
        self._client = client
        self._served = served
        self._now = now

    async def delete(self, cronjob: Key) -> None:
        """Delete a CronJob if its resource is gone, and say so. Raises ApiError, NotHeldError, GoneError."""
        await self._served.require(cronjob[0])
        found = await self._client.get(CRONJOBS, *cronjob)
        metadata = {} if found is None else found["metadata"]
        labelled = owner_of(metadata.get("labels") or {})
        # A copy that somebody made has the labels, but not the operator's apply.
        if labelled is None or not may_be_abandoned(metadata) or not has_applied(metadata):
            return
        if await self._is_wanted(metadata):
            return
        try:
            await self._client.delete(CRONJOBS, *cronjob, uid=metadata["uid"])
        except ApiError as error:
            if not error.is_of_another:
                raise
            return
        await self._tell(metadata, *labelled)

    async def _is_wanted(self, metadata: Mapping[str, Any]) -> bool:
        """Whether the resource is there whose CronJob this is by its name: labels and owners may have been edited.

        Raises:
            ApiError: also where the definition is missing.
        """
        for owner, name in possible_resources(metadata):
            async for item in self._client.list_items(
                owner.plural, metadata["namespace"], fields=f"metadata.name={name}"
            ):
                if metadata["name"] in cronjob_names(owner, item["metadata"]):
                    return True
        return False

    async def _tell(self, metadata: Mapping[str, Any], owner: Owner, name: str) -> None:
        others = ", ".join(names_of_owners(metadata))
        message = (
            f"the {owner.kind} {name} that it was made for is gone, and it went on for the sake of its owners: {others}"
        )
        logger.warning("%s/%s: %s; deleted it", metadata["namespace"], metadata["name"], message)
        try:
            await self._client.create(EVENTS, cronjob_event(metadata, _DELETED, message, self._now()))
        except ApiError as error:
            logger.warning("%s/%s: cannot post an Event: %s", metadata["namespace"], metadata["name"], error)
