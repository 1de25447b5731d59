"""Links: signed, expiring, for one thing of one user each."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet
from hypothesis import example, given
from hypothesis import strategies as st

from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.adapters.messaging.action_links import ActionLinks, read_token
from catchup_jobs.domain.digest.action_tokens import LINK_LIFE, UNSUBSCRIBE_LIFE, Action, ActionToken, Binding
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.jobs.run.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
START = NOW + timedelta(days=1)
KEY, NEW_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
KEYS = Encryption([KEY])
LINKS = ActionLinks("https://app.example.com/catchup/", KEYS)
OF_SUGGESTION, OF_DIGEST = Binding("ada", 3), Binding("ada")
ITEM = DigestItem(17, "Ben", START, START + timedelta(hours=1), "call", "", None, contact_id=3)


def token_of(address: str) -> str:
    head, _, token = address.rpartition("/")
    assert head == "https://app.example.com/catchup"
    return token


def read(
    token: str,
    *,
    now: datetime = NOW,
    keys: Encryption = KEYS,
    suggestion: Binding | None = OF_SUGGESTION,
    digest: Binding | None = OF_DIGEST,
) -> ActionToken:
    return read_token(
        token, keys, now=now, binding_of=lambda meant: suggestion if meant.action.is_of_suggestion else digest
    )


def accept() -> str:
    return token_of(LINKS.of_suggestion(ITEM, "ada", now=NOW)["accept"])


def test_a_link_is_short_and_reads_back() -> None:
    addresses = LINKS.of_suggestion(ITEM, "ada", now=NOW)
    assert list(addresses) == ["accept", "snooze", "dismiss"]
    for name, action in (("accept", Action.ACCEPT), ("snooze", Action.SNOOZE), ("dismiss", Action.DISMISS)):
        token = token_of(addresses[name])
        assert len(token) == 35
        assert read(token) == ActionToken(action, 17, NOW + LINK_LIFE, START)
    assert len(token_of(LINKS.of_digest(5, "ada", now=NOW))) == 30


@pytest.mark.parametrize("subject", [1, 2**32, 2**40 - 1])
def test_any_id_of_a_row_reads_back(subject: int) -> None:
    assert read(token_of(LINKS.of_digest(subject, "ada", now=NOW))).subject == subject


def test_a_link_expires() -> None:
    token = token_of(LINKS.of_digest(5, "ada", now=NOW))
    assert read(token, now=NOW + LINK_LIFE - timedelta(minutes=1)).action is Action.OPEN
    with pytest.raises(PermanentError, match="expired at 2026-12-13 08:00 UTC"):
        read(token, now=NOW + LINK_LIFE)


def test_links_that_end_messages_work_for_sixty_days() -> None:
    late = NOW + UNSUBSCRIBE_LIFE - timedelta(minutes=1)
    assert read(token_of(LINKS.unsubscribe(5, "ada", now=NOW)), now=late).action is Action.UNSUBSCRIBE
    assert read(token_of(LINKS.end_sms(5, "ada", now=NOW)), now=late).action is Action.END_SMS


@pytest.mark.parametrize("owner", [Binding("bob", 3), Binding("ada", 4), Binding("ada"), Binding("ada3")])
def test_a_link_does_nothing_for_another_user_or_contact_that_got_the_id(owner: Binding) -> None:
    with pytest.raises(PermanentError, match="not valid"):
        read(accept(), suggestion=owner)


def test_a_digests_link_does_nothing_for_another_user() -> None:
    for address in (LINKS.of_digest(5, "ada", now=NOW), LINKS.unsubscribe(5, "ada", now=NOW)):
        with pytest.raises(PermanentError, match="not valid"):
            read(token_of(address), digest=Binding("bob"))


def test_a_link_to_what_is_gone_says_so() -> None:
    with pytest.raises(PermanentError, match="gone"):
        read(accept(), suggestion=None)


def test_a_link_knows_the_time_that_was_proposed() -> None:
    token = read(accept())
    assert token.is_for(START + timedelta(seconds=30))
    assert not token.is_for(START + timedelta(hours=1))


@given(st.integers(0, 25), st.integers(1, 255))
@example(6, 250)  # expires in the far future
def test_a_changed_link_is_refused(position: int, difference: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(accept() + "="))
    raw[position] ^= difference
    with pytest.raises(PermanentError, match="not valid"):
        read(base64.urlsafe_b64encode(raw).decode().rstrip("="))


@given(st.text(max_size=100))
def test_any_other_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(PermanentError) as caught:
        read(text)
    assert len(str(caught.value)) < 90


BASE = "https://app.example.com/catchup/"
AROUND = {
    "the whole link": lambda token: BASE + token,
    "in angle brackets": lambda token: f"<{BASE}{token}>",
    "in quotes": lambda token: f'"{token}"',
    "in a word processor's quotes": lambda token: f"\u201c{token}\u201d",
    "with a full stop": lambda token: f"{token}.",  # github.com/DemocracyClub/UK-Polling-Stations/pull/6926
    "with a bracket and a comma": lambda token: f"({token}),",
    "with a campaign's parameters": lambda token: f"{token}?utm_source=x&utm_medium=email",  # artsy/force/pull/8567
    "with an HTML entity": lambda token: f"{token}&amp;fbclid=IwAR0x",  # simpleanalytics/roadmap/issues/566
    "with a fragment": lambda token: f"{token}#main",
    "with a slash": lambda token: f"{token}/",
    "with a line end and spaces": lambda token: f"  {token}\r\n",
    "with an invisible character": lambda token: f"\ufeff{token}\u200b",
    "broken over lines": lambda token: f"{token[:20]}\r\n {token[20:]}",
    "in quoted-printable": lambda token: f"{BASE}{token[:9]}=\n{token[9:]}",  # dani-garcia/vaultwarden/issues/7401
    "with invisible places to break": lambda token: f"{token[:9]}\u200b{token[9:20]}\u00ad{token[20:]}",
    "within Proofpoint's link": lambda token: f"https://urldefense.com/v3/__{BASE}{token}__;!!Aq9!x-Yz$",
    "percent-encoded": lambda token: "".join(f"%{ord(each):02X}" for each in token),
    "within a scanner's link": lambda token: f"https://scan.example/?url={quote(quote(BASE + token, safe=''))}&data=05",
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND.keys())
def test_a_token_is_found_in_what_mail_programs_and_people_make_of_a_link(around: Callable[[str], str]) -> None:
    for address in (*LINKS.of_suggestion(ITEM, "ada", now=NOW).values(), LINKS.unsubscribe(5, "ada", now=NOW)):
        assert read(around(token_of(address))) == read(token_of(address))


@given(st.integers(0, 34), st.integers(1, 35))
def test_a_link_that_was_cut_is_refused_wherever_it_was_cut(start: int, length: int) -> None:
    token = accept()
    part = token[start : start + length]
    if part != token:
        with pytest.raises(PermanentError, match="cut or changed; open it from the message again"):
            read(BASE + part)


def test_links_survive_a_rotation_of_keys_and_die_with_their_key() -> None:
    token = token_of(LINKS.of_digest(5, "ada", now=NOW))
    assert read(token, keys=Encryption([NEW_KEY, KEY])).subject == 5
    with pytest.raises(PermanentError, match="this installation's keys"):
        read(token, keys=Encryption([NEW_KEY]))


def test_a_signature_is_for_one_purpose() -> None:
    assert KEYS.is_signed("link", b"x", KEYS.sign("link", b"x"))
    assert not KEYS.is_signed("other", b"x", KEYS.sign("link", b"x"))
