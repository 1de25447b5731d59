"""A user with a phone, an email address and suggestions, doubles of the providers, and a clock that tests turn."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet
from sqlalchemy import insert, select, update

from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.kinds import DIGEST
from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, SENDER
from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens
from catchup_jobs.adapters.database.digests.store import DatabaseDigests
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import consents, contacts, deliveries, digests, suggestions, users
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.adapters.files.locks import FileLocks
from catchup_jobs.adapters.messaging.action_links import ActionLinks
from catchup_jobs.adapters.messaging.smtp_email import MailServer, SmtpEmail
from catchup_jobs.adapters.messaging.twilio_http import BoundedHttp
from catchup_jobs.adapters.messaging.twilio_sms import TwilioAccount, TwilioSms
from catchup_jobs.domain.calendar.access_token import OAuthToken
from catchup_jobs.domain.digest.addresses import GivenAddress
from catchup_jobs.domain.digest.channels import CHANNELS, EMAIL, SMS, Channel
from catchup_jobs.domain.digest.email_text import EmailDigest, email_digest
from catchup_jobs.domain.digest.sms_text import sms_text
from catchup_jobs.domain.stored_enums import ChannelMode, SuggestionStatus, Trigger
from catchup_jobs.jobs.digest.job import Digest
from catchup_jobs.jobs.digest.messenger import Messenger, Sender
from catchup_jobs.jobs.run.endings import Report
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Process, Run, RunLocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from catchup_dev.doubles.smtp.server import SmtpDouble
    from catchup_dev.doubles.twilio.server import TwilioServer
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.digest.provider_answers import Gateway

ROOT = Path(__file__).parents[3]
ADA, BOB = "ada", "bob"
PHONE, OTHER_PHONE = "+447700900123", "+447700900456"
MAILBOX = "ada@example.com"
FRIEND = "Ben Canary"
BERLIN = "Europe/Berlin"
BASE_URL = "https://app.example.com/catchup"
# Sunday 09:00 in Berlin: the default digest's due time.
DUE = datetime(2026, 11, 29, 8, tzinfo=UTC)
DATE = date(2026, 11, 29)
SUNDAY_NINE = DigestTime(ZoneInfo(BERLIN), DigestDay.SUNDAY, time(9))


@dataclass
class DigestWorld:
    """User `ada` with a number that agreed, an email address as fallback, and friends to suggest."""

    database: Database
    twilio: TwilioServer
    mail: SmtpDouble
    lock_directory: Path
    now: datetime = DUE
    when: DigestTime | None = SUNDAY_NINE
    slept: list[float] = field(default_factory=list)
    key: str = field(default_factory=lambda: Fernet.generate_key().decode())
    even_at_night: bool = False
    has_twilio: bool = True
    has_mail: bool = True
    base_url: str | None = None
    connect_url: str | None = None
    account: TwilioAccount | None = None
    server: MailServer | None = None
    http_timeout: float = 15
    locks: RunLocks | None = None
    sms_gateway: Callable[[], Gateway[str]] | None = None
    more_senders: dict[Channel, Sender[Any]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.twilio.store.now = lambda: self.now
        self.encryption = Encryption([self.key])
        self.addresses = DatabaseAddresses(self.database, lambda: self.encryption)
        self.store = DatabaseDigests(self.database, self.addresses, has_links=True)
        self.account = TwilioAccount(ACCOUNT_SID, AUTH_TOKEN, sender=SENDER, base_url=self.twilio.url)
        self.server = MailServer(
            "localhost",
            self.mail.port,
            "CatchUp <digest@example.com>",
            username="catchup",
            password="double",
            ca_file=str(self.mail.ca_file),
        )

    # What there is ----------------------------------------------------------------------------------------------

    def add_user(self, user_id: str = ADA, *, name: str = "Ada") -> None:
        values = {
            "id": user_id,
            "name": name,
            "time_zone": BERLIN,
            "digest_day": DigestDay.SUNDAY,
            "digest_time": time(9),
            "sync_every": "30m",
            "created_at": self.now,
            "updated_at": self.now,
        }
        with self.database.write() as connection:
            connection.execute(insert(users), values)

    def set_user(self, user_id: str = ADA, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(users).where(users.c.id == user_id).values(**values))

    def reach(
        self,
        user_id: str = ADA,
        *,
        phone: str | None = PHONE,
        email: str | None = MAILBOX,
        consented: bool | None = True,
        consented_at: datetime | None = None,
        email_mode: ChannelMode = ChannelMode.FALLBACK,
        sms_mode: ChannelMode = ChannelMode.ON,
    ) -> None:
        """Give the user these addresses, as an import would."""
        given = []
        if phone is not None:
            given.append(GivenAddress(SMS, phone, sms_mode, consented, consented_at))
        if email is not None:
            given.append(GivenAddress(EMAIL, email, email_mode))
        with self.database.write() as connection:
            self.addresses.import_into(connection, user_id, given, now=self.now)

    def suggest(
        self,
        name: str = FRIEND,
        *,
        user_id: str = ADA,
        hours: float = 30,
        status: SuggestionStatus = SuggestionStatus.PENDING,
        trigger: Trigger = Trigger.TIME_BOUND,
        zone: str | None = None,
        reason: str = "42 days since you last met; you aim for monthly",
        **values: Any,
    ) -> int:
        """Add a contact and a suggestion that starts so many hours after the due time; return its id."""
        number = next(self._numbers)
        start = DUE + timedelta(hours=hours)
        with self.database.write() as connection:
            contact = connection.execute(
                insert(contacts).values(
                    user_id=user_id,
                    external_id=f"c-{number}",
                    name=name,
                    time_zone=zone,
                    created_at=self.now,
                    updated_at=self.now,
                )
            ).inserted_primary_key
            assert contact is not None
            row = {
                "user_id": user_id,
                "contact_id": contact[0],
                "trigger": trigger,
                "status": status,
                "mode": "call",
                "start_at": start,
                "end_at": start + timedelta(hours=1),
                "reasoning": reason,
                "source_event_id": "e-1" if trigger is Trigger.SHARED_ACTIVITY else None,
                "snoozed_until": start if status is SuggestionStatus.SNOOZED else None,
                "expiry_reason": "passed" if status is SuggestionStatus.EXPIRED else None,
                "created_at": self.now,
                "updated_at": self.now,
                **values,
            }
            made = connection.execute(insert(suggestions).values(**row)).inserted_primary_key
            assert made is not None
            return int(made[0])

    def connect(self, user_id: str = ADA) -> None:
        """Give the user a connected calendar, in place of any other."""
        DatabaseTokens(self.database, self.encryption).connect(user_id, OAuthToken("refresh", None, None), now=self.now)

    def end_consent(self, user_id: str = ADA) -> None:
        """Store what a sync stores when Google says that the user's consent is gone."""
        tokens = DatabaseTokens(self.database, self.encryption)
        if (stored := tokens.load(user_id)) is None:
            self.connect(user_id)
            stored = tokens.load(user_id)
        assert stored is not None
        assert tokens.mark_reconnect(user_id, version=stored.version, now=self.now)

    # What happens -----------------------------------------------------------------------------------------------

    def digest(
        self, user_id: str = ADA, *, slot: datetime | None = DUE, manual_id: str = "", pod: str | None = None
    ) -> Report:
        """Run the job as the command line does, with this world's clock; waits only turn the clock."""
        return run_job(
            Digest(store=self.store, messenger=self.messenger(), when=self.when, even_at_night=self.even_at_night),
            Run(DIGEST, user_id, slot, manual_id or f"manual-{next(self._numbers)}"),
            store=DatabaseRunStore(self.database),
            locks=self.locks or FileLocks(self.lock_directory),
            process=Process(
                now=lambda: self.now,
                sleep=self._sleep,
                random=lambda: 0.5,
                stopping=lambda: False,
                process_id=pod or f"pod-{next(self._numbers)}",
            ),
            deadline_seconds=900,
        )

    @contextmanager
    def while_twilio_is_asked(self, act: Callable[[], object]) -> Iterator[None]:
        """Do something once, while Twilio holds a request to send; it is carried out afterwards."""
        done = Future[object]()

        def meanwhile(kind: str) -> None:
            if kind == "create":
                self.twilio.meanwhile = None
                try:
                    done.set_result(act())
                except BaseException as error:  # noqa: BLE001 - the test's thread raises it
                    done.set_exception(error)

        self.twilio.meanwhile = meanwhile
        try:
            yield
            done.result(5)
        finally:
            self.twilio.meanwhile = None

    def digest_killed_while_it_sends(self, user_id: str = ADA) -> None:
        """Run the digest in a process that SIGKILL ends while Twilio holds its request."""
        process = self.process([user_id])
        with process, self.while_twilio_is_asked(process.kill):
            assert process.wait(60) == -signal.SIGKILL, process.communicate()

    def process(self, user_ids: Sequence[str], *, first: int = 0, every: int = 1) -> subprocess.Popen[str]:
        """Start `integration.jobs.digest_process` for these users and lines, at the time of this world."""
        assert self.account is not None
        options = {
            "database_url": self.database.engine.url.render_as_string(hide_password=False),
            "now": self.now.isoformat(),
            "key": self.key,
            "account": asdict(self.account),
            "locks": str(self.lock_directory),
            "users": user_ids,
            "first": first,
            "every": every,
        }
        paths = os.pathsep.join(str(ROOT / name) for name in ("contract", "jobs_image", "tests", "dev"))
        return subprocess.Popen(
            [sys.executable, "-m", "integration.jobs.digest_process", json.dumps(options)],
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def messenger(self) -> Messenger:
        """Return what the job sends with."""
        return Messenger(
            {
                SMS: Sender(sms_text, str, (self.sms_gateway or self._sms) if self.has_twilio else None),
                EMAIL: Sender(email_digest, EmailDigest.preview, self._email if self.has_mail else None),
                **self.more_senders,
            },
            links=(lambda: ActionLinks(self.base_url or "", self.encryption)) if self.base_url else None,
            connect_url=self.connect_url,
        )

    def firing(self, hours: float) -> Report:
        """Run the slot so many hours after the due time, at that time or at the present, if that is later."""
        slot = DUE + timedelta(hours=hours)
        self.now = max(self.now, slot)
        return self.digest(slot=slot)

    def pass_time(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    def _sms(self) -> Gateway[str]:
        assert self.account is not None
        http = BoundedHttp(
            self.account.base_url,
            connect_timeout=self.http_timeout,
            read_timeout=self.http_timeout,
            request_seconds=self.http_timeout,
        )
        return TwilioSms(self.account, now=lambda: self.now, http=http)

    def _email(self) -> Gateway[EmailDigest]:
        assert self.server is not None
        return SmtpEmail(self.server, now=lambda: self.now, timeout=self.http_timeout, conversation=self.http_timeout)

    # What came of it --------------------------------------------------------------------------------------------

    def sms(self, to: str | None = None) -> list[dict[str, Any]]:
        """Return the messages that Twilio took."""
        return self.twilio.control.messages(to)

    def emails(self) -> list[dict[str, Any]]:
        """Return the messages that the mail server took."""
        return self.mail.control.messages()

    def delivery(self, channel: Channel, user_id: str = ADA, due_date: date = DATE) -> Any:
        """Return a delivery's row, None where there is none."""
        statement = (
            select(deliveries)
            .join(digests)
            .where(digests.c.user_id == user_id, digests.c.due_date == due_date, deliveries.c.channel == channel)
        )
        with self.database.read() as connection:
            return connection.execute(statement).one_or_none()

    def statuses(self) -> dict[str, str]:
        """Return the status per channel of today's digest, with the reason or code."""
        found = {}
        for channel in CHANNELS.values():
            row = self.delivery(channel)
            if row is not None:
                note = row.skip_reason.value if row.skip_reason else row.error_code
                found[channel.name] = f"{row.status.value}({note})" if note else row.status.value
        return found

    def digest_rows(self) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(select(digests).order_by(digests.c.due_date)))

    def suggestion(self, suggestion_id: int) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(suggestions).where(suggestions.c.id == suggestion_id)).one()

    def consent_rows(self) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(select(consents)))
