"""What statuses of members are to say follows from the last page, whatever was told or missed before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.kinds import DIGEST, SYNC
from catchup_contract.outcomes import Reason
from catchup_contract.trouble import page_of
from catchup_operator.manifests.names import Key
from catchup_operator.state.member_troubles import MemberTroubles
from catchup_operator.state.reported_conditions import ReportedConditions

MEMBERS: dict[Key, str] = {("people", f"u{number}"): f"uid-{number}" for number in range(6)}
states = st.dictionaries(st.sampled_from(sorted(MEMBERS)), st.sampled_from([Reason.RECONNECT, Reason.CRASHED]))


class World:
    """An API server with the conditions of the members, and an operator that may restart."""

    def __init__(self) -> None:
        self.told: dict[Key, Reason] = {}
        self.writes = 0
        self.start()

    def start(self) -> None:
        self.reported = ReportedConditions()
        self.troubles = MemberTroubles(self.reported)
        for key in MEMBERS:
            self.report(key)

    def report(self, key: Key) -> None:
        reason = self.told.get(key)
        condition = {
            "type": "SyncHealthy",
            "status": "False" if reason else "Unknown",
            "reason": reason.camel_case if reason else "Pooled",
        }
        metadata = {"namespace": key[0], "name": key[1]}
        self.reported.observe({"metadata": metadata, "spec": {"pool": "p"}, "status": {"conditions": [condition]}})

    def tick(self, failing: dict[Key, Reason], turn: int = 0, pages: int = 1) -> None:
        known = [(MEMBERS[key], reason) for key, reason in failing.items()]
        self.troubles.compare(SYNC, page_of(known, 1000, turn=turn, pages_max=pages), MEMBERS)

    def write(self) -> None:
        while self.troubles.waiting:
            key = self.troubles.take()
            wanted = self.troubles.wanted(key)
            if (reason := wanted.get(SYNC)) is not None:
                self.told[key] = reason
            elif SYNC in wanted:
                self.told.pop(key, None)
            self.writes += bool(wanted)
            self.report(key)
            self.troubles.note_written(key, wanted)


@given(st.lists(st.tuples(states, st.booleans(), st.booleans())), states)
def test_after_a_whole_round_each_status_says_what_the_database_says(
    history: list[tuple[dict[Key, Reason], bool, bool]], last: dict[Key, Reason]
) -> None:
    world = World()
    for failing, restarts, writes in history:
        world.tick(failing)
        if writes:
            world.write()
        if restarts:
            world.start()
    world.tick(last)
    world.write()
    assert world.told == last
    before = world.writes
    world.tick(last)
    assert (world.troubles.waiting, world.writes) == (0, before)


def test_what_has_changed_before_it_was_written_is_written_as_it_is_then_and_a_kind_at_a_time() -> None:
    world = World()
    ada = ("people", "u0")
    world.tick({ada: Reason.RECONNECT})
    world.troubles.compare(DIGEST, page_of([(MEMBERS[ada], Reason.NO_CHANNEL)], 1000), MEMBERS)
    assert world.troubles.take() == ada
    wanted = world.troubles.wanted(ada)
    assert wanted == {SYNC: Reason.RECONNECT, DIGEST: Reason.NO_CHANNEL}
    world.tick({ada: Reason.CRASHED})  # while that is being written
    world.troubles.note_written(ada, wanted)
    assert world.troubles.wanted(ada) == {SYNC: Reason.CRASHED}
    world.tick({})  # before the watch has told of the write
    assert world.troubles.wanted(ada) == {}
