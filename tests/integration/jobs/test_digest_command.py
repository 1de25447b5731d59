"""`catchup-jobs digest` and `suggestion` as processes, the way a user, a pod and an application run them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from integration.jobs.digest_world import BASE_URL, MAILBOX, PHONE
from integration.jobs.sync_world import CLIENT_ID, CLIENT_SECRET, EMAIL
from integration.jobs.test_sync_command import Shell, connect
from integration.services import free_port, wait_until
from sqlalchemy import insert, select

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, SENDER
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import consents, contacts, metadata, suggestions

if TYPE_CHECKING:
    from catchup_dev.doubles.google.client import GoogleDouble
    from catchup_dev.doubles.smtp.server import SmtpDouble
    from catchup_dev.doubles.twilio.server import TwilioServer

FRIEND = "Ben Canary"
# A user far from any quiet hour: the command takes the real clock.
ZONE = next(
    name
    for name, offset in (("Asia/Tokyo", 9), ("Europe/London", 0), ("America/Phoenix", -7), ("Pacific/Auckland", 12))
    if 9 <= (datetime.now(UTC) + timedelta(hours=offset)).hour <= 19
)
USER: dict[str, Any] = {
    "id": "ada",
    "name": "Ada",
    "timeZone": ZONE,
    "channels": {
        "sms": {"phone": "+44 7700 900123", "consentAt": "2026-01-10T12:00:00Z"},
        "email": {"address": MAILBOX},
    },
    "contacts": [{"id": "c-1", "name": FRIEND}],
}


class World:
    """A laptop with Twilio and a mail server at their doubles."""

    def __init__(self, shell: Shell, twilio: TwilioServer, mail: SmtpDouble) -> None:
        self.shell, self.twilio, self.mail = shell, twilio, mail
        self.run, self.out, self.summary = shell.run, shell.out, shell.summary
        self.environment = shell.environment

    def import_user(self, **changes: Any) -> str:
        return self.run("user", "import", "-", stdin=json.dumps(USER | changes))

    def suggest(self, *, hours: float = 48, database: Database | None = None) -> int:
        """Add a suggestion, so many hours from now."""
        now = datetime.now(UTC).replace(microsecond=0)
        database = database or self.shell.database()
        with database.write() as connection:
            contact = connection.execute(select(contacts.c.id)).scalar_one()
            made = connection.execute(
                insert(suggestions).values(
                    user_id="ada",
                    contact_id=contact,
                    trigger="time_bound",
                    status="pending",
                    mode="call",
                    start_at=now + timedelta(hours=hours),
                    end_at=now + timedelta(hours=hours + 1),
                    reasoning="42 days since you last met",
                    created_at=now,
                    updated_at=now,
                )
            ).inserted_primary_key
        database.close()
        assert made is not None
        return int(made[0])


@pytest.fixture(scope="session")
def home_with_ada(tmp_path_factory: pytest.TempPathFactory, google_of_session: GoogleDouble) -> Path:
    """A home directory whose database knows user ada; made once."""
    home = tmp_path_factory.mktemp("ada")
    Shell(home, google_of_session).run("user", "import", "-", stdin=json.dumps(USER))
    return home


@pytest.fixture
def world(tmp_path: Path, home_with_ada: Path, google: GoogleDouble, twilio: TwilioServer, mail: SmtpDouble) -> World:
    """User ada with one contact."""
    shutil.copytree(home_with_ada, tmp_path, dirs_exist_ok=True)
    shell = Shell(tmp_path, google)
    shell.environment = {
        "CATCHUP_TERMINATION_LOG": str(shell.termination_log),
        "CATCHUP_TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "CATCHUP_TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "CATCHUP_TWILIO_FROM": SENDER,
        "CATCHUP_TWILIO_API_BASE_URL": twilio.url,
        "CATCHUP_SMTP_HOST": "localhost",
        "CATCHUP_SMTP_PORT": str(mail.port),
        "CATCHUP_SMTP_FROM": "CatchUp <digest@example.com>",
        "CATCHUP_SMTP_USERNAME": "catchup",
        "CATCHUP_SMTP_PASSWORD": "double",
        "CATCHUP_SMTP_CA_FILE": str(mail.ca_file),
    }
    return World(shell, twilio, mail)


def test_a_digest_by_hand_is_sent_once_that_day_and_shown_with_the_user(world: World) -> None:
    world.suggest()
    world.run("digest", "--user", "ada")
    assert world.summary().outcome is Outcome.DONE
    assert world.summary().counts == {Count.DIGEST_ITEMS: 1, Count.SMS_SENT: 1}
    world.run("digest", "--user", "ada")
    assert (world.summary().outcome, world.summary().reason) == (Outcome.SKIPPED, Reason.ALREADY_DONE)
    assert [message["to"] for message in world.twilio.control.messages()] == [PHONE]
    shown = world.run("user", "show", "ada")
    assert "sms         +44********23 (on, consent 2026-01-10)" in shown
    assert "email       a***@example.com (fallback)" in shown
    assert re.search(r"last digest \d{4}-\d\d-\d\d: sms sent \(delivered\), email skipped \(not_needed\)", shown)


def test_neither_address_nor_name_nor_token_reaches_a_log_or_the_summary(world: World) -> None:
    world.environment |= {"CATCHUP_ACTION_BASE_URL": BASE_URL, "CATCHUP_LOG_FORMAT": "json"}
    world.import_user(channels=USER["channels"] | {"email": {"address": MAILBOX, "mode": "on"}})
    world.suggest()
    world.twilio.control.add_fault(kind="create", accept_then_drop=True)
    world.mail.control.add_fault(stage="rcpt", reply=f"451 {MAILBOX} later")
    printed = world.run("digest", "--user", "ada") + world.shell.termination_log.read_text()
    world.twilio.control.outcome(PHONE, "undelivered", 30003)
    printed += world.run("digest", "--user", "ada") + world.shell.termination_log.read_text()
    assert (len(world.twilio.control.messages()), len(world.mail.control.messages())) == (1, 1)
    for canary in (PHONE, PHONE[1:], "7700900123", MAILBOX, FRIEND, "Ben", AUTH_TOKEN + '"', BASE_URL, "42 days"):
        assert canary not in printed


def test_nobody_configured_anything_and_the_digest_is_skipped(world: World) -> None:
    for name in [name for name in world.environment if "TWILIO" in name or "SMTP" in name]:
        del world.environment[name]
    world.suggest()
    world.run("digest", "--user", "ada")
    assert (world.summary().outcome, world.summary().reason) == (Outcome.SKIPPED, Reason.NOT_CONFIGURED)


@pytest.mark.parametrize("missing", ["CATCHUP_TWILIO_AUTH_TOKEN", "CATCHUP_TWILIO_FROM", "CATCHUP_SMTP_FROM"])
def test_half_a_configuration_is_78_and_names_what_is_missing(world: World, missing: str) -> None:
    del world.environment[missing]
    world.suggest()
    assert missing in world.run("digest", "--user", "ada", code=ExitCode.MISCONFIGURED)


def test_the_userschedules_time_and_slot_decide(world: World) -> None:
    due = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    world.environment |= {
        "CATCHUP_TIME_ZONE": "Etc/UTC",
        "CATCHUP_DIGEST_DAY": "Daily",
        "CATCHUP_DIGEST_TIME": f"{due:%H:%M}",
        "CATCHUP_CRONJOB_NAME": "digest-ada",
        "CATCHUP_JOB_NAME": f"digest-ada-{int(due.timestamp()) // 60 - 1}",
    }
    world.suggest()
    world.run("digest", "--user", "ada")
    assert (world.summary().outcome, world.summary().reason) == (Outcome.SKIPPED, Reason.NOT_DUE)
    world.environment["CATCHUP_JOB_NAME"] = f"digest-ada-{int(due.timestamp()) // 60}"
    world.run("digest", "--user", "ada")
    assert world.summary().outcome is Outcome.DONE


def test_a_digest_goes_on_without_redis_and_a_sync_does_not(world: World, postgresql_url: str) -> None:
    world.environment |= {
        "CATCHUP_DATABASE_URL": postgresql_url,
        "CATCHUP_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    world.import_user()
    world.run("digest", "--user", "ada")
    assert (world.summary().outcome, world.summary().reason) == (Outcome.SKIPPED, Reason.EMPTY)
    world.run("sync", "--user", "ada", code=ExitCode.TEMPORARY)


def test_the_same_run_twice_at_once_is_one_sms(world: World, postgresql_url: str, redis_url: str) -> None:
    world.environment |= {
        "CATCHUP_DATABASE_URL": postgresql_url,
        "CATCHUP_REDIS_URL": redis_url,
        "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "CATCHUP_JOB_UID": "job-1",
    }
    world.import_user()
    world.suggest(database=Database.open(postgresql_url))
    world.twilio.control.add_fault(kind="create", delay=1.5)
    pods = [world.shell.start("digest", "--user", "ada") for _ in range(2)]
    printed = [pod.communicate(timeout=120) for pod in pods]
    assert [pod.returncode for pod in pods] == [0, 0], printed
    assert world.twilio.control.faults()[0]["fired"] == 1
    assert len(world.twilio.control.messages()) == 1


def test_sigterm_while_the_provider_is_asked_lets_the_answer_be_recorded(world: World) -> None:
    world.suggest()
    world.twilio.control.add_fault(kind="create", delay=2)
    pod = world.shell.start("digest", "--user", "ada")
    wait_until(lambda: world.twilio.control.faults()[0]["fired"] == 1, "Twilio is asked")
    pod.send_signal(signal.SIGTERM)
    out, err = pod.communicate(timeout=120)
    assert pod.returncode == 0, out + err
    assert world.summary().counts[Count.SMS_SENT] == 1
    assert len(world.twilio.control.messages()) == 1


def test_a_digest_that_was_given_up_can_be_retried(world: World) -> None:
    world.environment["CATCHUP_JOB_UID"] = "job-1"
    world.environment["CATCHUP_TWILIO_API_BASE_URL"] = f"http://127.0.0.1:{free_port()}"
    world.suggest()
    world.run("digest", "--user", "ada", code=ExitCode.PERMANENT)
    world.environment["CATCHUP_TWILIO_API_BASE_URL"] = world.twilio.url
    assert "1 ended well" in world.run("failures", "retry", "digest:ada:job-1")
    assert len(world.twilio.control.messages()) == 1


# What a pod pays --------------------------------------------------------------------------------------------------

_PROBE = """
import sys
sys.argv[0] = "catchup-jobs"
from catchup_jobs.cli import main
try:
    main()
