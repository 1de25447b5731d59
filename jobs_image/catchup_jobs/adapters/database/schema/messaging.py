"""Users' addresses, the consent to use them, digests and their deliveries."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from catchup_jobs.adapters.database.schema.base import metadata, of_user
from catchup_jobs.adapters.database.types import RecordName, UtcDateTime, row_id, text_enum
from catchup_jobs.domain.digest.channels import CHANNELS
from catchup_jobs.domain.stored_enums import ChannelMode, DeliveryStatus, SkipReason

_UNSETTLED: Final = text("status IN ('pending', 'sending', 'unknown')")

# `ciphertext`: sealed for the user. `lookup`: keyed HMAC of the address, under the key `key_id`.
addresses: Final = Table(
    "addresses",
    metadata,
    of_user(primary_key=True),
    Column("channel", RecordName("channel", CHANNELS), primary_key=True),
    Column("mode", text_enum(ChannelMode, "mode"), nullable=False),
    Column("key_id", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("lookup", Text, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("channel <> 'sms' OR mode <> 'fallback'", name="sms_mode"),
)

# Consent and opt-out of the owner of an address. There is no reference to a user: a row outlives the user.
consents: Final = Table(
    "consents",
    metadata,
    Column("channel", RecordName("channel", CHANNELS), primary_key=True),
    Column("lookup", Text, primary_key=True),
    Column("consented_at", UtcDateTime),
    Column("opted_out_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
)

# `due_at`: null for a digest that was asked for by hand. `content`: the items as they were claimed. `reconnect`: the
# claimed message asks to connect the calendar again. `skip_reason`: why nothing was sent so far. `delivered_mark`: what
# `delivered_at` of its suggestions was set to, so that it can be reset.
digests: Final = Table(
    "digests",
    metadata,
    Column("id", row_id(), primary_key=True),
    of_user(),
    Column("due_date", Date, nullable=False),
    Column("due_at", UtcDateTime),
    Column("content", JSON(none_as_null=True)),
    Column("skip_reason", text_enum(SkipReason, "skip_reason")),
    Column("delivered_mark", UtcDateTime),
    Column("reconnect", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("user_id", "due_date"),
    # The id of a deleted row is not given to another one.
    sqlite_autoincrement=True,
)

# `status` = `sending`: claimed by `attempt_id`, whose process may ask the provider until `lease_until`.
# `address_lookup`: keyed HMAC of the address that was used. `signed_by`: the id of the key that signed the message's
# links, null where it has none. `provider_final`: the provider's status will not change any more.
deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("digest_id", row_id(), ForeignKey("digests.id", ondelete="CASCADE"), nullable=False),
    Column("channel", RecordName("channel", CHANNELS), nullable=False),
    Column("status", text_enum(DeliveryStatus, "status"), nullable=False),
    Column("skip_reason", text_enum(SkipReason, "skip_reason")),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("attempt_id", Text),
    Column("lease_until", UtcDateTime),
    Column("attempted_at", UtcDateTime),
    Column("address_lookup", Text),
    Column("signed_by", Text),
    Column("short_code", Text, nullable=False),
    Column("provider_id", Text),
    Column("provider_status", Text),
    Column("provider_final", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("error_code", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("digest_id", "channel"),
    CheckConstraint("(status = 'skipped') = (skip_reason IS NOT NULL)", name="skip"),
    CheckConstraint("(status = 'sending') = (lease_until IS NOT NULL)", name="lease"),
    # Few of the deliveries of 90 days are unsettled.
    Index("ix_deliveries_unsettled", "status", "channel", postgresql_where=_UNSETTLED, sqlite_where=_UNSETTLED),
    # The id of a deleted row is not given to another one.
    sqlite_autoincrement=True,
)
