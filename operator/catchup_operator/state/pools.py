"""The SchedulePools that UserSchedules may name, and what their pods have been told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from catchup_operator.manifests.names import Key


class Pools:
    """Tracks the pools of the served namespaces; reports each that appears, goes, or admits other members."""

    def __init__(self) -> None:
        self._admits: dict[Key, bool] = {}
        self._listed: set[str | None] = set()
        self._told: dict[str, Mapping[str, int]] = {}
        self._on_change: Callable[[Key], None] | None = None

    def subscribe(self, on_change: Callable[[Key], None]) -> None:
        """Call `on_change(pool)` for every change from now on."""
        self._on_change = on_change

    def note(self, pool: Key, *, admits: bool) -> None:
        """Record a pool that exists, and whether UserSchedules may name it."""
        if self._admits.get(pool) is not admits:
            self._admits[pool] = admits
            self._report(pool)

    def forget(self, pool: Key) -> None:
        """Record that a pool is gone."""
        if self._admits.pop(pool, None) is not None:
            self._report(pool)

    def note_listed(self, namespace: str | None) -> None:
        """Record that all pools of a namespace (None: of all) are known."""
        self._listed.add(namespace)

    def namespaces(self) -> set[str]:
        """Return the namespaces that have a pool."""
        return {namespace for namespace, _ in self._admits}

    def admits(self, pool: Key) -> bool | None:
        """Whether a pool exists and UserSchedules may name it; None while that is not known."""
        if self._listed.isdisjoint((None, pool[0])):
            return None
        return self._admits.get(pool, False)

    def note_told(self, namespace: str, members: Mapping[str, int]) -> None:
        """Record the list that the pods of a namespace read: of each member the uid and the generation."""
        self._told[namespace] = members

    def is_told(self, namespace: str, uid: str, generation: int) -> bool:
        """Whether the pods of a namespace know this generation of a UserSchedule as a member, or a newer one."""
        return self._told.get(namespace, {}).get(uid, -1) >= generation

    def _report(self, pool: Key) -> None:
        if self._on_change is not None:
            self._on_change(pool)
