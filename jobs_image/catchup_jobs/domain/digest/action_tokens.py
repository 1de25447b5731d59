"""The tokens in a digest's links: an action, its object and an expiry time. The caller signs them; they are not secret.

A token is short enough for an SMS: 14 bytes of content and 16 bytes of signature make 40 characters.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

LINK_LIFE: Final = timedelta(days=14)
# Longer than the 30 days for which an unsubscribe link must work.
UNSUBSCRIBE_LIFE: Final = timedelta(days=60)
PURPOSE: Final = "action link"

_VERSION: Final = 1
_CONTENT: Final = struct.Struct(">BcQI")
_SIGNATURE_BYTES: Final = 16
_LENGTH: Final = _CONTENT.size + _SIGNATURE_BYTES
_MAX_TEXT: Final = 64


class Action(StrEnum):
    """What a link does; the values are the letters in the token."""

    ACCEPT = "a"
    DISMISS = "d"
    SNOOZE = "s"
    OPEN = "o"  # a digest's page: all of its suggestions
    UNSUBSCRIBE = "u"  # no more emails to the digest's user


class InvalidTokenError(ValueError):
    """A text is not a token. The message does not quote the text."""


@dataclass(frozen=True, slots=True)
class ActionToken:
    """What a link stands for.

    Attributes:
        subject: the suggestion's id, or the digest's for `OPEN` and `UNSUBSCRIBE`.
        expires_at: to the minute (aware).
    """

    action: Action
    subject: int
    expires_at: datetime

    def content(self) -> bytes:
        """Return what is to be signed."""
        minutes = int(self.expires_at.timestamp()) // 60
        return _CONTENT.pack(_VERSION, self.action.value.encode(), self.subject, minutes)


def encode(content: bytes, signature: bytes) -> str:
    """Return the token's text: URL-safe, without padding."""
    return base64.urlsafe_b64encode(content + signature[:_SIGNATURE_BYTES]).decode().rstrip("=")


def decode(text: str) -> tuple[ActionToken, bytes, bytes]:
    """Return a token, its content and its signature, which the caller must check before anything else.

    Raises:
        InvalidTokenError: the text is not a token.
    """
    if len(text) > _MAX_TEXT or not text.isascii():
        raise InvalidTokenError("not a token")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidTokenError("not a token") from None
    if len(raw) != _LENGTH:
        raise InvalidTokenError("not a token")
    content, signature = raw[: _CONTENT.size], raw[_CONTENT.size :]
    version, letter, subject, minutes = _CONTENT.unpack(content)
    if version != _VERSION:
        raise InvalidTokenError("not a token of this version")
    try:
        token = ActionToken(Action(letter.decode()), subject, datetime.fromtimestamp(minutes * 60, UTC))
    except (ValueError, OverflowError):  # an unknown action, or a time after the year 9999
        raise InvalidTokenError("not a token") from None
    return token, content, signature
