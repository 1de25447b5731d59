"""`catchup-jobs sync --pool`, `digest --pool` and `pool show` as processes, the way a pool's CronJob runs them."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from integration.jobs.sync_world import BERLIN
from integration.jobs.test_sync_command import Shell, shell
from integration.services import wait_until
from sqlalchemy import update

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.schedule_list import ListedSchedule, encode
from catchup_contract.summary import Count
from catchup_contract.trouble import uid_hash
from catchup_jobs.adapters.database.schema import pool_slots, pool_ticks

__all__ = ["shell"]  # a fixture

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = ("ada", "bob", "cy")


def enrol(shell: Shell, *names: str) -> None:
    """Import members of the pool `people`, each connected to an account of their own."""
    people = [{"id": name, "name": name.title(), "timeZone": BERLIN, "pool": "people"} for name in names]
    shell.run("user", "import", "-", stdin=json.dumps(people))
    for name in names:
        email = f"{name}@example.net"
        shell.google.add_user(email, time_zone=BERLIN)
        shell.google.add_event(email, f"{name}-1", title="Dentist", at="+1d 15:00")
        shell.run("calendar", "connect", name, "--token-file", "-", stdin=json.dumps(shell.google.grant(email)))


def make_due(shell: Shell) -> None:
    """Let everybody be due, and every claim of a dead pod be over."""
    database = shell.database()
    with database.write() as connection:
        connection.execute(update(pool_slots).values(due_at=LONG_AGO))
    database.close()


def let_ticks_end(shell: Shell, at: datetime) -> None:
    """Let the last tick of each pool have been at `at`, as of one that was deleted then."""
    database = shell.database()
    with database.write() as connection:
        assert connection.execute(update(pool_ticks).values(at=at)).rowcount
    database.close()


def states(shell: Shell) -> dict[str, list[str]]:
    """Return the states of each user's runs."""
    found: dict[str, list[str]] = {}
    for run in json.loads(shell.out("runs", "list", "--output", "json")):
        found.setdefault(run["subject"], []).append(run["state"])
    return found


def test_a_tick_syncs_all_members_who_are_due_and_says_how_many(shell: Shell) -> None:
    enrol(shell, *PEOPLE)

    shell.run("sync", "--pool", "people")

    summary = shell.summary()
    assert (summary.outcome, summary.reason) == (Outcome.DONE, None)
    assert summary.counts[Count.USERS_SERVED] >= 3  # a slot may come meanwhile
    assert summary.counts[Count.MEMBERS] == summary.counts[Count.MEMBERS_SYNCED] == 3
    assert states(shell) == {name: ["done"] for name in PEOPLE}
    assert all("Dentist" not in line for line in shell.run("sync", "--pool", "people").splitlines())


def test_a_tick_that_counts_serves_whom_a_clock_that_was_ahead_put_hours_away(shell: Shell) -> None:
    enrol(shell, "ada")
    shell.run("sync", "--pool", "people")
    database = shell.database()
    with database.write() as connection:
        connection.execute(update(pool_slots).values(due_at=datetime.now(UTC) + timedelta(hours=5)))
    database.close()

    printed = shell.run("sync", "--pool", "people")

    assert "was a node's clock ahead?" in printed
    due = json.loads(shell.out("user", "show", "ada", "--output", "json"))["pool"]["due"]["sync"]
    assert datetime.fromisoformat(due) <= datetime.now(UTC) + timedelta(minutes=30)


def put_list(shell: Shell, *schedules: ListedSchedule) -> None:
    """Let the operator mount a list of UserSchedules."""
    folder = shell.directory / "schedules"
    folder.mkdir(exist_ok=True)
    for name, content in encode(schedules).items():
        (folder / name).write_bytes(content)
    shell.environment["CATCHUP_SCHEDULE_LIST"] = str(folder)


@pytest.mark.parametrize("off", ["Suspended", "Disabled"])
@pytest.mark.parametrize("job", ["sync", "digest"])
def test_a_tick_by_hand_of_a_pool_that_is_switched_off_serves_and_moves_nobody(
    shell: Shell, off: str, job: str
) -> None:
    enrol(shell, "ada")
    put_list(shell)
    shell.run("sync", "--pool", "people")
    runs = states(shell)
    # As the younger of two pools of one name would take the member.
    put_list(shell, ListedSchedule("ada", "uid-ada", 1, "people", BERLIN, "30m", "Sunday", "09:00"))
    shell.environment |= {"CATCHUP_POOL_MEMBERS": "UserSchedules", "CATCHUP_POOL_OFF": off}
    make_due(shell)

    printed = shell.run(job, "--pool", "people")

    summary = shell.summary()
    assert (summary.outcome, summary.reason, summary.counts) == (Outcome.SKIPPED, Reason.SWITCHED_OFF, {})
    assert "nobody is served" in printed
    assert states(shell) == runs
    assert "people (by enrolment)" in shell.run("user", "show", "ada")


