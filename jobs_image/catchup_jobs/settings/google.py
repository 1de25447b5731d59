"""The settings of Google: the OAuth client that users consent to, and the quotas. Nothing set: syncs are skipped."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from catchup_contract.env import Env
from catchup_contract.google_quota import PROJECT_DAY, PROJECT_MINUTE, USER_MINUTE
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.settings.messaging import setting
from catchup_jobs.settings.web_addresses import Page


class GoogleSettings(BaseSettings):
    """The part of `Settings` that is about Google."""

    google_client_id: str | None = setting(
        Env.GOOGLE_CLIENT_ID, "the OAuth client that users consent to; without one, syncs are skipped"
    )
    google_client_secret: SecretStr | None = setting(Env.GOOGLE_CLIENT_SECRET, "that client's secret")
    google_api_endpoint: Page | None = setting(
        Env.GOOGLE_API_ENDPOINT, "another server in place of the Calendar API, with the path `/calendar/v3/`"
    )
    google_token_uri: Page | None = setting(
        Env.GOOGLE_TOKEN_URI, "another server in place of Google's OAuth token endpoint"
    )
    google_project_quota: int = setting(
        Env.GOOGLE_PROJECT_QUOTA,
        f"requests a minute that Google grants the project; all pods together stay below. Default: {PROJECT_MINUTE}",
        default=PROJECT_MINUTE,
        ge=1,
    )
    google_user_quota: int = setting(
        Env.GOOGLE_USER_QUOTA,
        f"requests a minute that Google grants each user. Default: {USER_MINUTE}",
        default=USER_MINUTE,
        ge=1,
    )
    google_day_quota: int = setting(
        Env.GOOGLE_DAY_QUOTA,
        "requests a day that the syncs may make, all together; above, they are skipped until there is room. "
        f"Default: {PROJECT_DAY}, which Google grants a project",
        default=PROJECT_DAY,
        ge=1,
    )
    google_auth_uri: Page | None = setting(
        Env.GOOGLE_AUTH_URI, "another server in place of Google's consent page; for `calendar connect` only"
    )

    @property
    def google_client(self) -> tuple[str, str] | None:
        """Id and secret of the OAuth client, None where Google is not configured at all.

        Raises:
            MisconfiguredError: one of the two is missing.
        """
        if self.google_client_id is None and self.google_client_secret is None:
            return None
        if self.google_client_id is None or self.google_client_secret is None:
            raise MisconfiguredError(f"{Env.GOOGLE_CLIENT_ID} and {Env.GOOGLE_CLIENT_SECRET} must both be set")
        return self.google_client_id, self.google_client_secret.get_secret_value()
