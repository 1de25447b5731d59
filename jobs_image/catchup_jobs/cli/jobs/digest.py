"""`catchup-jobs digest`: one user's digest."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from catchup_contract.digest_rule import DigestTime
from catchup_contract.kinds import DIGEST
from catchup_jobs.adapters.database.digests.store import DatabaseDigests
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.cli.jobs.harness import Body, execute
from catchup_jobs.cli.parameters import USER_ID
from catchup_jobs.cli.resources import open_database, unknown_user
from catchup_jobs.domain.digest.channels import obstacle
from catchup_jobs.domain.digest.email_text import EmailDigest, entries_of
from catchup_jobs.domain.digest.items import MAX_NAME, clean
from catchup_jobs.domain.digest.sms_text import compose
from catchup_jobs.domain.vocabulary import Channel
from catchup_jobs.jobs.digest.job import Digest
from catchup_jobs.jobs.digest.messenger import Messenger, rhythm_of
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from catchup_jobs.adapters.encryption import Encryption
    from catchup_jobs.cli.resources import Resources
    from catchup_jobs.jobs.digest.ports import EmailGateway, Links, SmsGateway
    from catchup_jobs.jobs.run.context import Result, RunContext


@click.command()
@click.option("--user", "user_id", type=USER_ID, required=True, help="The user's id.")
@click.option("--preview", is_flag=True, help="Print what it would say now; send and record nothing.")
def digest(user_id: str, *, preview: bool) -> None:
    """Send a user's pending suggestions in one message per channel and date.

    By hand it serves today's date, once: a second run sends nothing again. With nothing to send, or nobody to send it
    to, it is skipped with exit code 0 and the reason.

    \b
    Examples:
      catchup-jobs digest --user ada --preview
      catchup-jobs digest --user ada
    """
    if preview:
        _preview(user_id)
    else:
        sys.exit(execute(DIGEST, user_id, body_of(user_id)))


def body_of(user_id: str) -> Body:  # noqa: ARG001 - the context names the user, as for all bodies
    """Return the digest of a user, for the harness to run."""

    def body(context: RunContext, resources: Resources) -> Result:
        settings, database = resources.settings, resources.database
        store = DatabaseDigests(database, DatabaseAddresses(database, lambda: encryption_of(settings)))
        job = Digest(store=store, messenger=messenger_of(settings, context.now), when=digest_time_of(settings))
        return job(context)

    return body


def _preview(user_id: str) -> None:
    settings, now = Settings.load(), datetime.now(UTC)
    with open_database(settings) as database:
        store = DatabaseDigests(database, DatabaseAddresses(database, lambda: encryption_of(settings)))
        recipient = store.recipient(user_id)
        if recipient is None:
            raise unknown_user(user_id)
        items = store.pending(user_id, now=now)
        reaches = messenger_of(settings, lambda: now).with_configuration(store.reach(user_id))
    when = digest_time_of(settings) or recipient.when
    if recipient.paused or not items:
        click.echo(
            "nothing would be sent: " + ("the user is paused" if recipient.paused else "no suggestion is pending")
        )
        return
    letter = EmailDigest(clean(recipient.name, MAX_NAME), entries_of(items, when.zone, {}), rhythm_of(when))
    texts = {
        Channel.SMS: compose(items, when.zone, code="...."),
        Channel.EMAIL: f"Subject: {letter.subject}\n\n{letter.text()}",
    }
    for channel, text in texts.items():
        reason = obstacle(channel, reaches[channel])
        why = f"not sent: {reason}" if reason else f"mode {reaches[channel].mode}"
        click.echo(f"--- {channel} ({why})\n{text.rstrip()}\n")


def encryption_of(settings: Settings) -> Encryption:
    """Return what opens and hashes addresses; only a user who has one pays for it."""
    from catchup_jobs.adapters.encryption import Encryption  # noqa: PLC0415

    return Encryption(settings.encryption_keys())


def digest_time_of(settings: Settings) -> DigestTime | None:
    """Return what the operator says of the UserSchedule, or None outside of its pods."""
    zone, day, at = settings.time_zone, settings.digest_day, settings.digest_time
    if zone is None or day is None or at is None:
        return None
    return DigestTime(ZoneInfo(zone), day, time.fromisoformat(at), settings.digest_since)


def messenger_of(settings: Settings, now: Callable[[], datetime]) -> Messenger:
    """Return what writes and sends messages; nothing is imported or connected before there is one to send.

    Raises:
        MisconfiguredError: a channel is only half configured.
    """
    return Messenger(
        sms=(lambda: _sms(settings, now)) if settings.require_twilio() else None,
        email=(lambda: _email(settings, now)) if settings.require_smtp() else None,
        links=(lambda: links_of(settings)) if settings.action_base_url else None,
    )


def links_of(settings: Settings) -> Links:
    """Return what makes signed links; there must be an action base URL."""
    from catchup_jobs.adapters.messaging.action_links import ActionLinks  # noqa: PLC0415

    return ActionLinks(settings.action_base_url or "", encryption_of(settings))


def _sms(settings: Settings, now: Callable[[], datetime]) -> SmsGateway:
    # Twilio's client costs 0.6 s of CPU.
    from catchup_jobs.adapters.messaging.twilio_sms import TwilioAccount, TwilioSms  # noqa: PLC0415

    token = settings.twilio_auth_token
    account = TwilioAccount(
        sid=settings.twilio_account_sid or "",
        token=token.get_secret_value() if token else "",
        sender=settings.twilio_from,
        messaging_service_sid=settings.twilio_messaging_service_sid,
        base_url=settings.twilio_api_base_url,
    )
    return TwilioSms(account, now=now)


def _email(settings: Settings, now: Callable[[], datetime]) -> EmailGateway:
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
    return SmtpEmail(server, now=now)
