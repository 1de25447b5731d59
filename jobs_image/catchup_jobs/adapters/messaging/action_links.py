"""Making and verifying the signed links of a digest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.domain.digest.action_tokens import (
    LINK_LIFE,
    PURPOSE,
    UNSUBSCRIBE_LIFE,
    Action,
    ActionToken,
    InvalidTokenError,
    decode,
    encode,
)
from catchup_jobs.jobs.run.errors import PermanentError

_ACTIONS: Final = {"accept": Action.ACCEPT, "snooze": Action.SNOOZE, "dismiss": Action.DISMISS}


class ActionLinks:
    """`jobs.digest.ports.Links`: `<base URL>/<token>`, which the application serves by `suggestion redeem`."""

    def __init__(self, base_url: str, encryption: Encryption) -> None:
        self._base_url = base_url.rstrip("/")
        self._encryption = encryption

    def of_suggestion(self, suggestion_id: int, *, now: datetime) -> Mapping[str, str]:
        """Return a URL per action of `email_text.ACTIONS`."""
        return {name: self._address(action, suggestion_id, now + LINK_LIFE) for name, action in _ACTIONS.items()}

    def of_digest(self, digest_id: int, *, now: datetime) -> str:
        """Return the URL of a page with all suggestions of a digest."""
        return self._address(Action.OPEN, digest_id, now + LINK_LIFE)

    def unsubscribe(self, digest_id: int, *, now: datetime) -> str:
        """Return the URL that stops the emails to the digest's user."""
        return self._address(Action.UNSUBSCRIBE, digest_id, now + UNSUBSCRIBE_LIFE)

    def _address(self, action: Action, subject: int, expires_at: datetime) -> str:
        content = ActionToken(action, subject, expires_at).content()
        return f"{self._base_url}/{encode(content, self._encryption.sign(PURPOSE, content))}"


def read_token(text: str, encryption: Encryption, *, now: datetime) -> ActionToken:
    """Return the content of a token.

    Raises:
        PermanentError: the token was not signed by this installation, was changed, or has expired.
    """
    try:
        token, content, signature = decode(text)
    except InvalidTokenError as error:
        raise PermanentError(f"the link is not valid: {error}") from None
    if not encryption.is_signed(PURPOSE, content, signature):
        raise PermanentError("the link is not valid: it was not signed with this installation's keys")
    if token.expires_at <= now:
        raise PermanentError(f"the link expired at {token.expires_at:%Y-%m-%d %H:%M} UTC")
    return token
