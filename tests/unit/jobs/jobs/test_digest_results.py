"""How a digest's run is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.domain.digest.channels import EMAIL, SMS, Channel
from catchup_jobs.domain.stored_enums import DeliveryStatus, SkipReason
from catchup_jobs.jobs.digest.ports import Delivery
from catchup_jobs.jobs.digest.results import error_to_raise, result_of
from catchup_jobs.jobs.run.checkpoint import Counts
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, TemporaryError

SENT, FAILED, UNKNOWN = DeliveryStatus.SENT, DeliveryStatus.FAILED, DeliveryStatus.UNKNOWN
SKIPPED = DeliveryStatus.SKIPPED


def deliveries(sms: DeliveryStatus | SkipReason, email: DeliveryStatus | SkipReason) -> dict[Channel, Delivery]:
    def one(number: int, channel: Channel, state: DeliveryStatus | SkipReason) -> Delivery:
        if isinstance(state, SkipReason):
            return Delivery(number, channel, SKIPPED, reason=state)
        return Delivery(number, channel, state)

    return {SMS: one(1, SMS, sms), EMAIL: one(2, EMAIL, email)}


@pytest.mark.parametrize(
    ("sms", "email", "did", "outcome", "reason"),
    [
        (SENT, SkipReason.NOT_NEEDED, {Count.SMS_SENT: 1}, Outcome.DONE, None),
        (SENT, SENT, {Count.EMAILS_SENT: 1}, Outcome.DONE, None),
        (SENT, SkipReason.NOT_NEEDED, {}, Outcome.SKIPPED, Reason.ALREADY_DONE),
        (FAILED, SENT, {Count.DELIVERIES_FAILED: 1, Count.EMAILS_SENT: 1}, Outcome.DONE, Reason.PARTIAL),
        (FAILED, SENT, {}, Outcome.SKIPPED, Reason.ALREADY_DONE),
        (FAILED, SkipReason.NO_ADDRESS, {Count.DELIVERIES_FAILED: 1}, Outcome.DONE, Reason.UNDELIVERED),
        (FAILED, SkipReason.NO_ADDRESS, {}, Outcome.SKIPPED, Reason.UNDELIVERED),
        (UNKNOWN, SkipReason.NOT_NEEDED, {Count.DELIVERIES_UNKNOWN: 1}, Outcome.DONE, Reason.UNCONFIRMED),
        (UNKNOWN, SkipReason.NOT_NEEDED, {}, Outcome.SKIPPED, Reason.UNCONFIRMED),
        (SkipReason.NO_CONSENT, SkipReason.NO_ADDRESS, {}, Outcome.SKIPPED, Reason.NO_CHANNEL),
        (SkipReason.NO_CONSENT, SkipReason.NOT_CONFIGURED, {}, Outcome.SKIPPED, Reason.NOT_CONFIGURED),
        (SkipReason.QUIET_HOURS, SkipReason.OFF, {}, Outcome.SKIPPED, Reason.QUIET_HOURS),
        (SkipReason.EMPTY, SkipReason.EMPTY, {}, Outcome.SKIPPED, Reason.EMPTY),
        (SkipReason.LATE, SkipReason.OFF, {}, Outcome.SKIPPED, Reason.NO_CHANNEL),
    ],
)
def test_a_settled_date_is_done_by_the_run_that_did_it_and_skipped_by_the_others(
    sms: Any, email: Any, did: dict[str, Any], outcome: Outcome, reason: Reason | None
) -> None:
    result = result_of(deliveries(sms, email), Counts({"counts": did}))
    assert (result.outcome, result.reason) == (outcome, reason)
    assert result.counts == did


ATTEMPT = TemporaryError("counts")
WAIT = TemporaryError("asked to wait", wait_seconds=5)
OURS = MisconfiguredError("ours")


@pytest.mark.parametrize(
    ("errors", "decides"),
    [
        ([], None),
        ([OURS], OURS),
        ([OURS, WAIT], WAIT),
        ([WAIT, OURS, ATTEMPT], ATTEMPT),
    ],
)
def test_an_attempt_decides_before_a_wait_and_a_wait_before_what_only_people_can_mend(
    errors: list[JobError], decides: JobError | None
) -> None:
    assert error_to_raise(errors) is decides


def test_counts_survive_the_checkpoint_as_json() -> None:
    checkpoint: dict[str, Any] = {"unsent": "x"}
    counts = Counts(checkpoint)
    counts.add(Count.SMS_SENT)
    counts.add(Count.SMS_SENT)
    counts.set(Count.DIGEST_ITEMS, 3)
    assert Counts(json.loads(json.dumps(checkpoint))).all() == {
        Count.SMS_SENT: 2,
        Count.DIGEST_ITEMS: 3,
    }