finally:
    heavy = ("twilio", "requests", "phonenumbers", "jinja2", "cryptography", "smtplib", "opentelemetry")
    print("PROBE", *(name for name in heavy if name in sys.modules))
"""


def test_a_digest_with_nothing_to_send_imports_no_client(world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, "digest", "--user", "ada"],
        env=world.environment | {"HOME": str(world.shell.directory), "CATCHUP_LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["PROBE"]
    assert (world.summary().outcome, world.summary().reason) == (Outcome.SKIPPED, Reason.EMPTY)


# Suggestions ------------------------------------------------------------------------------------------------------


def test_suggestions_are_listed_for_people_and_for_programs(world: World) -> None:
    assert "no suggestions" in world.run("suggestion", "list", "ada")
    suggestion = world.suggest()
    listed = world.run("suggestion", "list", "ada")
    assert re.search(
        rf"^{suggestion} +pending +{FRIEND} +\w+ \d+ \w+ \d\d:\d\d \w+ +call +42 days", listed, re.MULTILINE
    )
    (document,) = json.loads(world.out("suggestion", "list", "ada", "--output", "json"))
    assert (document["id"], document["contact"], document["status"]) == (suggestion, FRIEND, "pending")
    assert (document["timeZone"], document["version"]) == (ZONE, 1)


def test_answering_changes_the_status_once_and_what_is_over_is_refused(world: World) -> None:
    suggestion = str(world.suggest())
    assert f"accepted: {FRIEND}" in world.run("suggestion", "accept", suggestion)
    assert f"already accepted: {FRIEND}" in world.run("suggestion", "accept", suggestion)
    assert "the suggestion is accepted already" in world.run("suggestion", "snooze", suggestion, code=65)
    assert f"dismissed: {FRIEND}" in world.run("suggestion", "dismiss", suggestion)
    assert "the suggestion is dismissed already" in world.run("suggestion", "accept", suggestion, code=65)
    assert "no suggestions" in world.run("suggestion", "list", "ada")
    assert "dismissed" in world.run("suggestion", "list", "ada", "--status", "dismissed")


def test_an_answered_suggestion_is_gone_from_the_next_digest(world: World) -> None:
    world.run("suggestion", "accept", str(world.suggest()))
    world.run("digest", "--user", "ada")
    assert world.summary().reason is Reason.EMPTY


def test_a_snooze_lasts_as_long_as_told(world: World) -> None:
    suggestion = str(world.suggest())
    told = json.loads(world.out("suggestion", "snooze", suggestion, "--days", "3", "--output", "json"))
    until = datetime.strptime(told["snoozedUntil"], "%Y-%m-%dT%H:%M:%S%z")
    assert timedelta(days=2, hours=23) < until - datetime.now(UTC) < timedelta(days=3, hours=1)
    assert "a time to come" in world.run(
        "suggestion", "snooze", suggestion, "--until", "2020-01-01T00:00:00+00:00", code=65
    )


def test_a_change_in_between_is_told_by_the_version(world: World) -> None:
    suggestion = str(world.suggest())
    world.run("suggestion", "snooze", suggestion, "--version", "1")
    assert "at version 2 now" in world.run("suggestion", "accept", suggestion, "--version", "1", code=65)
    world.run("suggestion", "accept", suggestion, "--version", "2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("suggestion", "accept", "999"), "no suggestion 999"),
        (("suggestion", "accept", "zero"), "not a valid integer"),
        (("suggestion", "list", "nobody"), "user import"),
        (("suggestion", "redeem", "nonsense"), "the link is not valid"),
        (("suggestion", "snooze", "1", "--days", "0"), "range"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(world: World, arguments: tuple[str, ...], message: str) -> None:
    assert message in world.run(*arguments, code=65)


# Links ------------------------------------------------------------------------------------------------------------


def links(text: str) -> list[str]:
    return re.findall(rf"{re.escape(BASE_URL)}/([A-Za-z0-9_-]+)", text)


def test_the_links_of_an_email_are_redeemed_once_and_again_without_effect(world: World) -> None:
    world.environment["CATCHUP_ACTION_BASE_URL"] = BASE_URL
    world.import_user(channels={"email": {"address": MAILBOX, "mode": "on"}})
    world.suggest()
    world.run("digest", "--user", "ada")
    (email,) = world.mail.control.messages()
    accept, snooze, dismiss, unsubscribe = links(email["text"])
    told = json.loads(world.out("suggestion", "redeem", accept, "--output", "json"))
    assert (told["status"], told["changed"], told["contact"]) == ("accepted", True, FRIEND)
    told = json.loads(world.out("suggestion", "redeem", accept, "--output", "json"))
    assert (told["status"], told["changed"]) == ("accepted", False)
    assert "accepted already" in world.run("suggestion", "redeem", snooze, code=65)
    assert json.loads(world.out("suggestion", "redeem", dismiss, "--output", "json"))["status"] == "dismissed"
    for _ in range(2):
        assert "no more emails" in world.run("suggestion", "redeem", unsubscribe)
    assert "opted out" in world.run("user", "show", "ada")


def test_the_link_of_an_sms_opens_the_digests_suggestions_with_a_link_for_each_answer(world: World) -> None:
    world.environment["CATCHUP_ACTION_BASE_URL"] = f"{BASE_URL}/"
    suggestion = world.suggest()
    world.run("digest", "--user", "ada")
    (sms,) = world.twilio.control.messages()
    (token,) = links(sms["body"])
    opened = json.loads(world.out("suggestion", "redeem", token, "--output", "json"))
    (document,) = opened["suggestions"]
    assert (opened["action"], document["id"], document["status"]) == ("open", suggestion, "pending")
    assert list(document["links"]) == ["accept", "snooze", "dismiss"]
    (accept,) = links(document["links"]["accept"])
    assert "accepted" in world.run("suggestion", "redeem", accept)
    assert "accept: https://" in world.run("suggestion", "redeem", token)


def test_an_unsubscribed_address_gets_no_more_emails_whoever_gives_it(world: World) -> None:
    world.environment["CATCHUP_ACTION_BASE_URL"] = BASE_URL
    world.import_user(channels={"email": {"address": MAILBOX, "mode": "on"}})
    world.suggest()
    world.run("digest", "--user", "ada")
    *_, unsubscribe = links(world.mail.control.messages()[0]["text"])
    world.run("suggestion", "redeem", unsubscribe)
    other = {"id": "bob", "name": "Bob", "channels": {"email": {"address": MAILBOX.title(), "mode": "on"}}}
    world.run("user", "import", "-", stdin=json.dumps(other))
    assert "opted out" in world.run("user", "show", "bob")


# Channels in the import -------------------------------------------------------------------------------------------


def test_a_wrong_channel_changes_nothing_and_is_never_repeated(world: World) -> None:
    wrong = {**USER, "channels": {"sms": {"phone": "07700 900123"}, "email": {"address": "ada@example.com\nBcc: eve"}}}
    printed = world.run("user", "import", "-", stdin=json.dumps(wrong), code=65)
    assert "ada: channels.sms.phone: must be a phone number with its country" in printed
    assert "ada: channels.email.address: must be an email address" in printed
    assert "900123" not in printed.replace("+44 7700 900123", "")
    assert "Bcc" not in printed
    assert "+44********23" in world.run("user", "show", "ada")


def test_a_file_without_channels_leaves_them_and_one_with_fewer_removes_the_rest(world: World) -> None:
    without = {name: value for name, value in USER.items() if name != "channels"}
    world.run("user", "import", "-", stdin=json.dumps(without))
    assert "+44********23" in world.run("user", "show", "ada")
    world.import_user(channels={"email": {"address": MAILBOX, "mode": "off"}})
    shown = world.run("user", "show", "ada")
    assert "+44" not in shown
    assert "a***@example.com (off)" in shown
    world.import_user(channels={"sms": {"phone": PHONE}})
    assert "consent 2026-01-10" in world.run("user", "show", "ada")  # it belongs to the number


def test_addresses_survive_a_rotation_of_keys_and_are_not_shown_without_theirs(world: World) -> None:
    (old,) = (world.shell.directory / ".local/share/catchup-jobs/encryption.keys").read_text().split()
    new = Fernet.generate_key().decode()
    world.environment["CATCHUP_ENCRYPTION_KEYS"] = f"{new},{old}"
    world.suggest()
    world.run("digest", "--user", "ada")
    assert len(world.twilio.control.messages(PHONE)) == 1
    world.environment["CATCHUP_ENCRYPTION_KEYS"] = new
    assert "not readable with these encryption keys" in world.run("user", "show", "ada")
    # Imported again under the new key, the old one can go, and the consent with it stays.
    world.environment["CATCHUP_ENCRYPTION_KEYS"] = f"{new},{old}"
    world.import_user(channels={"sms": {"phone": PHONE}})
    world.environment["CATCHUP_ENCRYPTION_KEYS"] = new
    assert "consent 2026-01-10" in world.run("user", "show", "ada")


def test_a_preview_says_what_would_be_sent_and_sends_and_records_nothing(world: World) -> None:
    world.import_user()
    assert "no suggestion is pending" in world.out("digest", "--user", "ada", "--preview")
    world.suggest()
    shown = world.out("digest", "--user", "ada", "--preview")
    assert "--- sms (mode on)" in shown
    assert "--- email (mode fallback)" in shown
    assert shown.count(FRIEND) >= 2
    assert world.twilio.control.messages() == []
    assert world.mail.control.messages() == []
    assert json.loads(world.out("deliveries", "list", "--output", "json")) == []
    assert "user import" in world.run("digest", "--user", "nobody", "--preview", code=65)


def test_whose_organisation_forbids_the_access_is_asked_by_the_next_digest_to_connect_again(world: World) -> None:
    url = "https://app.example.com/settings?tab=calendar"
    google = world.shell.google
    google.add_user(EMAIL, time_zone=ZONE)
    world.environment |= {
        "CATCHUP_CONNECT_URL": url,
        "CATCHUP_GOOGLE_CLIENT_ID": CLIENT_ID,
        "CATCHUP_GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
        "CATCHUP_GOOGLE_API_ENDPOINT": google.api_endpoint,
        "CATCHUP_GOOGLE_TOKEN_URI": google.token_uri,
    }
    connect(world.shell)
    assert "nothing would be sent" in world.out("digest", "--user", "ada", "--preview")
    google.add_fault(kind="calendarList", status=403, reason="domainPolicy")
    world.run("sync", "--user", "ada")
    assert world.summary().reason is Reason.RECONNECT
    shown = world.out("digest", "--user", "ada", "--preview")
    assert shown.count(f"to get new suggestions, connect it again: {url}") == 2
    world.run("digest", "--user", "ada")
    assert world.summary().counts == {Count.DIGEST_ITEMS: 0, Count.SMS_SENT: 1}
    (sms,) = world.twilio.control.messages()
    assert f"connect it again: {url}\n" in sms["body"]
    connect(world.shell)
    assert "nothing would be sent" in world.out("digest", "--user", "ada", "--preview")


def test_a_preview_says_why_a_channel_would_not_be_used(world: World) -> None:
    world.import_user(channels={"sms": {"phone": PHONE, "consent": False}})
    world.suggest()
    shown = world.out("digest", "--user", "ada", "--preview")
    assert "--- sms (not sent: no_consent)" in shown
    assert "--- email (not sent: no_address)" in shown


def test_deliveries_are_listed_without_address_or_text_and_trouble_shows_in_the_exit_code(world: World) -> None:
    world.import_user()
    world.suggest()
    world.run("digest", "--user", "ada")
    (sms, email) = sorted(
        json.loads(world.out("deliveries", "list", "--output", "json")), key=lambda each: str(each["channel"] != "sms")
    )
    assert (sms["user"], sms["channel"], sms["status"], sms["attempts"]) == ("ada", "sms", "sent", 1)
    assert (email["channel"], email["status"], email["reason"]) == ("email", "skipped", "not_needed")
    told = world.run("deliveries", "list", "--user", "ada", "--newer-than", "1h")
    assert not any(secret in told for secret in (PHONE, MAILBOX, FRIEND))
    assert "no deliveries" in world.run("deliveries", "list", "--status", "failed")


def test_a_failed_delivery_shows_in_the_exit_code(world: World) -> None:
    world.import_user(channels={"sms": USER["channels"]["sms"]})
    world.suggest()
    world.twilio.control.stop(PHONE)
    world.run("digest", "--user", "ada")
    assert "21610" in world.run("deliveries", "list", code=1)


def test_a_deleted_user_leaves_nothing_but_the_stop(world: World) -> None:
    world.import_user()
    world.suggest()
    world.twilio.control.stop(PHONE)
    world.run("digest", "--user", "ada")
    told = world.run("user", "delete", "ada", "--yes")
    for removed in ("1 contacts", "1 suggestions", "1 digests", "2 addresses", "1 runs"):
        assert removed in told
    assert "there is no user" in world.run("user", "delete", "ada", "--yes", code=65)
    with closing(world.shell.database()) as database, database.read() as connection:
        rows = {
            table.name: connection.execute(select(table)).all()
            for table in metadata.sorted_tables
            if table.name not in {"schema_info", "consents", "run_counts"}  # numbers of the whole fleet
        }
        assert {name: len(found) for name, found in rows.items() if found} == {}
        (consent,) = connection.execute(select(consents)).all()
    assert consent.opted_out_at is not None
    # Whoever has the number next is not written to either.
    world.import_user()
    world.suggest()
    assert "opted out" in world.run("user", "show", "ada")


def test_deleting_a_user_asks_first(world: World) -> None:
    world.import_user()
    assert "Aborted" in world.run("user", "delete", "ada", code=130)
    assert "ada" in world.run("user", "show", "ada")


def test_a_user_is_shown_with_what_support_asks_for_first(world: World) -> None:
    world.suggest()
    world.run("digest", "--user", "ada")
    shown = world.run("user", "show", "ada")
    assert re.search(r"suggestions +1 pending", shown)
    assert re.search(r"digest run +20\d\d-.*Z \(done\)", shown)
    known = json.loads(world.out("user", "show", "ada", "--output", "json"))
    assert known["suggestions"] == {"pending": 1}
    assert [run["kind"] for run in known["lastRuns"]] == ["digest"]
    assert known["channels"][0]["address"] == "+44********23"
    assert known["lastDigest"]["deliveries"][0]["status"] == "sent"
    assert known["givenUp"] == 0
    (listed,) = json.loads(world.out("user", "show", "--output", "json"))
    assert (listed["id"], listed["timeZone"]) == ("ada", ZONE)
