"""Deliveries that earlier passes, runs and due dates did not settle: they are looked up, and never sent again here."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from catchup_contract.summary import Count
from catchup_jobs.domain.stored_enums import DeliveryStatus
from catchup_jobs.jobs.run.errors import JobError, TemporaryError

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.jobs.digest.due_digest import DueDigest
    from catchup_jobs.jobs.digest.ports import Delivery, StoredDigest
    from catchup_jobs.jobs.digest.provider_answers import Accepted, Refused

# A message that the provider does not list within this time will not appear.
LOOK_UP_SPAN: Final = timedelta(minutes=2)
"""How long a message that may have been sent is looked up."""
_LOOK_UP_INTERVAL_SECONDS: Final = 20.0
"""How often a message that may have been sent is looked up."""

_log = structlog.get_logger()


def settle_earlier_attempts(digest: DueDigest, stored: StoredDigest) -> None:
    """Settle what earlier attempts left, of this due date and of those within `FOLLOW_UP_SPAN`.

    An error of this due date's deliveries is added to `digest.errors`. An error of earlier ones is only logged: the
    next run asks again, and what is due today must not wait for it.
    """
    for delivery in stored.deliveries.values():
        _settle(digest, delivery)
    for delivery in stored.unsettled:
        _follow_up(digest, delivery, digest.context.now())


def _settle(digest: DueDigest, delivery: Delivery) -> None:
    match delivery.status:
        case DeliveryStatus.SENDING if digest.is_unsent(delivery):
            digest.release(delivery)
        case DeliveryStatus.SENDING:
            now = digest.context.now()
            remaining = (delivery.lease_until - now).total_seconds() if delivery.lease_until else 0.0
            if remaining >= 0:
                digest.errors.append(TemporaryError("another process is sending", wait_seconds=remaining + 1))
                return
            digest.store.mark_unknown(delivery.id, delivery.attempt_id or "", now=now)
            digest.counts.add(Count.DELIVERIES_UNKNOWN)
            _look_up(digest, delivery)
        case DeliveryStatus.UNKNOWN:
            _look_up(digest, delivery)
        case _:
            return


def _look_up(digest: DueDigest, delivery: Delivery) -> None:
    channel = delivery.channel
    if not channel.can_look_up:
        return
    attempted_at = delivery.attempted_at or digest.context.now()
    try:
        answer = _find(digest, delivery, attempted_at)
    except JobError as error:
        digest.errors.append(error)
        return
    if answer is not None:
        if digest.settle(channel, delivery.id, delivery.attempt_id or "", answer) is DeliveryStatus.SENT:
            digest.counts.set(channel.sent_count, 1)
        return
    remaining = (attempted_at + LOOK_UP_SPAN - digest.context.now()).total_seconds()
    if remaining > 0:
        wait = min(remaining, _LOOK_UP_INTERVAL_SECONDS)
        digest.errors.append(TemporaryError("the provider does not list the message yet", wait_seconds=wait))


def _follow_up(digest: DueDigest, delivery: Delivery, now: datetime) -> None:
    is_sending = delivery.status is DeliveryStatus.SENDING
    if is_sending:
        # An earlier due date, all of whose pods died: none of its firings is left.
        digest.store.mark_unknown(delivery.id, delivery.attempt_id or "", now=now)
    if not delivery.channel.can_look_up:
        return
    try:
        if is_sending:
            answer = _find(digest, delivery, delivery.attempted_at or now)
        else:
            answer = digest.messenger.fetch_status(delivery.channel, delivery.provider_id or "")
    except JobError as error:
        _log.warning("cannot fetch a message's status", error_class=type(error).__name__, why=str(error))
        return
    if answer is not None:
        digest.settle(delivery.channel, delivery.id, delivery.attempt_id or "", answer)


def _find(digest: DueDigest, delivery: Delivery, since: datetime) -> Accepted | Refused | None:
    destination = digest.destinations()[delivery.channel]
    return digest.messenger.find(delivery.channel, destination, code=delivery.code, since=since)
