"""Encryption of values in the database: Fernet with several keys, newest first.

To rotate keys, put a new key first and keep the old ones until all values are written with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError

_SEPARATOR: Final = b"\0"
_KEY_ID_LENGTH: Final = 12
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ciphertext and the id of the key that made it."""

    key_id: str
    ciphertext: bytes


class Encryption:
    """Seals values for a user and opens them for that user only.

    Attributes:
        key_ids: identify the keys without revealing them, newest first.
        key_id: of the newest key, which encrypts.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """Take keys as `Fernet.generate_key` makes them, newest first.

        Raises:
            MisconfiguredError: there is none, or one is not a key; it is not repeated.
        """
        if not keys:
            raise MisconfiguredError("CATCHUP_ENCRYPTION_KEYS holds no key")
        if not all(map(_is_key, keys)):
            raise MisconfiguredError(
                "CATCHUP_ENCRYPTION_KEYS (or the key file) must hold Fernet keys (32 bytes in URL-safe base64, without"
                " quotes), separated by commas or white space"
            )
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._keys = [key.encode() for key in keys]
        self.key_ids = [_derived(key, b"key id").hex()[:_KEY_ID_LENGTH] for key in self._keys]
        self.key_id = self.key_ids[0]

    def seal(self, user_id: str, plaintext: bytes) -> Sealed:
        """Encrypt with the newest key."""
        return Sealed(self.key_id, self._fernet.encrypt(user_id.encode() + _SEPARATOR + plaintext))

    def open(self, user_id: str, ciphertext: bytes) -> bytes:
        """Decrypt with the key that encrypted the value.

        Raises:
            MisconfiguredError: none of the keys did: one is missing.
            PermanentError: it was sealed for another user.
        """
        try:
            content = self._fernet.decrypt(ciphertext)
        except InvalidToken:
            raise MisconfiguredError(
                "none of the encryption keys opens the stored value: put the key that sealed it back into"
                " CATCHUP_ENCRYPTION_KEYS (or the key file); nothing was changed"
            ) from None
        owner, _, plaintext = content.partition(_SEPARATOR)
        if owner != user_id.encode():
            raise PermanentError("a stored value was sealed for another user: the row was moved or copied")
        return plaintext

    def lookups(self, purpose: str, value: str) -> list[str]:
        """Return keyed hashes by which a value is found without being stored, one per key, newest first.

        Store the first; search for all of them, since rows may be older than the newest key.

        Args:
            purpose: keeps the hashes of an account and an address apart, e.g. `account`.
            value: normalised by the caller.
        """
        message = value.encode()
        return [hmac.new(_derived(key, purpose.encode()), message, hashlib.sha256).hexdigest() for key in self._keys]

    def sign(self, purpose: str, message: bytes) -> bytes:
        """Return a signature (32 bytes) of a message for one purpose, by the newest key."""
        return _signature(self._keys[0], purpose, message)

    def is_signed(self, purpose: str, message: bytes, signature: bytes) -> bool:
        """Return whether a signature, or its first bytes, was made with any of the keys."""
        return any(
            hmac.compare_digest(_signature(key, purpose, message)[: len(signature)], signature) for key in self._keys
        )


def _signature(key: bytes, purpose: str, message: bytes) -> bytes:
    return hmac.new(_derived(key, b"signature " + purpose.encode()), message, hashlib.sha256).digest()


def _is_key(text: str) -> bool:
    # Python's decoder passes over quotes and what follows the `=`: what it takes for a key would have another id, and
    # the second of two keys would be lost.
    try:
        raw = base64.urlsafe_b64decode(text)
    except ValueError:
        return False
    return len(raw) == _KEY_BYTES and base64.urlsafe_b64encode(raw).decode() == text


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, b"catchup-jobs " + purpose, hashlib.sha256).digest()
