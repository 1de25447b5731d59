"""Users and their tokens, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from cryptography.fernet import Fernet
from integration.jobs.database_faults import after, statements
from sqlalchemy import func, select, update

from catchup_contract.digest_rule import DigestDay
from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.database.schedule_columns import give_back_own
from catchup_jobs.adapters.database.schema import contacts, oauth_tokens, pool_members, users
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.domain.calendar.access_token import OAuthToken
from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Night, WeeklyWindow
from catchup_jobs.domain.people.contacts import Contact
from catchup_jobs.domain.people.users import Schedule, User
from catchup_jobs.domain.stored_enums import TokenState, Weekday
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
BERLIN = Schedule("Europe/Berlin", DigestDay.SUNDAY, time(9), "30m")
LISBON = Schedule("Europe/Lisbon", DigestDay.DAILY, time(18, 30), "1h")
NEPAL = Schedule("Asia/Kathmandu", DigestDay.FRIDAY, time(7, 15), "3h")
HOURS = AvailabilityParameters(
    blocks=(
        WeeklyWindow(Weekday.MONDAY, time(9), time(12)),
        WeeklyWindow(Weekday.MONDAY, time(14), time(0)),
        WeeklyWindow(Weekday.SUNDAY, time(8), time(10)),
    ),
    commutes=(WeeklyWindow(Weekday.FRIDAY, time(8), time(9)),),
    preferred=(WeeklyWindow(Weekday.SUNDAY, time(11), time(18)),),
    night=Night(time(22, 30), time(7)),
)
TOKEN = OAuthToken("refresh-s3cret", "access-s3cret", NOW)
KEY, OTHER_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def user(user_id: str = "ada", schedule: Schedule = BERLIN, hours: AvailabilityParameters = HOURS) -> User:
    return User(user_id, "Ada", schedule, False, hours, "Berlin")


@pytest.fixture
def people(database: Database) -> DatabaseUsers:
    return DatabaseUsers(database)


@pytest.fixture
def tokens(database: Database, people: DatabaseUsers) -> DatabaseTokens:
    people.import_all([user("ada"), user("bob")], now=NOW)
    return DatabaseTokens(database, Encryption([KEY]))


def test_an_imported_user_comes_back_whole(people: DatabaseUsers) -> None:
    assert people.import_all([user()], now=NOW).created == ["ada"]
    assert people.get("ada") == user()
    assert people.get("bob") is None


def test_a_second_import_replaces_the_user(people: DatabaseUsers) -> None:
    people.import_all([user()], now=NOW)
    changed = user("ada", LISBON, AvailabilityParameters())
    imported = people.import_all([changed, user("bob")], now=LATER)
    assert (imported.created, imported.updated, imported.kept_schedule) == (["bob"], ["ada"], [])
    assert people.get_many(["bob", "ada", "nobody"]) == [changed, user("bob")]


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an import write two users in a transaction."""
    monkeypatch.setattr("catchup_jobs.adapters.database.people.users.AT_ONCE", 2)


@pytest.mark.usefixtures("two_at_once")
def test_an_import_that_fails_on_the_way_says_how_far_it_came_and_may_be_made_again(
    people: DatabaseUsers, database: Database
) -> None:
    everybody = [user(f"u{number}") for number in range(5)]
    given = {one.id: [Contact("c-1", "Ben")] for one in everybody}
    pools = dict.fromkeys(given, "people")

    # The database refuses the second of two users of one id.
    with pytest.raises(PermanentError, match=r"2 of 6 users were imported before.*import the same file again"):
        people.import_all([*everybody, user("u2")], now=NOW, contacts=given, pools=pools)
    assert [one.id for one in people.get_many(given)] == ["u0", "u1"]
    imported = people.import_all(everybody, now=LATER, contacts=given, pools=pools)

    assert (imported.created, imported.updated) == (["u2", "u3", "u4"], ["u0", "u1"])
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(contacts)).scalar_one() == 5
        assert set(connection.execute(select(pool_members.c.user_id)).scalars()) == set(given)


