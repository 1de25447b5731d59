"""Writers that meet in PostgreSQL: one of them is told to begin anew, and does, within its budget.

As installed, PostgreSQL lets them wait for each other. Serialization failures are what an administrator gets who made
transactions stricter for all of a server's databases; a deadlock needs an application that locks in another order.
"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from integration.jobs.database_faults import after
from integration.jobs.digest_world import DigestWorld
from integration.jobs.fleet_world import FleetWorld, person
from integration.jobs.sync_world import EMAIL, SyncWorld, outcome
from integration.services import wait_until

from catchup_contract.outcomes import ExitCode, Outcome
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.suggestions.answers import DatabaseAnswers
from catchup_jobs.domain.digest.channels import SMS
from catchup_jobs.domain.planning.answers import Answer
from catchup_jobs.domain.stored_enums import DeliveryStatus
from catchup_jobs.jobs.digest.due_digest import LEASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from catchup_dev.doubles.smtp.server import SmtpDouble
    from catchup_dev.doubles.twilio.server import TwilioServer

DONE = (ExitCode.DONE, Outcome.DONE, None)
# What every writing transaction begins with; the snapshot of a strict one is of this moment.
FENCE = "SELECT runs.owner"
FIVE_HOURS = {"at": "2026-11-23 13:00", "minutes": 5 * 60}


@pytest.fixture(params=["repeatable read", "serializable"])
def database(request: pytest.FixtureRequest, postgresql_url: str) -> Iterator[Database]:
    """A database whose administrator made all transactions stricter."""
    _configure(postgresql_url, "default_transaction_isolation", request.param)
    with closing(Database.open(postgresql_url)) as database:
        yield database


def _configure(url: str, name: str, value: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET {name} = '{value}'")


@pytest.fixture
def world(world: SyncWorld) -> SyncWorld:
    world.sync()
    return world


@pytest.fixture
def fleet(world: SyncWorld, tmp_path: Path) -> FleetWorld:
    """The same user, with a contact, as the suggestion job sees them."""
    made = FleetWorld(world.database, tmp_path / "locks")
    made.know("ada", [person("Ben")])
    return made


def test_a_plan_that_a_sync_overtook_is_made_anew_by_the_next_pass(
    world: SyncWorld, fleet: FleetWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    world.google.add_event(EMAIL, "long", title="Long", **FIVE_HOURS)
    synced = []
    with after(FENCE, world.database, lambda: synced.append(outcome(world.sync())), nth=2):
        report = fleet.run()
    assert "SQLSTATE 40001" in capfd.readouterr().out
    assert (outcome(report), report.summary.attempts, synced) == (DONE, 1, [DONE])
    assert fleet.shown() == ["ben pending 23 18:00-19:00"]


def test_a_sync_that_a_plan_overtook_stores_its_events_in_the_next_pass(
    world: SyncWorld, fleet: FleetWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    world.google.add_event(EMAIL, "long", title="Long", **FIVE_HOURS)
    planned = []
    with after("INSERT INTO events", world.database, lambda: planned.append((outcome(fleet.run()), fleet.shown()))):
        report = world.sync()
    assert "SQLSTATE 40001" in capfd.readouterr().out
    assert (outcome(report), report.summary.attempts) == (DONE, 1)
    assert planned == [(DONE, ["ben pending 23 14:00-15:00"])]
    assert set(world.stored_events()) == {"long"}
    assert fleet.shown() == ["ben pending 23 18:00-19:00"]


@pytest.fixture
def digest_world(database: Database, twilio: TwilioServer, mail: SmtpDouble, tmp_path: Path) -> DigestWorld:
    made = DigestWorld(database, twilio, mail, tmp_path / "locks")
    made.add_user()
    made.reach(email=None)
    made.suggest()
    return made


def test_a_digest_that_an_answer_overtook_is_one_sms(
    digest_world: DigestWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    world = digest_world
    cleo = world.suggest("Cleo")
    answers = DatabaseAnswers(world.database)
    with after(FENCE, world.database, lambda: answers.answer(cleo, Answer.DISMISS, now=world.now)):
        report = world.digest()
    assert "SQLSTATE 40001" in capfd.readouterr().out
    assert (outcome(report), report.summary.attempts) == (DONE, 1)
    (sms,) = world.sms()
    assert "Cleo" not in sms["body"]
    assert world.delivery(SMS).status is DeliveryStatus.SENT


def test_an_answer_while_a_sent_message_is_recorded_costs_no_attempt(
    digest_world: DigestWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    world = digest_world
    cleo = world.suggest("Cleo")
    answers = DatabaseAnswers(world.database)
    # The first one is the claim's.
    with after("UPDATE deliveries", world.database, lambda: answers.answer(cleo, Answer.DISMISS, now=world.now), nth=2):
        report = world.digest()
    assert "SQLSTATE" not in capfd.readouterr().out
    assert (outcome(report), report.summary.attempts, world.slept) == (DONE, 0, [])
    (sms,) = world.sms()
    assert "Cleo" in sms["body"]
    assert world.delivery(SMS).status is DeliveryStatus.SENT


def test_a_refusal_that_an_answer_overtook_is_unknown_and_nothing_is_sent_again(
    digest_world: DigestWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    world = digest_world
    cleo = world.suggest("Cleo")
    answers = DatabaseAnswers(world.database)
    world.twilio.control.add_fault(kind="create", status=400, code=21211, times=None)
    statement = "SELECT digests.user_id, deliveries.status"
    with after(statement, world.database, lambda: answers.answer(cleo, Answer.DISMISS, now=world.now)):
        report = world.digest()
    assert "SQLSTATE 40001" in capfd.readouterr().out
    assert report.summary.attempts == 1
    assert sum(world.slept) >= LEASE.total_seconds()
    assert world.sms() == []
    assert world.delivery(SMS).status is DeliveryStatus.UNKNOWN


def test_a_deadlock_costs_one_attempt(postgresql_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Whoever waits first finds the deadlock after its own time: let that be the job, and the application never.
    _configure(postgresql_url, "deadlock_timeout", "50ms")
    with closing(Database.open(postgresql_url)) as database, psycopg.connect(postgresql_url) as application:
        application.execute("SET deadlock_timeout = '60s'")
        application.commit()
        fleet = FleetWorld(database, tmp_path / "locks")
        fleet.add_user("ada", [person("Ben"), person("Cleo")])
        deleting = threading.Thread(target=_delete_contact, args=(application,))

        def meet() -> None:
            # The job has locked the user, and will need the contact; the application has the contact.
            deleting.start()
            with psycopg.connect(postgresql_url, autocommit=True) as observer:
                waits = "SELECT cardinality(pg_blocking_pids(%s))"
                blocked = [application.info.backend_pid]
                wait_until(lambda: observer.execute(waits, blocked).fetchone() == (1,), "the application waits")

        with after("ORDER BY users.id FOR UPDATE", database, meet):
            report = fleet.run()
        deleting.join(20)
        assert "SQLSTATE 40P01" in capfd.readouterr().out
        assert (outcome(report), report.summary.attempts) == (DONE, 1)
        assert fleet.shown() == ["cleo pending 23 14:30-15:30"]


def _delete_contact(application: psycopg.Connection[object]) -> None:
    application.execute("DELETE FROM contacts WHERE external_id = 'ben'")
    application.execute("UPDATE users SET planning_version = planning_version + 1 WHERE id = 'ada'")
    application.commit()
