"""How this installation sends messages: the sender of each channel, and the links, as the settings configure them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from catchup_jobs.cli.resources import encryption_of
from catchup_jobs.domain.digest.channels import EMAIL, SMS
from catchup_jobs.domain.digest.email_text import EmailDigest, email_digest
from catchup_jobs.domain.digest.sms_text import sms_preview, sms_text
from catchup_jobs.jobs.digest.messenger import Messenger, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.adapters.messaging.smtp_email import SmtpEmail
    from catchup_jobs.adapters.messaging.twilio_sms import TwilioSms
    from catchup_jobs.domain.digest.channels import Channel
    from catchup_jobs.jobs.digest.ports import Links
    from catchup_jobs.settings import Settings


def messenger_of(
    settings: Settings, database: Database, now: Callable[[], datetime], seconds_left: Callable[[], float]
) -> Messenger:
    """Return what composes and sends messages. A provider's client is imported and made for the first message.

    Args:
        seconds_left: returns how long a request that begins now may last.

    Raises:
        MisconfiguredError: a channel is only half configured.
    """
    return Messenger(
        _senders_of(settings, now, seconds_left),
        links=(lambda: links_of(settings, database)) if settings.action_base_url else None,
        connect_url=settings.connect_url,
    )


def _senders_of(
    settings: Settings, now: Callable[[], datetime], seconds_left: Callable[[], float]
) -> Mapping[Channel, Sender[Any]]:
    """Return the sender of each channel.

    Raises:
        MisconfiguredError: a channel is only half configured.
    """
    return {
        SMS: Sender(
            compose=partial(sms_text, takes_replies=settings.sms_takes_replies),
            preview=sms_preview,
            gateway=(lambda: _twilio(settings, now, seconds_left)) if settings.require_twilio() else None,
        ),
        EMAIL: Sender(
            compose=email_digest,
            preview=EmailDigest.preview,
            gateway=(lambda: _smtp(settings, now, seconds_left)) if settings.require_smtp() else None,
        ),
    }


def links_of(settings: Settings, database: Database) -> Links:
    """Return what makes signed links. The settings must have an action base URL."""
    from catchup_jobs.adapters.messaging.action_links import ActionLinks  # noqa: PLC0415

    return ActionLinks(settings.action_base_url or "", encryption_of(settings, database))


def _twilio(settings: Settings, now: Callable[[], datetime], seconds_left: Callable[[], float]) -> TwilioSms:
    # Twilio's client costs 0.6 s of CPU.
    from catchup_jobs.adapters.messaging.twilio_http import BoundedHttp  # noqa: PLC0415
    from catchup_jobs.adapters.messaging.twilio_sms import TwilioAccount, TwilioSms  # noqa: PLC0415

    token = settings.twilio_auth_token
    account = TwilioAccount(
        sid=settings.twilio_account_sid or "",
        token=token.get_secret_value() if token else "",
        sender=settings.twilio_from,
        messaging_service_sid=settings.twilio_messaging_service_sid,
        base_url=settings.twilio_api_base_url,
    )
    return TwilioSms(account, now=now, http=BoundedHttp(account.base_url, seconds_left=seconds_left))


def _smtp(settings: Settings, now: Callable[[], datetime], seconds_left: Callable[[], float]) -> SmtpEmail:
    from catchup_jobs.adapters.messaging.smtp_email import DEFAULT_PORTS, MailServer, SmtpEmail  # noqa: PLC0415

    password = settings.smtp_password
    server = MailServer(
        host=settings.smtp_host or "",
        port=settings.smtp_port or DEFAULT_PORTS[settings.smtp_security],
        sender=settings.smtp_from or "",
        security=settings.smtp_security,
        username=settings.smtp_username,
        password=password.get_secret_value() if password else None,
        ca_file=settings.smtp_ca_file,
    )
    return SmtpEmail(server, now=now, seconds_left=seconds_left)
