from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from unit.operator.factories import body

from catchup_contract.schedule_list import ListedSchedule
from catchup_operator.manifests.names import Key
from catchup_operator.state.known_schedules import STAY_SECONDS, KnownSchedules
from catchup_operator.status.member_status import POOLED_HASH

OLD, NEW = "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"


def listed(
    *bodies: dict[str, Any], spread: int = 0, of: str = "people", pools: tuple[Key, ...] = ()
) -> dict[str, ListedSchedule]:
    known = KnownSchedules(spread)
    for each in bodies:
        known.observe(each)
    return {entry.uid: entry for entry in known.listed(of, lambda pool: pool in pools)}


def test_an_entry_says_when_the_jobs_of_the_user_run_and_since_when() -> None:
    spec = {"timeZone": "Asia/Beirut", "calendarSync": {"every": "2h"}, "digest": {"day": "Friday"}, "priority": "low"}
    found = listed(body(spec, creationTimestamp=OLD, generation=4))["uid-1"]
    assert found == ListedSchedule(
        "ada", "uid-1", 4, "", "Asia/Beirut", "2h", "Friday", "09:00", "low", is_served=True, digest_since=OLD
    )


def test_what_is_disabled_has_no_times() -> None:
    found = listed(body({"calendarSync": {"enabled": False}, "digest": {"enabled": False}}))["uid-1"]
    assert (found.sync_every, found.digest_day, found.digest_time, found.is_served) == ("", "", "", True)


def test_the_time_of_a_digest_is_the_users_own_within_the_operators_spread() -> None:
    assert listed(body(), spread=30)["uid-1"].digest_time not in {"09:00", ""}


@pytest.mark.parametrize(
    "schedule",
    [
        body({"suspend": True}),
        body(deletionTimestamp=NEW, finalizers=["a.example/b"]),
        body({"timeZone": "Nope/Zone"}),
    ],
    ids=["suspended", "being deleted", "invalid"],
)
def test_who_is_not_served_is_listed_all_the_same_so_that_nobody_else_serves_them(schedule: dict[str, Any]) -> None:
    assert listed(schedule)["uid-1"].is_served is False


def test_a_suspension_with_an_end_is_listed_with_it_so_that_the_clock_of_the_pods_ends_it() -> None:
    found = listed(body({"suspension": {"reason": "ops", "until": "2026-12-01T09:00:00+01:00"}}))["uid-1"]
    assert (found.is_served, found.suspended_until) == (True, "2026-12-01T08:00:00Z")


ASKED, ASKED_LATER = "2026-12-01T08:00:00Z", "2026-12-01T08:30:00Z"


def asking(
    *,
    pool: str = "night",
    at: str = ASKED,
    taken: str | None = None,
    spec: dict[str, Any] | None = None,
    pooled: bool = False,
    generation: int = 1,
) -> dict[str, Any]:
    """A UserSchedule with requests of both kinds by hand, taken or not."""
    section = {} if taken is None else {"requestedAt": taken}
    status: dict[str, Any] = {"sync": section, "digest": section}
    if pooled:
        status |= {"templateHash": POOLED_HASH, "pool": pool, "observedGeneration": generation}
    annotations = {f"catchup.dev/{kind}-requested-at": at for kind in ("sync", "digest")}
    return body({"pool": pool, **(spec or {})}, status=status, annotations=annotations, generation=generation)


def requests_of(known: KnownSchedules) -> tuple[str, str]:
    (found,) = known.listed("people", lambda _: True)
    return found.sync_requested_at, found.digest_requested_at


def test_requests_for_runs_by_hand_of_a_pools_member_are_listed_and_what_is_no_time_is_none() -> None:
    annotations = {
        "catchup.dev/sync-requested-at": "2026-12-01T09:00:00+01:00",
        "catchup.dev/digest-requested-at": "now",
    }
    found = listed(body({"pool": "night"}, annotations=annotations))["uid-1"]
    assert (found.sync_requested_at, found.digest_requested_at) == (ASKED, "")
    # The CronJobs of the user's own make it, and the list stays as it is.
    alone = listed(body(annotations=annotations))["uid-1"]
    assert (alone.sync_requested_at, alone.digest_requested_at) == ("", "")


def test_a_request_stays_on_the_list_when_it_was_taken_so_that_all_pods_see_it() -> None:
    known = KnownSchedules(0)
    assert known.observe(asking()) is True
    assert known.observe(asking(taken=ASKED)) is False
    assert requests_of(known) == (ASKED, ASKED)
    assert known.observe(asking(at=ASKED_LATER, taken=ASKED)) is True
    assert requests_of(known) == (ASKED_LATER, ASKED_LATER)


