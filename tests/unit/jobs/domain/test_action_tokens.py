"""Links: signed, expiring, for one thing each."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from hypothesis import example, given
from hypothesis import strategies as st

from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.adapters.messaging.action_links import ActionLinks, read_token
from catchup_jobs.domain.digest.action_tokens import LINK_LIFE, UNSUBSCRIBE_LIFE, Action
from catchup_jobs.jobs.run.errors import PermanentError

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
KEY, NEW_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
KEYS = Encryption([KEY])
LINKS = ActionLinks("https://app.example.com/catchup/", KEYS)


def token_of(address: str) -> str:
    head, _, token = address.rpartition("/")
    assert head == "https://app.example.com/catchup"
    return token


def test_a_link_is_short_and_reads_back() -> None:
    addresses = LINKS.of_suggestion(17, now=NOW)
    assert list(addresses) == ["accept", "snooze", "dismiss"]
    for name, action in (("accept", Action.ACCEPT), ("snooze", Action.SNOOZE), ("dismiss", Action.DISMISS)):
        token = token_of(addresses[name])
        assert len(token) == 40
        read = read_token(token, KEYS, now=NOW)
        assert (read.action, read.subject, read.expires_at) == (action, 17, NOW + LINK_LIFE)


def test_a_link_expires() -> None:
    token = token_of(LINKS.of_digest(5, now=NOW))
    assert read_token(token, KEYS, now=NOW + LINK_LIFE - timedelta(minutes=1)).action is Action.OPEN
    with pytest.raises(PermanentError, match="expired at 2026-12-13 08:00 UTC"):
        read_token(token, KEYS, now=NOW + LINK_LIFE)


def test_an_unsubscribe_link_works_for_sixty_days() -> None:
    token = token_of(LINKS.unsubscribe(5, now=NOW))
    assert read_token(token, KEYS, now=NOW + UNSUBSCRIBE_LIFE - timedelta(minutes=1)).action is Action.UNSUBSCRIBE


@given(st.integers(0, 29), st.integers(1, 255))
@example(10, 250)  # expires in the year 10001
def test_a_changed_link_is_refused(position: int, difference: int) -> None:
    token = token_of(LINKS.of_suggestion(17, now=NOW)["accept"])
    raw = bytearray(base64.urlsafe_b64decode(token))
    raw[position] ^= difference
    with pytest.raises(PermanentError, match="not valid"):
        read_token(base64.urlsafe_b64encode(raw).decode(), KEYS, now=NOW)


@given(st.text(max_size=100))
def test_any_other_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(PermanentError) as caught:
        read_token(text, KEYS, now=NOW)
    assert len(str(caught.value)) < 90


def test_links_survive_a_rotation_of_keys_and_die_with_their_key() -> None:
    token = token_of(LINKS.of_digest(5, now=NOW))
    assert read_token(token, Encryption([NEW_KEY, KEY]), now=NOW).subject == 5
    with pytest.raises(PermanentError, match="this installation's keys"):
        read_token(token, Encryption([NEW_KEY]), now=NOW)


def test_a_signature_is_for_one_purpose() -> None:
    assert KEYS.is_signed("link", b"x", KEYS.sign("link", b"x"))
    assert not KEYS.is_signed("other", b"x", KEYS.sign("link", b"x"))
