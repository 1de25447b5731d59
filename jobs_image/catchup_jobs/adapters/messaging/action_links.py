"""Making and verifying the signed links of a digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from catchup_jobs.domain.digest.action_tokens import (
    LINK_LIFE,
    PURPOSE,
    UNSUBSCRIBE_LIFE,
    Action,
    ActionToken,
    Binding,
    InvalidTokenError,
    decode,
    encode,
)
from catchup_jobs.jobs.run.errors import PermanentError

if TYPE_CHECKING:
    from catchup_jobs.adapters.encryption import Encryption
    from catchup_jobs.domain.digest.items import DigestItem

_ACTIONS: Final = {"accept": Action.ACCEPT, "snooze": Action.SNOOZE, "dismiss": Action.DISMISS}


class ActionLinks:
    """`jobs.digest.ports.Links`: `<base URL>/<token>`, which the application serves by `suggestion redeem`."""

    def __init__(self, base_url: str, encryption: Encryption) -> None:
        self._base_url = base_url.rstrip("/")
        self._encryption = encryption

    def of_suggestion(self, item: DigestItem, user_id: str, *, now: datetime) -> Mapping[str, str]:
        """Return a URL per action of `email_text.ACTIONS`."""
        binding, expires_at = Binding(user_id, item.contact_id), now + LINK_LIFE
        return {
            name: self._address(ActionToken(action, item.suggestion_id, expires_at, item.start_at), binding)
            for name, action in _ACTIONS.items()
        }

    def of_digest(self, digest_id: int, user_id: str, *, now: datetime) -> str:
        """Return the URL of a page with all suggestions of a digest."""
        return self._address(ActionToken(Action.OPEN, digest_id, now + LINK_LIFE), Binding(user_id))

    def unsubscribe(self, digest_id: int, user_id: str, *, now: datetime) -> str:
        """Return the URL that stops the emails to the address that a digest is sent to."""
        return self._address(ActionToken(Action.UNSUBSCRIBE, digest_id, now + UNSUBSCRIBE_LIFE), Binding(user_id))

    def end_sms(self, digest_id: int, user_id: str, *, now: datetime) -> str:
        """Return the URL that stops the SMS to the number that a digest was sent to."""
        return self._address(ActionToken(Action.END_SMS, digest_id, now + UNSUBSCRIBE_LIFE), Binding(user_id))

    def _address(self, token: ActionToken, binding: Binding) -> str:
        content = token.content()
        return f"{self._base_url}/{encode(content, self._encryption.sign(PURPOSE, binding.signed(content)))}"


def read_token(
    text: str, encryption: Encryption, *, now: datetime, binding_of: Callable[[ActionToken], Binding | None]
) -> ActionToken:
    """Return the content of a token.

    Args:
        binding_of: returns whom the token's object belongs to now, None where it is gone.

    Raises:
        PermanentError: the token was not signed by this installation for that user, was changed, or has expired.
    """
    try:
        token, content, signature = decode(text)
    except InvalidTokenError as error:
        raise PermanentError(f"the link is not valid: {error}; open it from the message again") from None
    binding = binding_of(token)
    if binding is None:
        raise PermanentError("the link is not valid any more: what it was for is gone")
    if not encryption.is_signed(PURPOSE, binding.signed(content), signature):
        raise PermanentError("the link is not valid: it was not signed with this installation's keys for this user")
    if token.expires_at <= now:
        raise PermanentError(f"the link expired at {token.expires_at:%Y-%m-%d %H:%M} UTC")
    return token
