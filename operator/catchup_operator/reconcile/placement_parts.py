"""The parts of the operator that serve the resources of one placement, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from catchup_operator.job_template import JobTemplate
from catchup_operator.kube.client import KubeClient
from catchup_operator.manifests.names import Key, Owner
from catchup_operator.reconcile.job_status import JobStatusUpdater
from catchup_operator.reconcile.placements import PLACEMENTS, Placement
from catchup_operator.reconcile.reconciler import Reconciler
from catchup_operator.reconcile.rollout import Rollout
from catchup_operator.reconcile.served_namespaces import ServedNamespaces
from catchup_operator.reconcile.status_writer import StatusWriter
from catchup_operator.state import State
from catchup_operator.state.conflicts import Conflicts
from catchup_operator.state.drift import DriftDetector
from catchup_operator.state.pools import Pools

OwnerRollout = Rollout[tuple[Owner, Key]]


@dataclass(frozen=True, slots=True)
class PlacementParts:
    """What serves the resources of one placement."""

    placement: Placement
    state: State
    reconciler: Reconciler
    job_status: JobStatusUpdater
    writer: StatusWriter


def placement_parts(
    client: KubeClient,
    template: JobTemplate,
    *,
    drift: DriftDetector,
    pools: Pools,
    rollout: OwnerRollout,
    served: ServedNamespaces,
    now: Callable[[], datetime],
) -> dict[Owner, PlacementParts]:
    """Return the parts of each placement, by the kind of its owners. All share `drift`, `pools` and the rollout."""
    made = {}
    for make in PLACEMENTS:
        placement = make(template, pools)
        state = State(Conflicts(placement.subject_of), drift, statuses=placement.statuses())
        writer = StatusWriter(client, placement.owner, served, now)
        made[placement.owner] = PlacementParts(
            placement,
            state,
            Reconciler(
                client,
                placement,
                state=state,
                rollout=rollout,
                served=served,
                writer=writer,
                now=now,
            ),
            JobStatusUpdater(
                client,
                placement,
                required_objects=template.required_objects,
                statuses=state.statuses,
                writer=writer,
                now=now,
            ),
            writer,
        )
    return made
