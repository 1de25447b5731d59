"""Sealed values open for their user and with any configured key, and for nobody else."""

from __future__ import annotations

import base64
from typing import Final

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
USER_IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(user_id=USER_IDS, value=st.binary())
def test_what_was_sealed_opens_again(user_id: str, value: bytes) -> None:
    encryption = Encryption([NEW])
    assert encryption.open(user_id, encryption.seal(user_id, value).ciphertext) == value


@given(owner=USER_IDS, thief=USER_IDS, value=st.binary(min_size=1))
def test_a_value_moved_to_another_user_does_not_open(owner: str, thief: str, value: bytes) -> None:
    encryption = Encryption([NEW])
    sealed = encryption.seal(owner, value)
    if owner == thief:
        return
    with pytest.raises(PermanentError, match="another user"):
        encryption.open(thief, sealed.ciphertext)


def test_after_a_rotation_old_values_open_and_new_ones_use_the_newest_key() -> None:
    before, after = Encryption([OLD]), Encryption([NEW, OLD])
    assert after.open("ada", before.seal("ada", b"x").ciphertext) == b"x"
    assert after.seal("ada", b"x").key_id == Encryption([NEW]).key_id != before.key_id
    assert Encryption([NEW]).open("ada", after.seal("ada", b"x").ciphertext) == b"x"


def test_a_wrong_key_is_a_misconfiguration_that_says_what_to_do() -> None:
    sealed = Encryption([OLD]).seal("ada", b"secret")
    with pytest.raises(MisconfiguredError, match="CATCHUP_ENCRYPTION_KEYS"):
        Encryption([OTHER]).open("ada", sealed.ciphertext)


# Bytes that have both letters in which the alphabets of RFC 4648, sections 4 and 5, differ.
STANDARD: Final = base64.b64encode(b"\xff\xfe" * 16).decode()


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["short"],
        [OLD, "kein Schlüssel"],
        [OLD[:-2]],
        [f'"{OLD}"'],
        [f"{NEW};{OLD}"],
        [f"{NEW}{OLD}"],
        [STANDARD],
        [f"{OLD}="],
        [f"{OLD[:-2]}\N{FULLWIDTH LATIN SMALL LETTER A}="],
    ],
)
def test_keys_that_are_none_are_refused_without_being_repeated(keys: list[str]) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        Encryption(keys)
    assert not any(key in str(caught.value) for key in keys)


def test_a_lookup_finds_rows_of_older_keys_and_keeps_purposes_apart() -> None:
    stored_before = Encryption([OLD]).lookups("account", "1")[0]
    now = Encryption([NEW, OLD]).lookups("account", "1")
    assert stored_before in now
    assert now[0] not in Encryption([OLD]).lookups("account", "1")
    assert set(now).isdisjoint(Encryption([NEW, OLD]).lookups("phone", "1"))
    assert set(now).isdisjoint(Encryption([NEW, OLD]).lookups("account", "2"))
