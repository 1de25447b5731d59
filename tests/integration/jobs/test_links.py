"""What links in messages do to rows: of the user, contact, time and address that they were made for, and no other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from integration.jobs.digest_world import ADA, BOB, DATE, DUE, MAILBOX, DigestWorld
from sqlalchemy import delete, select, update

from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.people.erasure import erase
from catchup_jobs.adapters.database.people.key_rotation import KeyRotation
from catchup_jobs.adapters.database.schema import deliveries, suggestions
from catchup_jobs.adapters.database.suggestions.answers import DatabaseAnswers
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.adapters.messaging.action_links import ActionLinks, read_token
from catchup_jobs.domain.digest.action_tokens import UNSUBSCRIBE_LIFE, ActionToken
from catchup_jobs.domain.digest.channels import EMAIL
from catchup_jobs.domain.planning.answers import Answer
from catchup_jobs.domain.stored_enums import SuggestionStatus
from catchup_jobs.jobs.run.errors import PermanentError

NEW_MAILBOX = "ada@example.org"


def accept_link(world: DigestWorld, suggestion: int, user_id: str = ADA) -> str:
    items = world.store.selection(user_id, DATE, now=world.now).items
    (item,) = (each for each in items if each.suggestion_id == suggestion)
    links = ActionLinks("https://app.example.com", world.encryption)
    return links.of_suggestion(item, user_id, now=world.now)["accept"].rpartition("/")[2]


def read(world: DigestWorld, token: str) -> ActionToken:
    binding_of = DatabaseAnswers(world.database).binding
    return read_token(token, world.encryption, now=world.now, binding_of=binding_of)


def opted_out(world: DigestWorld, address: str) -> bool:
    world.reach(BOB, phone=None, email=address)
    return world.addresses.destinations(BOB)[EMAIL].opted_out


@pytest.fixture
def mailed(digest_world: DigestWorld) -> DigestWorld:
    """An email was sent to the user, and there is another user."""
    digest_world.add_user(BOB)
    digest_world.reach(phone=None)
    digest_world.suggest()
    digest_world.digest()
    return digest_world


def digest_id(world: DigestWorld) -> int:
    return int(world.digest_rows()[0].id)


def test_the_links_of_a_deleted_user_act_on_nobody_else(digest_world: DigestWorld) -> None:
    token = accept_link(digest_world, digest_world.suggest())
    erase(digest_world.database, ADA)
    digest_world.add_user(BOB)
    later = digest_world.suggest(user_id=BOB)
    with pytest.raises(PermanentError, match="gone"):
        read(digest_world, token)
    assert digest_world.suggestion(later).status is SuggestionStatus.PENDING


@pytest.mark.parametrize("table", ["suggestions", "digests", "contacts", "deliveries"])
def test_the_id_of_a_deleted_row_is_never_given_to_another(digest_world: DigestWorld, table: str) -> None:
    def ids() -> set[Any]:
        digest_world.suggest()
        digest_world.digest(slot=None)
        with digest_world.database.read() as connection:
            metadata = suggestions.metadata
            return set(connection.execute(select(metadata.tables[table].c.id)).scalars())

    before = ids()
    erase(digest_world.database, ADA)
    digest_world.add_user()
    digest_world.reach()
    assert min(ids()) > max(before)


def test_an_old_mails_accept_after_the_time_moved_says_so_and_accepts_nothing(digest_world: DigestWorld) -> None:
    suggestion = digest_world.suggest()
    meant = read(digest_world, accept_link(digest_world, suggestion))
    hour = timedelta(hours=1)
    with digest_world.database.write() as connection:
        moved = update(suggestions).where(suggestions.c.id == suggestion)
        connection.execute(moved.values(start_at=DUE + hour, end_at=DUE + 2 * hour))
    answers = DatabaseAnswers(digest_world.database)
    with pytest.raises(PermanentError, match="2026-11-29 10:00 CET now"):
        answers.answer(suggestion, Answer.ACCEPT, now=digest_world.now, proposed=meant)
    assert digest_world.suggestion(suggestion).status is SuggestionStatus.PENDING
    _, changed = answers.answer(suggestion, Answer.DISMISS, now=digest_world.now, proposed=meant)
    assert changed


def test_accepting_what_has_become_busy_is_known(digest_world: DigestWorld) -> None:
    first, second, free = digest_world.suggest(), digest_world.suggest("Cleo"), digest_world.suggest("Dan", hours=60)
    answers = DatabaseAnswers(digest_world.database)
    views = {number: answers.answer(number, Answer.ACCEPT, now=digest_world.now)[0] for number in (first, second, free)}
    assert answers.time_is_busy(views[second])
    assert not answers.time_is_busy(views[free])


def test_unsubscribing_acts_on_the_address_that_was_written_to(mailed: DigestWorld) -> None:
    mailed.reach(phone=None, email=NEW_MAILBOX)
    assert mailed.addresses.opt_out_of_digest(digest_id(mailed), EMAIL, now=mailed.now)
    assert not mailed.addresses.destinations(ADA)[EMAIL].opted_out
    assert opted_out(mailed, MAILBOX)


def test_unsubscribing_after_a_rotation_holds_without_the_old_key(mailed: DigestWorld) -> None:
    old, new = mailed.key, Fernet.generate_key().decode()
    both = Encryption([new, old])
    KeyRotation(mailed.database, both, DatabaseAddresses(mailed.database, lambda: both)).rotate(now=mailed.now)
    book = DatabaseAddresses(mailed.database, lambda: both)
    assert book.opt_out_of_digest(digest_id(mailed), EMAIL, now=mailed.now)
    only_new = DatabaseAddresses(mailed.database, lambda: Encryption([new]))
    assert only_new.destinations(ADA)[EMAIL].opted_out


def test_a_rotation_says_until_when_the_old_key_is_needed_for_links(mailed: DigestWorld) -> None:
    new = Encryption([Fernet.generate_key().decode(), mailed.key])
    rotation = KeyRotation(mailed.database, new, DatabaseAddresses(mailed.database, lambda: new))
    sent_at = mailed.delivery(EMAIL).attempted_at
    assert rotation.links_until(now=mailed.now) == {mailed.encryption.key_id: sent_at + UNSUBSCRIBE_LIFE}
    assert rotation.links_until(now=mailed.now + UNSUBSCRIBE_LIFE) == {}


def test_a_digest_that_was_not_sent_by_a_channel_has_nobody_to_opt_out(mailed: DigestWorld) -> None:
    with mailed.database.write() as connection:
        connection.execute(delete(deliveries))
    assert not mailed.addresses.opt_out_of_digest(digest_id(mailed), EMAIL, now=mailed.now)
