"""`catchup-jobs deliveries`: the messages of digests and their status."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from catchup_jobs.adapters.database.digests.overview import DeliveryOverview, PastDelivery, past_deliveries
from catchup_jobs.cli.parameters import USER_ID, OneOf, OneRecord
from catchup_jobs.cli.resources import open_database
from catchup_jobs.cli.tables import AGE, EXIT_FAILURES, JSON, age_of, echo_rows, limit_option, output_option
from catchup_jobs.domain.digest.channels import CHANNELS, Channel
from catchup_jobs.domain.stored_enums import DeliveryStatus
from catchup_jobs.settings import Settings

_TROUBLE: Final = frozenset({DeliveryStatus.FAILED, DeliveryStatus.UNKNOWN})
_COLUMNS: Final = {
    "user": "USER",
    "dueDate": "DUE DATE",
    "channel": "CHANNEL",
    "status": "STATUS",
    "reason": "REASON",
    "providerStatus": "PROVIDER",
    "errorCode": "ERROR",
    "attempts": "ATTEMPTS",
    "age": "AGE",
}


@click.group()
def deliveries() -> None:
    """See which messages were sent, and their status."""


@deliveries.command("list")
@click.option("--user", "user_id", type=USER_ID, help="Only this user's.")
@click.option("--channel", type=OneRecord("channel", CHANNELS), help="Only this channel's.")
@click.option("--status", type=OneOf(DeliveryStatus), help="Only those in this status.")
@click.option("--newer-than", type=AGE, metavar="AGE", help="Only those that changed within this time: 90m, 36h, 7d.")
@limit_option
@output_option
def list_(
    *,
    user_id: str | None,
    channel: Channel | None,
    status: DeliveryStatus | None,
    newer_than: timedelta | None,
    limit: int,
    output: str,
) -> None:
    """List deliveries, the last changed first, without address and text. Exit 1 if one failed, is
    unknown, or was tried and is still pending.

    \b
    Examples:
      catchup-jobs deliveries list --user ada
      catchup-jobs deliveries list --status failed --newer-than 7d --output json
    """
    now = datetime.now(UTC)
    with open_database(Settings.load()) as database:
        past = past_deliveries(
            database,
            limit=limit,
            user_id=user_id,
            channel=channel,
            status=status,
            since=now - newer_than if newer_than else None,
        )
    echo_rows(_COLUMNS, [_row(delivery, now) for delivery in past], output)
    if not past and output != JSON:
        click.echo("no deliveries", err=True)
    sys.exit(EXIT_FAILURES if any(_is_trouble(delivery.overview) for delivery in past) else 0)


def _is_trouble(overview: DeliveryOverview) -> bool:
    was_tried = overview.status is DeliveryStatus.PENDING and overview.attempts > 0
    return was_tried or overview.status in _TROUBLE


def _row(delivery: PastDelivery, now: datetime) -> dict[str, Any]:
    overview = delivery.overview
    return {
        "user": delivery.user_id,
        "dueDate": delivery.due_date.isoformat(),
        "channel": overview.channel.name,
        "status": overview.status,
        "reason": overview.skip_reason,
        "providerStatus": overview.provider_status,
        "errorCode": overview.error_code,
        "attempts": overview.attempts,
        "updatedAt": delivery.updated_at,
        "age": age_of(delivery.updated_at, now),
    }