@pytest.mark.usefixtures("two_at_once")
def test_an_import_whose_commit_fails_or_seems_to_may_be_made_again(
    commit_fails: tuple[Database, Callable[[], None]],
) -> None:
    database, fail = commit_fails
    people, everybody = DatabaseUsers(database), [user(f"u{number}") for number in range(5)]

    with (
        after("INSERT INTO users", database, fail, nth=2),
        pytest.raises(TemporaryError, match="2 of 5 users were imported before"),
    ):
        people.import_all(everybody, now=NOW)
    imported = people.import_all(everybody, now=LATER)

    assert sorted(imported.created + imported.updated) == [one.id for one in everybody]
    assert people.get_many(one.id for one in everybody) == everybody


@pytest.mark.usefixtures("two_at_once")
def test_a_first_transaction_that_fails_is_told_as_it_is(people: DatabaseUsers) -> None:
    with pytest.raises(PermanentError) as caught:
        people.import_all([user("ada"), user("ada")], now=NOW)
    assert "imported" not in str(caught.value)


@pytest.mark.usefixtures("two_at_once")
def test_runs_wait_for_the_users_of_one_transaction_of_an_import_alone(postgresql_url: str) -> None:
    everybody = [user(f"u{number}") for number in range(6)]
    database, other = Database.open(postgresql_url), Database.open(postgresql_url)
    DatabaseUsers(database).import_all(everybody, now=NOW)
    free: list[list[str]] = []

    def look() -> None:
        with other.write() as connection:
            rows = select(users.c.id).order_by(users.c.id).with_for_update(skip_locked=True)
            free.append(list(connection.execute(rows).scalars()))

    # At the end of the second transaction.
    with after("UPDATE pool_slots", database, look, nth=2):
        DatabaseUsers(database).import_all(everybody, now=LATER)

    assert free == [["u0", "u1", "u4", "u5"]]
    database.close()
    other.close()


def test_an_import_keeps_a_schedule_for_when_the_user_schedule_is_gone(
    people: DatabaseUsers, database: Database
) -> None:
    people.import_all([user(), user("bob")], now=NOW)
    assert people.record_schedule("ada", LISBON, now=NOW)
    assert people.record_schedule("bob", LISBON, now=NOW)
    assert people.record_schedule("bob", replace(LISBON, sync_every="6h"), now=NOW), "its own is known already"
    imported = people.import_all([user("ada", NEPAL, AvailabilityParameters())], now=LATER)
    assert imported.kept_schedule == ["ada"]
    found = people.get("ada")
    assert found is not None
    assert (found.schedule, found.availability) == (LISBON, AvailabilityParameters())

    with database.write() as connection:
        for _ in range(2):
            give_back_own(connection, ["ada", "bob"], now=LATER)

    assert [one.schedule for one in people.get_many(["ada", "bob"])] == [NEPAL, BERLIN]
    assert people.import_all([user("ada", LISBON)], now=LATER).kept_schedule == []
    assert [one.schedule for one in people.get_many(["ada", "bob"])] == [LISBON, BERLIN]
    with database.read() as connection:
        kept = [column for column in users.c if column.name.startswith("own_")]
        assert {value for row in connection.execute(select(*kept)) for value in row} == {None}


def test_whose_own_schedule_an_earlier_version_did_not_keep_has_the_user_schedules(
    people: DatabaseUsers, database: Database
) -> None:
    people.import_all([user()], now=NOW)
    people.record_schedule("ada", LISBON, now=NOW)
    with database.write() as connection:
        connection.execute(update(users).values(dict.fromkeys(("own_time_zone", "own_digest_day", "own_digest_time"))))
        connection.execute(update(users).values(own_sync_every=None))
        give_back_own(connection, ["ada"], now=LATER)

    assert [one.schedule for one in people.get_many(["ada"])] == [LISBON]


