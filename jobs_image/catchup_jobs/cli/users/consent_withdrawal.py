"""Revoking a user's consent at Google when the user is deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens, is_connected, shares_account
from catchup_jobs.cli.resources import encryption_of
from catchup_jobs.jobs.run.errors import JobError

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.calendar.access_token import OAuthToken
    from catchup_jobs.settings import Settings

_BY_HAND: Final = "the user can withdraw it in the Google account"


@dataclass(frozen=True, slots=True)
class Consent:
    """A user's consent, read while the user is still stored: a token to revoke, or the reason why there is none."""

    settings: Settings
    token: OAuthToken | None = field(default=None, repr=False)
    reason: str = ""

    @classmethod
    def of(cls, settings: Settings, database: Database, user_id: str) -> Consent:
        """Read the consent. If it cannot be revoked, the user can still be deleted.

        Raises:
            JobError: the database cannot be used.
        """
        if not is_connected(database, user_id):
            return cls(settings, reason="was never given")
        # Google revokes all consents of an account to one client together.
        if shares_account(database, user_id):
            return cls(settings, reason="stays: another user is connected to the same account")
        try:
            kept = DatabaseTokens(database, encryption_of(settings, database)).load(user_id)
        except JobError as error:
            return cls(settings, reason=f"could not be given back ({error}): {_BY_HAND}")
        return cls(settings, kept.token if kept else None)

    def give_back(self) -> str:
        """Revoke the consent and return the result, as the end of a sentence; never raises."""
        if self.token is None:
            return self.reason
        from catchup_jobs.adapters.google.oauth import GoogleOAuth  # noqa: PLC0415 - only where there is one

        try:
            client = self.settings.google_client
            if client is None:
                return f"could not be given back (Google is not configured here): {_BY_HAND}"
            google = GoogleOAuth(*client, now=lambda: datetime.now(UTC), token_uri=self.settings.google_token_uri)
            return "was given back" if google.revoke(self.token) else "had ended already"
        except JobError as error:
            return f"could not be given back ({error}): {_BY_HAND}"
