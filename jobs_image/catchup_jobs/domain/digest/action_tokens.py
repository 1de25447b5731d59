"""The tokens in a digest's links: an action, its object and an expiry time. The caller signs them; they are not secret.

A signature is over the token's content and whom it is bound to: the user, and the suggestion's contact. So a link never
acts on somebody else, whatever the database does with ids. A token is short enough for an SMS: 30 characters for a
digest's page; a suggestion's has the proposed time as well, 35.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

LINK_LIFE: Final = timedelta(days=14)
"""How long the links of a suggestion in a digest act."""
UNSUBSCRIBE_LIFE: Final = timedelta(days=60)
"""How long an unsubscribe link acts; it must for 30 days at least (CAN-SPAM)."""
PURPOSE: Final = "action link"

# Letter, id (the lower 40 bits of 64) and the expiry in minutes; then the proposed time in minutes.
_HEAD: Final = struct.Struct(">cQI")
_MINUTES: Final = struct.Struct(">I")
_ID_BYTES: Final = 5
_UNUSED: Final = 8 - _ID_BYTES
_SIGNATURE_BYTES: Final = 12
_MAX_TOKEN: Final = 64
_MAX_TEXT: Final = 4096
_WORD: Final = re.compile(r"[A-Za-z0-9_-]+")
# A line that was broken on the way, `=` ends it in quoted-printable (RFC 2045, 6.7); where it may break, invisibly.
_BROKEN: Final = re.compile(r"=\r?\n|[\s\u00ad\u200b-\u200d\u2060\ufeff]")
# Proofpoint's links end a link within them so.
_END_WITHIN: Final = re.compile(r"__(?=;)")


class Action(StrEnum):
    """What a link does; the values are the letters in the token."""

    ACCEPT = "a"
    DISMISS = "d"
    SNOOZE = "s"
    OPEN = "o"  # a digest's page: all of its suggestions
    UNSUBSCRIBE = "u"  # no more emails to the address that the digest was sent to
    END_SMS = "e"  # no more SMS to the number that the digest was sent to

    @property
    def is_of_suggestion(self) -> bool:
        """Whether its subject is a suggestion, not a digest."""
        return self in {Action.ACCEPT, Action.DISMISS, Action.SNOOZE}


class InvalidTokenError(ValueError):
    """A text is not a token. The message does not quote the text."""


@dataclass(frozen=True, slots=True)
class ActionToken:
    """What a link stands for.

    Attributes:
        subject: the suggestion's id, or the digest's.
        expires_at: to the minute (aware).
        start_at: the time that was proposed, to the minute (aware); None for a digest.
    """

    action: Action
    subject: int
    expires_at: datetime
    start_at: datetime | None = None

    def content(self) -> bytes:
        """Return what the token says."""
        head = _HEAD.pack(self.action.value.encode(), self.subject, _minutes(self.expires_at))
        # Without the upper bytes of the id.
        short = head[:1] + head[1 + _UNUSED :]
        return short if self.start_at is None else short + _MINUTES.pack(_minutes(self.start_at))

    def is_for(self, start_at: datetime) -> bool:
        """Return whether the proposed time is still this one (aware)."""
        return self.start_at is not None and _minutes(self.start_at) == _minutes(start_at)


@dataclass(frozen=True, slots=True)
class Binding:
    """Whom a token is bound to.

    Attributes:
        contact_id: the suggestion's contact, None for a digest.
    """

    user_id: str
    contact_id: int | None = None

    def signed(self, content: bytes) -> bytes:
        """Return what is to be signed."""
        return b"\0".join((content, self.user_id.encode(), str(self.contact_id or "").encode()))


def encode(content: bytes, signature: bytes) -> str:
    """Return the token's text: URL-safe, without padding."""
    return base64.urlsafe_b64encode(content + signature[:_SIGNATURE_BYTES]).decode().rstrip("=")


def decode(text: str) -> tuple[ActionToken, bytes, bytes]:
    """Return a token, its content and its signature, which the caller must check before anything else.

    Mail programs, scanners and people change what is around a token: `text` may be the whole link, in quotes, with a
    full stop or parameters after it, broken over lines, or percent-encoded, also twice (a link within a link).

    Raises:
        InvalidTokenError: the text holds no token.
    """
    if len(text) <= _MAX_TEXT:
        # Parameters may stand behind a token; a host and a path stand before it.
        whole = _BROKEN.sub("", unquote(unquote(text)))
        for word in reversed(_WORD.findall(_END_WITHIN.sub("", whole))):
            with suppress(binascii.Error, ValueError, OverflowError, struct.error):
                return _decode(word)
    raise InvalidTokenError("it is cut or changed")


def _decode(word: str) -> tuple[ActionToken, bytes, bytes]:
    """Decode a token. Raises various errors where it is none."""
    if len(word) > _MAX_TOKEN:
        raise ValueError("too long")
    raw = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
    content, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
    letter, subject, minutes = _HEAD.unpack(content[:1] + b"\0" * _UNUSED + content[1 : _HEAD.size - _UNUSED])
    action = Action(letter.decode())
    rest = content[_HEAD.size - _UNUSED :]
    start_at = _instant(*_MINUTES.unpack(rest)) if action.is_of_suggestion else None
    token = ActionToken(action, subject, _instant(minutes), start_at)
    if token.content() != content:
        raise ValueError("something follows the content")
    return token, content, signature


def _minutes(instant: datetime) -> int:
    return int(instant.timestamp()) // 60


def _instant(minutes: int) -> datetime:
    return datetime.fromtimestamp(minutes * 60, UTC)