@pytest.mark.parametrize(
    "between",
    [
        asking(pool="", taken=ASKED, generation=2),
        asking(pool="others", taken=ASKED, generation=2),
        asking(spec={"suspend": True}, taken=ASKED, generation=2),
        asking(spec={"calendarSync": {"enabled": False}, "digest": {"enabled": False}}, taken=ASKED, generation=2),
    ],
    ids=["dedicated", "another pool", "suspended", "disabled"],
)
def test_a_request_that_was_taken_is_not_listed_again_after_a_move_a_suspension_or_a_kind_that_was_off(
    between: dict[str, Any],
) -> None:
    known = KnownSchedules(0)
    for each in (asking(), asking(taken=ASKED), between):
        known.observe(each)
    assert requests_of(known) == ("", "")
    known.observe(asking(taken=ASKED, generation=3))
    assert requests_of(known) == ("", "")
    known.observe(asking(at=ASKED_LATER, taken=ASKED, generation=3))
    assert requests_of(known) == (ASKED_LATER, ASKED_LATER)


def test_a_request_that_cronjobs_took_is_not_served_by_the_pool_to_which_the_user_moves() -> None:
    known = KnownSchedules(0)
    known.observe(asking(pool="", taken=ASKED))
    known.observe(asking(taken=ASKED, generation=2))
    assert requests_of(known) == ("", "")


def test_a_request_of_one_who_leaves_stays_with_the_pool_that_was_asked_and_a_new_one_is_for_the_cronjobs() -> None:
    known = KnownSchedules(0, clock=lambda: 0.0)
    known.observe(asking(taken=OLD, pooled=True))
    known.observe(asking(pool="", taken=ASKED, pooled=True, generation=2))
    assert requests_of(known) == (ASKED, ASKED)
    known.observe(asking(pool="", at=ASKED_LATER, taken=ASKED, generation=2))
    assert requests_of(known) == ("", "")


def test_a_request_that_the_watch_tells_of_once_it_was_taken_is_listed() -> None:
    known = KnownSchedules(0)
    known.observe(asking(at=OLD, taken=OLD, pooled=True))
    known.observe(asking(taken=ASKED, pooled=True))
    assert requests_of(known) == (ASKED, ASKED)


def test_a_request_that_was_taken_at_the_start_is_listed_and_one_that_an_earlier_list_left_out_is_not() -> None:
    stored = [replace(each, sync_requested_at="", digest_requested_at="") for each in listed(asking()).values()]
    before, after = (int(datetime.fromisoformat(ASKED).timestamp() + seconds) * 1000 for seconds in (-60, 60))
    for order, expected in ((before, ASKED), (after, "")):
        known = KnownSchedules(0)
        known.observe(asking(taken=ASKED, pooled=True))
        known.resume("people", stored, order)
        assert requests_of(known) == (expected, expected)


def test_after_a_restart_the_stored_list_says_which_requests_pods_are_to_serve() -> None:
    before, after, moved = KnownSchedules(0), KnownSchedules(0), KnownSchedules(0)
    for each in (asking(), asking(taken=ASKED)):
        before.observe(each)
    stored = before.listed("people", lambda _: True)
    after.observe(asking(taken=ASKED))
    assert requests_of(after) == ("", "")
    after.resume("people", stored)
    assert after.listed("people", lambda _: True) == stored
    moved.observe(asking(taken=ASKED, pool="others", generation=2))
    moved.resume("people", stored)
    assert requests_of(moved) == ("", "")


def test_of_two_for_one_user_the_older_is_served_and_the_younger_never_even_where_the_older_is_suspended() -> None:
    younger = body(name="other", uid="uid-2", creationTimestamp=NEW)
    served = {uid: each.is_served for uid, each in listed(younger, body(creationTimestamp=OLD)).items()}
    assert served == {"uid-1": True, "uid-2": False}
    served = {
        uid: each.is_served for uid, each in listed(body({"suspend": True}, creationTimestamp=OLD), younger).items()
    }
    assert served == {"uid-1": False, "uid-2": False}


def test_the_younger_is_served_while_the_older_is_being_deleted() -> None:
    older = body(creationTimestamp=OLD, deletionTimestamp=NEW, finalizers=["a.example/b"])
    younger = body(name="other", uid="uid-2", creationTimestamp=NEW)
    assert listed(older, younger)["uid-2"].is_served is True


def test_a_user_schedule_names_its_pool_to_the_pods_of_its_namespace_and_nobody_serves_it_without_that_pool() -> None:
    schedule, there = body({"pool": "night"}), ("people", "night")
    found = listed(schedule, pools=(there,))["uid-1"]
    assert (found.pool, found.is_served) == ("night", True)
    found = listed(schedule)["uid-1"]
    assert (found.pool, found.is_served) == ("night", False)
    # A pool of another namespace may have this name.
    found = listed(schedule, of="friends", pools=(there, ("friends", "night")))["uid-1"]
    assert (found.pool, found.is_served) == ("", True)


def test_a_body_without_a_user_is_not_listed() -> None:
    assert listed({**body(), "spec": {}}) == {}


