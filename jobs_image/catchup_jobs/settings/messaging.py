"""The settings of SMS, email and links. Nothing set: the channel is not configured, and digests skip it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from catchup_contract.env import Env
from catchup_jobs.domain.digest.addresses import Mailbox
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.settings.web_addresses import BaseUrl, Page

_MAX_LINK: Final = 100
"""Characters of the base URL of links, and of the address to connect a calendar by."""
# A number, a short code, an alphanumeric sender (https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id), or
# a channel's address such as `whatsapp:+1…`.
_SENDER: Final = re.compile(r"([a-z]+:)?\+?[0-9]{3,15}|(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}")


def setting(variable: Env, description: str, *, default: Any = None, **rules: Any) -> Any:
    """Return a field read from a variable; the description is its line in docs/configuration.md."""
    return Field(default=default, validation_alias=variable, description=description, **rules)


def _short(value: str) -> str:
    if len(value) > _MAX_LINK or not value.isascii() or any(sign <= " " or sign in "<>\"'" for sign in value):
        raise ValueError(f"must be at most {_MAX_LINK} plain characters: it is part of an SMS")
    return value


def _sender(value: str) -> str:
    try:
        Mailbox.parse(value)
    except ValueError:
        raise ValueError(
            "must be an address such as digest@example.com, or `Name <digest@example.com>`; a name with a comma or"
            " another special character is in double quotes"
        ) from None
    return value


def _word(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be one word of ASCII characters")
    return value


def _secret_word(value: SecretStr) -> SecretStr:
    _word(value.get_secret_value())
    return value


def _secret_line(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().isprintable():
        raise ValueError("must be one line without control characters")
    return value


def _twilio_sender(value: str) -> str:
    if not _SENDER.fullmatch(value):
        raise ValueError(
            "must be a number such as +15550100000, a short code, or a name of up to 11 letters and digits"
        )
    return value


Word = Annotated[str, AfterValidator(_word)]


class MessagingSettings(BaseSettings):
    """The settings of channels."""

    twilio_account_sid: Word | None = setting(
        Env.TWILIO_ACCOUNT_SID, "the Twilio account that sends SMS; without one, SMS are skipped"
    )
    twilio_auth_token: Annotated[SecretStr, AfterValidator(_secret_word)] | None = setting(
        Env.TWILIO_AUTH_TOKEN, "that account's token"
    )
    twilio_from: Annotated[str, AfterValidator(_twilio_sender)] | None = setting(
        Env.TWILIO_FROM, "the sender's number (E.164), short code or name"
    )
    twilio_messaging_service_sid: Word | None = setting(
        Env.TWILIO_MESSAGING_SERVICE_SID, "a Messaging Service that chooses the sender, instead of a number"
    )
    twilio_api_base_url: BaseUrl | None = setting(
        Env.TWILIO_API_BASE_URL, "another server in place of Twilio's messaging API"
    )
    smtp_host: Word | None = setting(Env.SMTP_HOST, "the mail server; without one, emails are skipped")
    smtp_port: int | None = setting(
        Env.SMTP_PORT, "its port. Default: 587 with `starttls`, 465 with `tls`, 25 with `none`", ge=1, le=65535
    )
    smtp_username: str | None = setting(Env.SMTP_USERNAME, "the login at the mail server. Default: none")
    smtp_password: Annotated[SecretStr, AfterValidator(_secret_line)] | None = setting(
        Env.SMTP_PASSWORD, "that login's password"
    )
    smtp_from: Annotated[str, AfterValidator(_sender)] | None = setting(
        Env.SMTP_FROM, "the sender, `digest@example.com` or `CatchUp <digest@example.com>`"
    )
    smtp_security: Literal["starttls", "tls", "none"] = setting(
        Env.SMTP_SECURITY,
        "`starttls`, `tls` or `none`; nothing but `none` ever sends in the clear. Default: `starttls`",
        default="starttls",
    )
    smtp_ca_file: str | None = setting(Env.SMTP_CA_FILE, "a PEM file of authorities to trust instead of the system's")
    action_base_url: Annotated[BaseUrl, AfterValidator(_short)] | None = setting(
        Env.ACTION_BASE_URL,
        "where the application serves the links in messages, as `<address>/<token>`; without it, messages have none",
    )
    connect_url: Annotated[Page, AfterValidator(_short)] | None = setting(
        Env.CONNECT_URL,
        "where users connect their calendar; messages that ask for it have this link. Default: they have none",
    )

    @property
    def sms_takes_replies(self) -> bool:
        """Whether a user can reply STOP: not to a sender that is a name."""
        return self.twilio_from is None or not any(sign.isalpha() for sign in self.twilio_from.rpartition(":")[2])

    def require_twilio(self) -> bool:
        """Return whether Twilio is configured.

        Raises:
            MisconfiguredError: only half of it is.
        """
        account, token = self.twilio_account_sid, self.twilio_auth_token
        sender = self.twilio_from or self.twilio_messaging_service_sid
        if account is None and token is None and sender is None:
            return False
        if account is None or token is None:
            raise MisconfiguredError(f"{Env.TWILIO_ACCOUNT_SID} and {Env.TWILIO_AUTH_TOKEN} must both be set")
        if sender is None:
            raise MisconfiguredError(f"{Env.TWILIO_FROM} or {Env.TWILIO_MESSAGING_SERVICE_SID} must be set")
        return True

    def require_smtp(self) -> bool:
        """Return whether a mail server is configured.

        Raises:
            MisconfiguredError: only half of it is.
        """
        if self.smtp_host is None:
            return False
        if self.smtp_from is None:
            raise MisconfiguredError(f"{Env.SMTP_FROM} is not set: emails need a sender")
        if (self.smtp_username is None) is not (self.smtp_password is None):
            raise MisconfiguredError(f"{Env.SMTP_USERNAME} and {Env.SMTP_PASSWORD} must both be set, or neither")
        return True
