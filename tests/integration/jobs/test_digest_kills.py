"""A pod killed at every line around the send: at most one SMS, and what became of it is known or said to be unknown."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from integration.jobs.digest_world import DUE
from samples import IN_FULL
from sqlalchemy import select

from catchup_contract.outcomes import ExitCode, Reason
from catchup_jobs.adapters.database.schema import suggestions
from catchup_jobs.domain.digest.channels import SMS
from catchup_jobs.domain.stored_enums import DeliveryStatus
from catchup_jobs.jobs.digest.due_digest import LEASE

if TYPE_CHECKING:
    from integration.jobs.digest_world import DigestWorld

CONTENTS = ("people", "a request to connect again")
# With each backend and content another fourth of the lines, so that a run kills at all of them.
EVERY = 1 if IN_FULL else 4
USERS = 160 // EVERY


@pytest.mark.sampled
@pytest.mark.parametrize("what", CONTENTS)
def test_a_pod_killed_at_any_line_around_the_send_sends_at_most_one_sms(digest_world: DigestWorld, what: str) -> None:
    numbers = {f"u{number:03d}": f"+4477009{number:05d}" for number in range(USERS)}
    for user_id, phone in numbers.items():
        digest_world.add_user(user_id)
        digest_world.reach(user_id, phone=phone, email=None)
        if what == "people":
            digest_world.suggest(user_id=user_id)
        else:
            digest_world.end_consent(user_id)
    variant = CONTENTS.index(what) + 2 * (digest_world.database.backend == "postgresql")
    process = digest_world.process(list(numbers), first=variant % EVERY, every=EVERY)
    told, errors = process.communicate()
    assert process.returncode == 0, errors[-2000:]
    killed = json.loads(told.splitlines()[-1])
    assert killed["passed"] > 50
    ends = set()
    for user_id, line in zip(list(numbers)[1:], killed["died_at"], strict=False):
        digest_world.now = DUE
        digest_world.slept.clear()
        before = len(digest_world.sms(numbers[user_id]))
        left = digest_world.delivery(SMS, user_id)
        report = digest_world.digest(user_id)
        sent = len(digest_world.sms(numbers[user_id]))
        row = digest_world.delivery(SMS, user_id)
        assert report.exit_code == ExitCode.DONE, line
        assert sent <= 1, line
        if left is not None and left.status is DeliveryStatus.SENDING:
            assert sum(digest_world.slept) >= LEASE.total_seconds(), f"{line}: the successor did not wait for the lease"
        # Known, or said to be unknown; and never unknown where it was sent, since it can be looked up.
        assert row.status is (DeliveryStatus.SENT if sent else DeliveryStatus.UNKNOWN), line
        assert report.summary.reason in {None, Reason.ALREADY_DONE, Reason.UNCONFIRMED}, line
        if what == "people":
            with digest_world.database.read() as connection:
                delivered = connection.execute(
                    select(suggestions.c.delivered_at).where(suggestions.c.user_id == user_id)
                ).scalar_one()
            assert delivered is not None, line
        else:
            # Whether it was sent or may have been, it is not asked again within two weeks.
            digest_world.now = DUE + timedelta(days=7)
            assert digest_world.digest(user_id, slot=digest_world.now).summary.reason is Reason.EMPTY, line
            assert len(digest_world.sms(numbers[user_id])) == sent, line
        ends.add((before, sent))
    # The kills really fell before the send, between send and record, and nowhere was a message sent twice.
    assert ends == {(0, 0), (0, 1), (1, 1)}
