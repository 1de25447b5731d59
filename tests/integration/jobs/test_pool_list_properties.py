"""Whatever lists of UserSchedules pods have had, the newest complete one makes the members what they are to be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from integration.jobs.pool_world import POOL, PoolWorld, schedule
from sqlalchemy import delete, select

from catchup_contract.pools import Members
from catchup_contract.schedule_list import INDEX_FILE, ListedSchedule, decode, encode
from catchup_jobs.adapters.database.pools.apply_list import apply_list
from catchup_jobs.adapters.database.pools.ticks import note_tick
from catchup_jobs.adapters.database.schema import pool_lists, pool_members, users

USERS = ("ada", "bob", "cy", "dee")
PARTS = 4
# Two pools of UserSchedules, and one of the database.
POOLS = {POOL: Members.USER_SCHEDULES, "others": Members.USER_SCHEDULES, "enrolled": Members.DATABASE}

_user = st.sampled_from(USERS)
_edit = st.tuples(
    st.just("edit"),
    _user,
    st.sampled_from(["people", "others", "dedicated", "suspend", "conflict", "stay ends", "delete", "recreate"]),
)
_import = st.tuples(st.just("import"), _user, st.sampled_from(["enrolled", None]))
# How old the index is that a pod finds, and each part, in edits.
_pod = st.tuples(
    st.just("pod"),
    st.sampled_from(sorted(POOLS)),
    st.tuples(st.integers(0, 2), *(st.integers(0, 3) for _ in range(PARTS))),
)
OLD = (1,) * PARTS

# After the newest list was applied whole: its index, and parts of any age.
_late_pod = st.tuples(st.sampled_from(sorted(POOLS)), st.tuples(*(st.integers(0, 3) for _ in range(PARTS))))
_complete = st.tuples(st.just("complete"), st.sampled_from(sorted(POOLS)), st.integers(0, 2))


@dataclass
class Operator:
    """The UserSchedules, and each list that the operator has written of them."""

    known: dict[str, ListedSchedule] = field(default_factory=dict)
    made: int = 0
    lists: list[dict[str, bytes]] = field(default_factory=list)

    def write(self) -> None:
        self.lists.append(encode(self.known.values(), PARTS, order=len(self.lists) + 1))

    def edit(self, user_id: str, what: str) -> None:
        before = self.known.get(user_id)
        if what == "delete":
            self.known.pop(user_id, None)
        elif before is None or what == "recreate":
            self.made += 1
            self.known[user_id] = schedule(user_id, uid=f"uid-{self.made}", pool="others" if what == "others" else POOL)
        elif what in {"conflict", "stay ends"}:
            # By what others are, without an edit of this one.
            changed = {"is_served": not before.is_served} if what == "conflict" else {"pool": ""}
            self.known[user_id] = replace(before, **changed)
        else:
            pool = {"people": POOL, "others": "others", "dedicated": "", "suspend": before.pool}[what]
            is_served = what != "suspend"
            self.known[user_id] = replace(before, pool=pool, is_served=is_served, generation=before.generation + 1)
        self.write()

    def found(self, index_age: int, *part_ages: int) -> dict[str, bytes]:
        """Return the files as a pod finds them, each of its own age."""
        of_part = [self._aged(age) for age in part_ages]
        parts = {
            name: files[name] for files, name in zip(of_part, sorted(self.lists[0].keys() - {INDEX_FILE}), strict=True)
        }
        return {INDEX_FILE: self._aged(index_age)[INDEX_FILE], **parts}

    def _aged(self, age: int) -> dict[str, bytes]:
        return self.lists[max(0, len(self.lists) - 1 - age)]


def apply_files(pool: PoolWorld, name: str, files: dict[str, bytes]) -> None:
    note_tick(pool.database, name, now=pool.now)
    apply_list(pool.database, name, decode(files), where=POOLS[name], now=pool.now)


def members(pool: PoolWorld) -> dict[str, tuple[str, str | None]]:
    """Return the pool of each member, and the UserSchedule by which they are one."""
    with pool.database.read() as connection:
        rows = connection.execute(select(pool_members).where(~pool_members.c.leaving)).all()
    return {row.user_id: (row.pool, row.uid) for row in rows}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    steps=st.lists(st.one_of(_edit, _edit, _pod, _pod, _complete, _import), min_size=3, max_size=20),
    late_pods=st.lists(_late_pod, min_size=1, max_size=4),
)
@example(
    steps=[("edit", "ada", "people"), ("complete", "people", 0), ("edit", "ada", "delete")], late_pods=[(POOL, OLD)]
)
def test_the_newest_complete_list_says_who_is_a_member_whatever_pods_have_read_before(
    pool: PoolWorld, steps: list[tuple[str, str, object]], late_pods: list[tuple[str, tuple[int, ...]]]
) -> None:
    with pool.database.write() as connection:
        connection.execute(delete(users))
        connection.execute(delete(pool_lists))
    pool.enrol(*USERS, pool=None)
    operator, enrolled = Operator(), set[str]()
    operator.write()
    for name in POOLS:
        apply_files(pool, name, operator.lists[0])

    for what, whom, how in steps:
        if what == "edit":
            operator.edit(whom, str(how))
        elif what == "import":
            pool.enrol(whom, pool=None if how is None else str(how))
            (enrolled.discard if how is None else enrolled.add)(whom)
        elif what == "complete":
            assert isinstance(how, int)
            apply_files(pool, whom, operator.found(how, *([how] * PARTS)))
        else:
            assert isinstance(how, tuple)
            apply_files(pool, whom, operator.found(*how))
    _apply_newest(pool, operator)
    for name, part_ages in late_pods:
        apply_files(pool, name, operator.found(0, *part_ages))
    _apply_newest(pool, operator)

    by_resource = {
        user_id: (one.pool, one.uid) for user_id, one in operator.known.items() if one.is_served and one.pool
    }
    by_enrolment = {user_id: ("enrolled", None) for user_id in enrolled if user_id not in operator.known}
    assert members(pool) == {**by_enrolment, **by_resource}


def _apply_newest(pool: PoolWorld, operator: Operator) -> None:
    """Let all pools apply the newest list; twice, since one may wait for another to drop its members."""
    for name in [*POOLS, *POOLS]:
        apply_files(pool, name, operator.lists[-1])