def test_only_what_the_list_says_is_a_change() -> None:
    known = KnownSchedules(0)
    assert known.observe(body()) is True
    assert known.observe(body(resourceVersion="2", labels={"a": "b"}, status={"observedGeneration": 1})) is False
    assert known.observe(body({"suspend": True}, generation=2)) is True
    assert known.observe(body(status={"digest": {"activeSince": OLD}})) is True
    assert known.forget(("people", "ada")) is True
    assert known.forget(("people", "ada")) is False


@pytest.mark.parametrize(("minutes_in_the_pool", "stays_minutes"), [(60, 0), (2, 13)])
def test_who_leaves_a_pool_is_its_member_until_there_are_cronjobs_and_its_pods_have_seen_it(
    minutes_in_the_pool: int, stays_minutes: int
) -> None:
    now = [0.0]
    known = KnownSchedules(0, lambda: now[0])

    def listed_pool() -> str:
        (entry,) = known.listed("people", lambda key: key == ("people", "staff"))
        return entry.pool

    def observe(spec: dict[str, Any], generation: int, template_hash: str) -> None:
        known.observe(body(spec, generation=generation, status={"templateHash": template_hash}))

    observe({"pool": "staff"}, 2, "of-cronjobs")
    observe({"pool": "staff"}, 2, POOLED_HASH)
    now[0] += minutes_in_the_pool * 60
    observe({}, 3, POOLED_HASH)
    assert (listed_pool(), known.let_leave(), known.seconds_to_leave()) == ("staff", False, None)
    observe({}, 3, "of-cronjobs")
    if stays_minutes:
        assert (listed_pool(), known.let_leave(), known.seconds_to_leave()) == ("staff", False, stays_minutes * 60)
        now[0] += stays_minutes * 60
        assert known.let_leave()
    assert (listed_pool(), known.seconds_to_leave()) == ("", None)


def test_after_a_restart_who_left_a_pool_is_its_member_until_there_are_cronjobs() -> None:
    now = [0.0]
    known = KnownSchedules(0, lambda: now[0])

    def listed_pool() -> str:
        (entry,) = known.listed("people", lambda key: key == ("people", "staff"))
        return entry.pool

    known.observe(body({}, generation=3, status={"templateHash": POOLED_HASH, "pool": "staff"}))
    assert (listed_pool(), known.seconds_to_leave()) == ("staff", None)
    known.observe(body({}, generation=3, status={"templateHash": "of-cronjobs"}))
    now[0] += STAY_SECONDS
    assert (known.let_leave(), listed_pool()) == (True, "")


def test_after_a_restart_the_list_that_is_stored_says_who_leaves_and_their_time_begins_anew() -> None:
    now = [0.0]
    known = KnownSchedules(0, lambda: now[0])
    for number, pool in enumerate(("", "", "night", "")):
        uid = f"uid-{number}"
        known.observe(body({"pool": pool}, name=f"n{number}", uid=uid, status={"templateHash": "of-cronjobs"}))
    stored = [ListedSchedule("ada", f"uid-{number}", 1, pool) for number, pool in ((0, "staff"), (1, ""), (2, "staff"))]

    def pools() -> list[str]:
        return [entry.pool for entry in known.listed("people", lambda _: True)]

    assert not known.resume("elsewhere", stored)
    assert known.resume("people", stored)
    assert (pools(), known.seconds_to_leave()) == (["staff", "", "night", ""], STAY_SECONDS)
    assert not known.resume("people", stored)
    now[0] += STAY_SECONDS
    assert (known.let_leave(), pools()) == (True, ["", "", "night", ""])


def test_the_list_says_when_the_times_of_a_pools_member_were_edited_also_after_a_restart() -> None:
    clock = [datetime.fromisoformat(OLD)]
    known = KnownSchedules(0, now=lambda: clock[0])

    def edited(of: KnownSchedules) -> str:
        return next(iter(of.listed("people", lambda _: True))).edited_at

    spec = {"pool": "night"}
    assert known.observe(body(spec))
    assert edited(known) == ""
    clock[0] = datetime.fromisoformat(NEW)
    for generation, change, expected in (
        (2, {"digest": {"time": "10:00"}}, NEW),
        (3, {"digest": {"time": "10:00"}, "priority": "high"}, NEW),
    ):
        assert known.observe(body(spec | change, generation=generation))
        assert edited(known) == expected
        clock[0] += timedelta(hours=1)
    stored = known.listed("people", lambda _: True)
    # The same one, and one that was edited while the operator was away.
    for generation, clock_of_digest, expected in ((3, "10:00", NEW), (4, "11:00", "2026-11-02T02:00:00Z")):
        after = KnownSchedules(0, now=lambda: clock[0])
        after.observe(body(spec | {"digest": {"time": clock_of_digest}}, generation=generation))
        after.resume("people", stored)
        assert edited(after) == expected


def test_of_a_user_with_cronjobs_the_list_says_no_edit() -> None:
    known = KnownSchedules(0)
    known.observe(body())
    known.observe(body({"digest": {"time": "10:00"}}, generation=2))
    assert next(iter(known.listed("people", lambda _: True))).edited_at == ""