def test_a_schedule_is_written_only_when_it_changed(people: DatabaseUsers, database: Database) -> None:
    people.import_all([user()], now=NOW)
    assert people.record_schedule("ada", BERLIN, now=NOW), "seen for the first time"
    with statements(database) as seen:
        assert not people.record_schedule("ada", BERLIN, now=LATER)
    assert len(seen) == 1
    assert people.record_schedule("ada", LISBON, now=LATER)
    assert not people.record_schedule("nobody", LISBON, now=LATER)
    with database.read() as connection:
        row = connection.execute(select(users.c.schedule_seen_at, users.c.time_zone)).one()
    assert (row.schedule_seen_at, row.time_zone) == (LATER, "Europe/Lisbon")


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000])
def test_all_users_are_listed_once_in_order_with_few_statements(
    people: DatabaseUsers, database: Database, count: int
) -> None:
    people.import_all([user(f"u{number}") for number in range(count)], now=NOW)
    with statements(database) as seen:
        ids = [overview.user.id for overview in people.overviews()]
    assert ids == sorted(f"u{number}" for number in range(count))
    assert len(seen) <= 5 * (count // 500 + 1)


def test_the_overview_tells_how_the_calendar_fares(people: DatabaseUsers, tokens: DatabaseTokens) -> None:
    tokens.connect("ada", TOKEN, now=NOW)
    assert [(o.user.id, o.calendar, o.last_sync_at) for o in people.overviews()] == [
        ("ada", TokenState.ACTIVE, None),
        ("bob", None, None),
    ]
    assert [o.user.id for o in people.overviews("bob")] == ["bob"]


def test_a_token_is_stored_sealed_and_comes_back(tokens: DatabaseTokens, database: Database) -> None:
    assert tokens.load("ada") is None
    tokens.connect("ada", TOKEN, now=NOW, account="account-s3cret")
    kept = tokens.load("ada")
    assert kept is not None
    assert (kept.token, kept.state, kept.version) == (TOKEN, TokenState.ACTIVE, 1)
    with database.read() as connection:
        row = connection.execute(select(oauth_tokens)).one()
    assert "s3cret" not in repr(row)


def test_of_two_who_refresh_a_token_at_once_one_wins(tokens: DatabaseTokens) -> None:
    tokens.connect("ada", TOKEN, now=NOW)
    mine, theirs = OAuthToken("refresh", "mine", LATER), OAuthToken("refresh", "theirs", LATER)
    assert tokens.replace("ada", theirs, version=1, now=NOW)
    assert not tokens.replace("ada", mine, version=1, now=NOW)
    assert not tokens.mark_reconnect("ada", version=1, now=NOW)
    kept = tokens.load("ada")
    assert kept is not None
    assert (kept.token, kept.state, kept.version) == (theirs, TokenState.ACTIVE, 2)


def test_connecting_again_ends_the_reconnect_state(tokens: DatabaseTokens) -> None:
    tokens.connect("ada", TOKEN, now=NOW)
    assert tokens.mark_reconnect("ada", version=1, now=NOW)
    kept = tokens.load("ada")
    assert kept is not None
    assert (kept.token, kept.state, kept.version) == (TOKEN, TokenState.RECONNECT, 2)
    tokens.connect("ada", TOKEN, now=LATER)
    kept = tokens.load("ada")
    assert kept is not None
    assert (kept.state, kept.version) == (TokenState.ACTIVE, 3)


def test_the_wrong_key_is_a_misconfiguration_and_changes_nothing(tokens: DatabaseTokens, database: Database) -> None:
    tokens.connect("ada", TOKEN, now=NOW)
    with pytest.raises(MisconfiguredError):
        DatabaseTokens(database, Encryption([OTHER_KEY])).load("ada")
    rotated = DatabaseTokens(database, Encryption([OTHER_KEY, KEY])).load("ada")
    assert rotated is not None
    assert rotated.token == TOKEN


def test_a_token_copied_to_another_users_row_does_not_open(tokens: DatabaseTokens, database: Database) -> None:
    tokens.connect("ada", TOKEN, now=NOW)
    tokens.connect("bob", TOKEN, now=NOW)
    with database.write() as connection:
        stolen = select(oauth_tokens.c.ciphertext).where(oauth_tokens.c.user_id == "ada").scalar_subquery()
        connection.execute(oauth_tokens.update().where(oauth_tokens.c.user_id == "bob").values(ciphertext=stolen))
    with pytest.raises(PermanentError, match="another user"):
        tokens.load("bob")


def test_a_token_for_nobody_is_refused(tokens: DatabaseTokens) -> None:
    with pytest.raises(PermanentError):
        tokens.connect("nobody", TOKEN, now=NOW)
