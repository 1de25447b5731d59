"""Recording a provider's answer to a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

from sqlalchemy import Connection, bindparam, select, update

from catchup_jobs.adapters.database.comparisons import is_one_of
from catchup_jobs.adapters.database.digests.items import remove_mark
from catchup_jobs.adapters.database.people.addresses import record_opt_out
from catchup_jobs.adapters.database.people.planning_version import bump_planning_version
from catchup_jobs.adapters.database.schema import deliveries, digests
from catchup_jobs.domain.digest.channels import MAYBE_SENT
from catchup_jobs.domain.stored_enums import DeliveryStatus
from catchup_jobs.jobs.digest.provider_answers import Accepted, Ambiguous, Answer, NotSent, Refused, Unusable

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.adapters.database.engine import Database

# `provider_status` of a delivery that may have been sent, until the provider accepts one of its attempts: whatever
# later attempts give, the delivery does not become unsent again.
_UNCONFIRMED: Final = "unconfirmed"
_OF_DELIVERY: Final = (
    select(digests.c.user_id, deliveries.c.status, deliveries.c.provider_status)
    .join(deliveries)
    .where(deliveries.c.id == bindparam("delivery"))
)
_SETTLED: Final = (
    update(deliveries)
    .where(
        deliveries.c.id == bindparam("delivery"),
        deliveries.c.attempt_id == bindparam("attempt"),
        is_one_of(deliveries.c.status, MAYBE_SENT),
    )
    .values(lease_until=None)
)
_ACCEPTED: Final = _SETTLED.values(
    status=DeliveryStatus.SENT,
    provider_id=bindparam("id_there"),
    provider_status=bindparam("status_there"),
    provider_final=bindparam("is_final"),
    updated_at=bindparam("at"),
)


def settle(
    database: Database, connection: Connection, delivery_id: int, attempt_id: str, answer: Answer, *, now: datetime
) -> None:
    """Record a provider's answer, unless another attempt has claimed the delivery or its status is settled.

    If an attempt fails after one that may have been sent (an email's), the delivery is `unknown` again.
    """
    claimed = {"delivery": delivery_id, "attempt": attempt_id}
    if isinstance(answer, Accepted):
        # No suggestion changes: neither the user's row is locked nor a plan repeated.
        accepted = {"id_there": answer.provider_id, "status_there": answer.status, "is_final": answer.final}
        connection.execute(_ACCEPTED, claimed | accepted | {"at": now})
        return
    row = connection.execute(_OF_DELIVERY, claimed).one_or_none()
    if row is None:
        return
    values = _values_of(answer)
    was_unconfirmed = (row.status, row.provider_status) == (DeliveryStatus.SENDING, _UNCONFIRMED)
    if was_unconfirmed:
        values["status"] = DeliveryStatus.UNKNOWN
    # The user's row is locked first, as by everything that changes suggestions.
    bump_planning_version(connection, [row.user_id])
    settled = connection.execute(_SETTLED.values(updated_at=now, **values), claimed)
    if settled.rowcount and values["status"] not in MAYBE_SENT:
        remove_mark(connection, delivery_id, now)
    if settled.rowcount and isinstance(answer, Refused) and answer.opted_out:
        _opt_out(database, connection, delivery_id, now)


def mark_unknown(connection: Connection, delivery_id: int, attempt_id: str, *, now: datetime) -> None:
    """Mark a delivery in status `sending` as `unknown` once its lease has expired."""
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.id == delivery_id,
            deliveries.c.attempt_id == attempt_id,
            deliveries.c.status == DeliveryStatus.SENDING,
            deliveries.c.lease_until < now,
        )
        .values(status=DeliveryStatus.UNKNOWN, provider_status=_UNCONFIRMED, lease_until=None, updated_at=now)
    )


def _values_of(answer: Refused | NotSent | Unusable | Ambiguous) -> dict[str, Any]:
    match answer:
        case Refused(code):
            return {"status": DeliveryStatus.FAILED, "error_code": code, "provider_final": True}
        case NotSent():
            return {"status": DeliveryStatus.PENDING}
        case Unusable(_, code):
            return {"status": DeliveryStatus.PENDING, "error_code": code}
        case Ambiguous():
            return {"status": DeliveryStatus.UNKNOWN, "provider_status": _UNCONFIRMED}
        case _:
            assert_never(answer)


def _opt_out(database: Database, connection: Connection, delivery_id: int, now: datetime) -> None:
    row = connection.execute(
        select(deliveries.c.channel, deliveries.c.address_lookup).where(deliveries.c.id == delivery_id)
    ).one()
    if row.address_lookup is not None:
        record_opt_out(database, connection, row.channel, row.address_lookup, now=now)