def test_a_tick_outside_of_the_pods_of_a_pool_is_refused_and_says_how_one_is_played(shell: Shell) -> None:
    enrol(shell, "ada")
    put_list(shell)
    shell.run("digest", "--pool", "people")
    del shell.environment["CATCHUP_SCHEDULE_LIST"]  # as in the toolbox

    printed = shell.run("sync", "--pool", "people", code=ExitCode.PERMANENT)

    assert "kubectl create job NAME --from=cronjob/people-pool-sync" in printed
    assert states(shell) == {}


def test_a_pod_that_is_killed_in_the_middle_costs_nobody_a_sync(shell: Shell) -> None:
    enrol(shell, *PEOPLE)
    shell.google.add_fault(kind="events", user="bob@example.net", delay=60)
    pod = shell.start("sync", "--pool", "people")
    wait_until(lambda: any(fault["fired"] for fault in shell.google.faults()), "bob's calendar is being read")
    pod.send_signal(signal.SIGKILL)
    pod.communicate()
    shell.google.clear_faults()
    make_due(shell)

    printed = shell.run("sync", "--pool", "people")

    assert "a process died while it served this user" in printed
    assert states(shell) == {name: ["done"] for name in PEOPLE}
    assert shell.out("failures", "list", "--output", "json").strip() == "[]"


def test_a_pod_that_is_asked_to_stop_leaves_the_rest_due(shell: Shell) -> None:
    enrol(shell, *PEOPLE)
    shell.google.add_fault(kind="events", user="bob@example.net", delay=3)
    pod = shell.start("sync", "--pool", "people")
    wait_until(lambda: any(fault["fired"] for fault in shell.google.faults()), "bob's calendar is being read")
    pod.send_signal(signal.SIGTERM)
    pod.communicate()
    assert pod.returncode == ExitCode.DONE

    printed = shell.run("sync", "--pool", "people")

    assert "died" not in printed
    assert states(shell) == {name: ["done"] for name in PEOPLE}


def test_a_user_whom_a_user_schedule_names_is_held(shell: Shell) -> None:
    enrol(shell, "ada", "bob")
    folder = shell.directory / "schedules"
    folder.mkdir()
    for name, content in encode([ListedSchedule("ada", "uid", 1)]).items():
        (folder / name).write_bytes(content)
    shell.environment["CATCHUP_SCHEDULE_LIST"] = str(folder)

    shell.run("sync", "--pool", "people")

    shown = {row["kind"]: row for row in json.loads(shell.out("pool", "show", "--output", "json"))}
    assert (shown["sync"]["members"], shown["sync"]["held"]) == (1, 1)
    assert "does not serve the user" in shell.run("user", "show", "ada")
    assert states(shell) == {"bob": ["done"]}


def test_user_show_says_which_pool_serves_the_user_and_when(shell: Shell) -> None:
    enrol(shell, "bob")
    shell.environment["CATCHUP_SYNC_EVERY"] = "15m"
    shell.run("sync", "--pool", "people")

    shown = json.loads(shell.out("user", "show", "bob", "--output", "json"))["pool"]

    assert (shown["name"], shown["by"]) == ("people", "enrolment")
    assert datetime.fromisoformat(shown["due"]["sync"]) > datetime.now(UTC) - timedelta(minutes=1)
    assert shown["due"]["digest"] is None
    printed = shell.run("user", "show", "bob")
    assert "people (by enrolment); next digest not computed yet, next sync" in printed
    assert re.search(r"^sync +every 15m$", printed, re.MULTILINE)
    assert json.loads(shell.out("user", "show", "ada", "--output", "json"))["pool"] is None


def test_user_show_says_until_when_a_member_is_suspended(shell: Shell) -> None:
    enrol(shell, "ada")
    folder = shell.directory / "schedules"
    folder.mkdir()
    listed = ListedSchedule("ada", "uid-ada", 1, "people", BERLIN, "30m", "Sunday", "09:00")
    for until, says in (
        ("2199-01-01T00:00:00Z", "people (by UserSchedule); suspended until 2199-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00Z", "people (by UserSchedule); next digest"),
    ):
        for name, content in encode([replace(listed, suspended_until=until)]).items():
            (folder / name).write_bytes(content)
        shell.environment |= {"CATCHUP_SCHEDULE_LIST": str(folder), "CATCHUP_POOL_MEMBERS": "UserSchedules"}

        shell.run("sync", "--pool", "people")

        assert says in shell.run("user", "show", "ada")


