"""What a digest costs, in what can be counted: statements, statements made anew, TLS contexts, keys."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from shutil import copyfile
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet
from integration.jobs.database_faults import statements
from integration.jobs.digest_world import ADA, BOB, DUE, DigestWorld
from integration.jobs.test_digest import SENT, skipped, told
from integration.jobs.test_message_doubles import letter
from sqlalchemy.sql.base import Generative

from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.messaging.smtp_email import SmtpEmail
from catchup_jobs.cli.resources import encryption_of
from catchup_jobs.jobs.digest.provider_answers import Accepted, Unusable
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.adapters.encryption import Encryption


# What every kind of job does beside its own work: runs, their counters and the sweep of those that crashed.
OF_RUNS = re.compile(r"(FROM|INTO|UPDATE) (runs|run_counts|dead_letters)\b")


def of_digests(texts: list[str]) -> list[str]:
    return [text for text in texts if not OF_RUNS.search(text)]


def by_email(world: DigestWorld, user_id: str) -> None:
    world.reach(user_id, phone=None, email=f"{user_id}@example.com")
    world.suggest(user_id=user_id)
    world.suggest(user_id=user_id, hours=50)


def test_a_digest_by_email_makes_few_statements(digest_world: DigestWorld) -> None:
    by_email(digest_world, ADA)
    with statements(digest_world.database) as seen:
        assert told(digest_world.digest()) == SENT
    assert len(of_digests(seen)) == 15, "\n".join(seen)


def test_a_digest_with_nothing_to_send_makes_few_statements(digest_world: DigestWorld) -> None:
    digest_world.digest()
    digest_world.now += timedelta(days=7)
    with statements(digest_world.database) as seen:
        assert told(digest_world.digest(slot=DUE + timedelta(days=7))) == skipped(Reason.EMPTY)
    assert len(of_digests(seen)) == 2, "\n".join(seen)


def test_the_digests_of_further_users_use_the_statements_of_the_first(
    digest_world: DigestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    usual = Generative._generate

    def note(self: Any) -> Any:
        made.append(str(self))
        return usual(self)

    for user_id in (BOB, "cleo"):
        digest_world.add_user(user_id)
        digest_world.reach(user_id, phone=None, email=None)
    for user_id in (ADA, BOB):
        by_email(digest_world, user_id)
    assert told(digest_world.digest(ADA)) == SENT
    assert told(digest_world.digest("cleo")) == skipped(Reason.EMPTY)
    digest_world.add_user("dora")
    monkeypatch.setattr(Generative, "_generate", note)
    assert told(digest_world.digest(BOB)) == SENT
    assert told(digest_world.digest("dora")) == skipped(Reason.EMPTY)
    assert of_digests(made) == []
    digest_world.set_user("dora", city="Berlin")
    assert of_digests(made), "a statement that is made anew is noticed"


def test_all_emails_of_a_process_share_a_tls_context_until_the_authorities_are_renewed(
    digest_world: DigestWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str | None] = []
    usual = ssl.create_default_context

    def note(*, cafile: str | None) -> ssl.SSLContext:
        made.append(cafile)
        return usual(cafile=cafile)

    monkeypatch.setattr(ssl, "create_default_context", note)
    ca_file = tmp_path / "smtp.crt"
    assert digest_world.server is not None
    sender = SmtpEmail(replace(digest_world.server, ca_file=str(ca_file)), now=lambda: datetime.now(UTC))
    assert isinstance(sender.send(letter()), Unusable), "there is no such file yet"
    copyfile(digest_world.mail.ca_file, ca_file)
    for _ in range(2):
        assert isinstance(sender.send(letter()), Accepted)
    assert made == [str(ca_file)]
    os.utime(ca_file, ns=(0, 0))
    assert isinstance(sender.send(letter()), Accepted)
    assert made == [str(ca_file)] * 2, "a file that was renewed is read again"


def test_keys_are_made_once_for_all_users_of_a_process(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def encryption() -> Encryption:
        return encryption_of(Settings.load(), database)

    monkeypatch.setenv("CATCHUP_DATABASE_URL", "postgresql://nobody@localhost/none")
    monkeypatch.setenv("CATCHUP_ENCRYPTION_KEYS", Fernet.generate_key().decode())
    first = encryption()
    assert encryption() is first
    monkeypatch.setenv("CATCHUP_ENCRYPTION_KEYS", Fernet.generate_key().decode())
    assert encryption().key_id != first.key_id
