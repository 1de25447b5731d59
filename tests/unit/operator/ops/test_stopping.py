from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from catchup_operator.kube.client import KubeClient
from catchup_operator.ops import stopping
from catchup_operator.ops.stopping import Operator, StillRunningError, stop_operator

LABELS = {"app.kubernetes.io/component": "operator"}


class World:
    """A cluster whose operator's pod ends, and renews its Lease, at times of a clock that sleeping moves."""

    def __init__(self, *, ends_at: float | None, renews: float | None = None, phase: str = "Running") -> None:
        self.at = 0.0
        self.deployment: dict[str, Any] | None = {"spec": {"selector": {"matchLabels": LABELS}}}
        self.asked: list[str] = []
        self._ends_at = float("inf") if ends_at is None else ends_at
        self._renews = renews
        self._phase = phase

    async def sleep(self, seconds: float) -> None:
        self.at += seconds

    async def get(self, *_: str) -> dict[str, Any] | None:
        return self.deployment

    async def delete(self, *_: str) -> None:
        self.deployment = None

    async def list_items(self, _resource: str, namespace: str, *, selector: str) -> AsyncIterator[dict[str, Any]]:
        assert self.deployment is None  # else a pod would be made again
        self.asked.append(selector)
        if self.at < self._ends_at:
            yield {
                "metadata": {"namespace": namespace, "name": "operator-x"},
                "spec": {"nodeName": "node-3"},
                "status": {"phase": self._phase},
            }

    async def leases(self) -> dict[str, object]:
        return {"people": {"renewTime": self._renews and self.at // self._renews}}


async def stop(world: World, monkeypatch: pytest.MonkeyPatch, pods: str = "") -> list[str]:
    monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: world.at))
    monkeypatch.setattr(stopping, "asyncio", SimpleNamespace(sleep=world.sleep))
    return await stop_operator(cast(KubeClient, world), Operator("home", "operator", pods), world.leases)


async def test_it_waits_until_the_pods_that_the_deployment_names_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(ends_at=12)
    assert await stop(world, monkeypatch) == []
    assert 12 <= world.at < 14
    assert set(world.asked) == {"app.kubernetes.io/component=operator"}


async def test_done_again_without_a_deployment_it_still_waits_for_the_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(ends_at=12)
    world.deployment = None
    assert await stop(world, monkeypatch, pods="a=b") == []
    assert (world.at >= 12, set(world.asked)) == (True, {"a=b"})


async def test_a_pod_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(ends_at=None, phase="Failed")  # evicted
    assert await stop(world, monkeypatch) == []
    assert world.at == 0


async def test_a_pod_on_a_dead_node_is_left_and_named_once_its_leases_have_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(ends_at=None)
    (note,) = await stop(world, monkeypatch)
    assert 180 <= world.at < 190
    assert "pod home/operator-x on node node-3 has not ended" in note
    assert "kubectl delete pod --force -n home operator-x" in note


async def test_a_pod_that_goes_on_renewing_its_lease_ends_the_wait_and_is_named_with_its_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(ends_at=None, renews=60)
    with pytest.raises(StillRunningError, match="pod home/operator-x on node node-3: the operator still runs"):
        await stop(world, monkeypatch)
    assert 60 <= world.at < 130


async def test_a_renewal_within_the_grace_period_is_no_sign_of_an_operator_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(ends_at=90, renews=1000)
    world.at = 990  # renewed ten seconds later
    world._ends_at = 990 + 90
    assert await stop(world, monkeypatch) == []