def test_a_member_in_trouble_is_told_by_the_tick_and_listed_with_what_to_do(shell: Shell) -> None:
    enrol(shell, "ada", "bob")
    folder = shell.directory / "schedules"
    folder.mkdir()
    listed = ListedSchedule("ada", "uid-ada", 1, "people", BERLIN, "30m", "Sunday", "09:00")
    for name, content in encode([listed]).items():
        (folder / name).write_bytes(content)
    shell.environment |= {"CATCHUP_SCHEDULE_LIST": str(folder), "CATCHUP_POOL_MEMBERS": "UserSchedules"}
    shell.google.revoke("ada@example.net")

    shell.run("sync", "--pool", "people")

    trouble = shell.summary().trouble
    assert trouble is not None
    assert trouble.members == {uid_hash("uid-ada"): Reason.RECONNECT}
    (failing,) = json.loads(shell.out("pool", "members", "people", "--failing", "--output", "json"))
    assert (failing["user"], failing["by"], failing["kind"]) == ("ada", "UserSchedule", "sync")
    assert (failing["trouble"], "connect the calendar again" in failing["advice"]) == ("reconnect", True)
    make_due(shell)
    late = json.loads(shell.out("pool", "members", "people", "--late", "--output", "json"))
    assert {(row["user"], row["trouble"], row["since"]) for row in late} == {("ada", "late", "2026-01-01T00:00:00Z")}
    found = json.loads(shell.out("pool", "members", "people", "--limit", "2", "--output", "json"))
    assert [row["trouble"] for row in found] == ["late", "reconnect"]
    assert "there are more than these 2" in shell.run("pool", "members", "people", "--limit", "2")
    (shown, *_) = json.loads(shell.out("pool", "show", "--output", "json"))
    assert shown["waitingSeconds"] > 0
    assert f"{shown['waitingSeconds'] // 100}" in shell.run("pool", "show")


