"""`catchup-jobs digest`: one user's digest."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from catchup_contract.digest_rule import DigestTime, occurrence_by_hand
from catchup_contract.kinds import DIGEST
from catchup_jobs.adapters.database.digests.store import DatabaseDigests
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.cli.jobs.job_runner import Body, execute
from catchup_jobs.cli.jobs.message_senders import messenger_of
from catchup_jobs.cli.parameters import subject_options
from catchup_jobs.cli.resources import encryption_of, open_database
from catchup_jobs.domain.digest.channels import skip_reason
from catchup_jobs.domain.digest.content import DigestContent
from catchup_jobs.jobs.digest.job import Digest
from catchup_jobs.jobs.run.errors import unknown_user
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from catchup_jobs.cli.resources import Resources
    from catchup_jobs.jobs.run.context import Result, RunContext


@click.command()
@subject_options
@click.option("--preview", is_flag=True, help="Print the messages that would be sent now; send and record nothing.")
@click.option("--even-at-night", is_flag=True, help="Send an SMS also between 21:00 and 08:00 on the user's clock.")
def digest(user_id: str | None, pool: str | None, *, preview: bool, even_at_night: bool) -> None:
    """Send a user's pending suggestions in one message per channel and date, or those of a pool's users who are due.

    A run by hand serves today's date: a second one on the same date sends nothing. If there is nothing to send, or no
    channel to send it by, the run is skipped with exit code 0 and the reason. At night no SMS is sent, unless the user
    chose the present time.

    \b
    Examples:
      catchup-jobs digest --user ada --preview
      catchup-jobs digest --user ada
      catchup-jobs digest --pool people
    """
    if pool is not None:
        if preview or even_at_night:
            raise click.UsageError("--preview and --even-at-night go with --user, not with --pool")
        from catchup_jobs.cli.jobs.pool import execute_tick  # noqa: PLC0415 - a user's pod does without

        sys.exit(execute_tick(DIGEST, pool))
    assert user_id is not None  # noqa: S101 - the options hold one of the two
    if preview:
        _preview(user_id)
    else:
        sys.exit(execute(DIGEST, user_id, body_of(user_id, even_at_night=even_at_night)))


def body_of(user_id: str, *, even_at_night: bool = False) -> Body:  # noqa: ARG001 - the context has the user
    """Return the body of a user's digest, for `job_runner`."""

    def body(context: RunContext, resources: Resources) -> Result:
        settings, database = resources.settings, resources.database
        store = DatabaseDigests(
            database,
            DatabaseAddresses(database, lambda: encryption_of(settings, database)),
            has_links=settings.action_base_url is not None,
        )
        job = Digest(
            store=store,
            messenger=messenger_of(settings, database, context.now, context.seconds_left),
            when=resources.digest_time or digest_time_of(settings),
            even_at_night=even_at_night,
        )
        return job(context)

    return body


def _preview(user_id: str) -> None:
    settings, now = Settings.load(), datetime.now(UTC)
    with open_database(settings) as database:
        store = DatabaseDigests(database, DatabaseAddresses(database, lambda: encryption_of(settings, database)))
        recipient = store.recipient(user_id, now=now)
        if recipient is None:
            raise unknown_user(user_id)
        when = digest_time_of(settings) or recipient.when
        selected = store.selection(user_id, occurrence_by_hand(now, when).due_date, now=now)
        messenger = messenger_of(settings, database, lambda: now, lambda: 0.0)
        destinations = messenger.with_configuration(store.destinations(user_id))
    if recipient.paused or not selected:
        click.echo(
            "nothing would be sent: " + ("the user is paused" if recipient.paused else "no suggestion is pending")
        )
        return
    content = DigestContent(
        recipient.name,
        selected.items,
        recipient.chosen(when),
        code="....",
        reconnect=messenger.request(reconnect=selected.reconnect),
    )
    for channel, destination in destinations.items():
        reason = skip_reason(channel, destination)
        note = f"not sent: {reason}" if reason else f"mode {destination.mode}"
        click.echo(f"--- {channel} ({note})\n{messenger.preview(channel, content).rstrip()}\n")


def digest_time_of(settings: Settings) -> DigestTime | None:
    """Return the UserSchedule's digest time, which the operator puts into the environment; None outside of its pods."""
    zone, day, at = settings.time_zone, settings.digest_day, settings.digest_time
    if zone is None or day is None or at is None:
        return None
    return DigestTime(ZoneInfo(zone), day, time.fromisoformat(at), settings.digest_since)
