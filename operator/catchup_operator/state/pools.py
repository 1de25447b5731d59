"""The SchedulePools that UserSchedules may name, and which UserSchedules their pods know by the list."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from catchup_contract.kinds import Kind
from catchup_contract.trouble import TroublePage
from catchup_operator.manifests.names import Key


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What UserSchedules must know of a pool.

    Attributes:
        admits: whether they may name it.
        off: why kinds are switched off (`PoolSuspended`, `PoolDisabled`).
    """

    admits: bool
    off: Mapping[Kind, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoolSubscriber:
    """Who follows pools.

    Attributes:
        changed: called with a pool that appears, goes, or admits other members.
        switched: called with one that switches kinds on or off.
        trouble: called with a page of the members who are in trouble with a kind.
        listed: called with a namespace, and the uids of UserSchedules of which its pods cannot be told since the list
            is refused, or by now are.
    """

    changed: Callable[[Key], None] = lambda _: None
    switched: Callable[[Key], None] = lambda _: None
    trouble: Callable[[Key, Kind, TroublePage], None] = lambda *_: None
    listed: Callable[[str, Collection[str]], None] = lambda *_: None


_GONE = PoolFacts(admits=False)


class Pools:
    """Tracks the pools of the served namespaces and reports what concerns their members."""

    def __init__(self) -> None:
        self._known: dict[Key, PoolFacts] = {}
        self._listed: set[str | None] = set()
        self._on_list: dict[str, Mapping[str, int]] = {}
        self._stored: dict[str, Mapping[str, int]] = {}
        self._with_list: set[Key] = set()
        self._refused: dict[str, str] = {}
        self._concerned: dict[str, set[str]] = {}
        self._subscriber = PoolSubscriber()

    def subscribe(self, subscriber: PoolSubscriber) -> None:
        """Tell `subscriber` of everything from now on."""
        self._subscriber = subscriber

    def note(self, pool: Key, facts: PoolFacts) -> None:
        """Record a pool that exists."""
        before = self._known.get(pool)
        self._known[pool] = facts
        if before is None or before.admits is not facts.admits:
            self._subscriber.changed(pool)
        elif before.off != facts.off:
            self._subscriber.switched(pool)

    def note_trouble(self, pool: Key, kind: Kind, page: TroublePage) -> None:
        """Record what a tick says of the members in trouble."""
        self._subscriber.trouble(pool, kind, page)

    def forget(self, pool: Key) -> None:
        """Record that a pool is gone."""
        self._with_list.discard(pool)
        if self._known.pop(pool, None) is not None:
            self._subscriber.changed(pool)

    def note_listed(self, namespace: str | None) -> None:
        """Record that all pools of a namespace (None: of all) are known."""
        self._listed.add(namespace)

    def namespaces(self) -> set[str]:
        """Return the namespaces that have a pool."""
        return {namespace for namespace, _ in self._known}

    def facts(self, pool: Key) -> PoolFacts | None:
        """Return what is known of a pool, of one that does not exist as well; None while that is not known."""
        if self._listed.isdisjoint((None, pool[0])):
            return None
        return self._known.get(pool, _GONE)

    def admits(self, pool: Key) -> bool | None:
        """Whether a pool exists and UserSchedules may name it; None while that is not known."""
        facts = self.facts(pool)
        return None if facts is None else facts.admits

    def names_in(self, namespace: str) -> list[str]:
        """Return the names of the pools of a namespace."""
        return [name for home, name in self._known if home == namespace]

    def note_list(self, namespace: str, members: Mapping[str, int], pools: Collection[str] = ()) -> None:
        """Record the list that the pods of a namespace read.

        Args:
            members: of each member of a pool that is there the uid and the generation.
            pools: the names of the pools that were there when the list was made.
        """
        self._refused.pop(namespace, None)
        self._on_list[namespace] = members
        self._with_list |= {(namespace, name) for name in pools}
        if concerned := self._concerned.pop(namespace, None):
            self._subscriber.listed(namespace, concerned)

    def note_stored(self, namespace: str, members: Mapping[str, int]) -> None:
        """Record the list of before the operator's start, by which the pods go on until one is written."""
        self._stored[namespace] = members

    def note_refused(self, namespace: str, why: str, members: Mapping[str, int] = MappingProxyType({})) -> None:
        """Record that the API server refuses the list of a namespace, in its words, and the `members` on that list."""
        self._refused[namespace] = why
        concerned = self._concerned.setdefault(namespace, set())
        news = {uid for uid, generation in members.items() if self.lacks(namespace, uid, generation)} - concerned
        if news:
            concerned |= news
            self._subscriber.listed(namespace, news)

    def note_waiting(self, namespace: str, uid: str) -> None:
        """Record that a UserSchedule waits for the list of its namespace; it is reported when that is written."""
        self._concerned.setdefault(namespace, set()).add(uid)

    def lacks(self, namespace: str, uid: str, generation: int) -> bool:
        """Whether the list cannot be written, and the one that the pods have knows an older UserSchedule or none.

        False where it is not known what the pods have.
        """
        known = self._on_list.get(namespace, self._stored.get(namespace))
        return namespace in self._refused and known is not None and known.get(uid, -1) < generation

    def refused(self, namespace: str) -> str | None:
        """Return why the API server refuses the list of a namespace, or None."""
        return self._refused.get(namespace)

    def is_on_list(self, namespace: str, uid: str, generation: int) -> bool:
        """Whether the pods of a namespace know this generation of a UserSchedule as a member, or a newer one."""
        return self._on_list.get(namespace, {}).get(uid, -1) >= generation

    def has_list(self, pool: Key) -> bool:
        """Whether the list of a pool's namespace was written since the pool appeared."""
        return pool in self._with_list