@pytest.mark.parametrize("content", [None, b"{}", b'{"parts": ["x"]}'], ids=["missing", "empty", "without its part"])
def test_without_the_list_of_user_schedules_nobody_is_served(shell: Shell, content: bytes | None) -> None:
    enrol(shell, "ada")
    folder = shell.directory / "schedules"
    folder.mkdir()
    if content is not None:
        (folder / "index.json").write_bytes(content)
    shell.environment["CATCHUP_SCHEDULE_LIST"] = str(folder)

    printed = shell.run("sync", "--pool", "people", code=ExitCode.TEMPORARY)

    assert "list of UserSchedules" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sync",), "Give --user ID or --pool NAME"),
        (("digest",), "Give --user ID or --pool NAME"),
        (("sync", "--user", "ada", "--pool", "people"), "Give --user ID or --pool NAME"),
        (("sync", "--pool", "people", "--full"), "--full goes with --user"),
        (("digest", "--pool", "people", "--preview"), "go with --user"),
        (("sync", "--pool", "Péople"), "a pool's name is"),
        (("pool", "members", "poeple"), "no pool poeple is known"),
        (("pool", "members", "people", "--kind", "suggestions"), "is not one of 'sync', 'digest'"),
        (("sync", "--pool", "x" * 41), "a pool's name is"),
    ],
)
def test_a_wrong_command_says_what_is_right(shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    assert says in shell.run(*arguments, code=ExitCode.PERMANENT)


def test_a_pool_without_members_is_no_error_and_pool_show_says_how_to_get_some(shell: Shell) -> None:
    shell.run("digest", "--pool", "nobody")

    assert shell.summary().counts[Count.MEMBERS] == 0
    assert "user import" in shell.run("pool", "show")


def test_a_user_joins_moves_and_leaves_by_import(shell: Shell) -> None:
    def members() -> dict[str, int]:
        shown = json.loads(shell.out("pool", "show", "--output", "json"))
        return {row["pool"]: row["members"] for row in shown if row["kind"] == "sync"}

    def import_with(pool: dict[str, str | None]) -> None:
        shell.run("user", "import", "-", stdin=json.dumps({"id": "ada", "name": "Ada", **pool}))

    import_with({"pool": "people"})
    assert members() == {"people": 1}
    import_with({})
    assert members() == {"people": 1}
    import_with({"pool": "others"})
    assert members() == {"others": 1}
    import_with({"pool": None})
    assert members() == {}


def test_an_import_tells_of_a_pool_that_has_not_run_and_of_one_that_serves_user_schedules(shell: Shell) -> None:
    folder = shell.directory / "schedules"
    folder.mkdir()
    for name, content in encode([]).items():
        (folder / name).write_bytes(content)
    shell.environment["CATCHUP_SCHEDULE_LIST"] = str(folder)
    shell.run("digest", "--pool", "people")
    shell.environment["CATCHUP_POOL_MEMBERS"] = "UserSchedules"
    shell.run("digest", "--pool", "staff")

    pools = {"ada": "people", "bob": "poeple", "cy": "staff", "dee": None}
    people = [{"id": name, "name": name.title(), "pool": pool} for name, pool in pools.items()]
    said = shell.run("user", "import", "-", stdin=json.dumps(people))

    assert "3 created, 1 updated" in said
    assert "bob: pool: no SchedulePool poeple has run yet (known: people)" in said
    assert "cy: pool: the SchedulePool staff serves UserSchedules that name it" in said
    assert "ada" not in said.partition("so far:")[2]
    assert "dee" not in said


def test_an_import_tells_what_many_users_share_of_a_pool_once(shell: Shell) -> None:
    people = [{"id": f"u{number:02}", "name": "U", "pool": "poeple"} for number in range(30)]
    said = shell.run("user", "import", "-", stdin=json.dumps(people))

    assert said.count("no SchedulePool poeple has run yet") == 1
    assert "u00, u01, u02" in said
    assert "u19 and 10 more: pool:" in said
    assert "u20" not in said


def test_without_kubernetes_an_import_knows_the_pools_that_ticked_by_hand(shell: Shell) -> None:
    shell.run("sync", "--pool", "people")
    people = [{"id": name, "name": name.title(), "pool": pool} for name, pool in (("ada", "people"), ("bob", "poeple"))]
    said = shell.run("user", "import", "-", stdin=json.dumps(people))

    assert "bob: pool: no SchedulePool poeple has run yet (known: people)" in said
    assert "ada" not in said.partition("so far:")[2]


def test_a_pool_of_which_no_pod_runs_any_more_is_told_with_since_when(shell: Shell) -> None:
    enrol(shell, "ada")
    said = "no pod of the pool people has run"
    assert said in shell.run("pool", "show")
    shell.run("digest", "--pool", "people")
    shown = json.loads(shell.out("pool", "show", "--output", "json"))
    assert {datetime.fromisoformat(row["lastTick"]) > datetime.now(UTC) - timedelta(minutes=1) for row in shown} == {
        True
    }
    for command in ("show",), ("members", "people"):
        assert said not in shell.run("pool", *command)
    let_ticks_end(shell, LONG_AGO)
    for command in ("show",), ("members", "people"):
        assert f"{said} since 2026-01-01T00:00:00Z, so that nobody serves its members" in shell.run("pool", *command)
    # A clock that was ahead.
    let_ticks_end(shell, datetime(2199, 1, 1, tzinfo=UTC))
    shell.run("digest", "--pool", "people")
    assert "2199" not in shell.run("pool", "show")


def test_a_deleted_user_is_no_member(shell: Shell) -> None:
    enrol(shell, "bob")

    shell.run("user", "delete", "bob", "--yes")

    assert json.loads(shell.out("pool", "show", "--output", "json")) == []


def test_a_pool_that_cannot_be_named_so_is_refused_with_the_user(shell: Shell) -> None:
    printed = shell.run(
        "user",
        "import",
        "-",
        stdin=json.dumps({"id": "eve", "name": "Eve", "pool": "No Such"}),
        code=ExitCode.PERMANENT,
    )

    assert "eve: pool" in printed


def test_a_user_schedule_of_a_user_whom_nobody_imported_is_told_as_one_with_cronjobs_is(shell: Shell) -> None:
    folder = shell.directory / "schedules"
    folder.mkdir()
    listed = ListedSchedule("nobody", "uid-nobody", 1, "people", BERLIN, "30m", "Sunday", "09:00")
    for name, content in encode([listed]).items():
        (folder / name).write_bytes(content)
    shell.environment |= {"CATCHUP_SCHEDULE_LIST": str(folder), "CATCHUP_POOL_MEMBERS": "UserSchedules"}

    printed = shell.run("sync", "--pool", "people")

    summary = shell.summary()
    assert summary.trouble is not None
    assert summary.trouble.members == {uid_hash("uid-nobody"): Reason.UNKNOWN_USER}
    assert summary.counts[Count.MEMBERS_FAILING] == 1
    assert "the database does not know the users of UserSchedules" in printed
    shell.run("user", "import", "-", stdin=json.dumps({"id": "nobody", "name": "Nobody"}))
    shell.run("sync", "--pool", "people")
    trouble = shell.summary().trouble
    assert trouble is not None
    assert Reason.UNKNOWN_USER not in trouble.members.values()
