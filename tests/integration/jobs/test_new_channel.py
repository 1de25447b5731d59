"""A channel is data: one more record and its sender, and the digest is sent by it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from integration.jobs.digest_world import ADA, DUE

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.digests.overview import past_deliveries
from catchup_jobs.domain.digest.addresses import GivenAddress, mask_number
from catchup_jobs.domain.digest.channels import CHANNELS, SMS, Channel
from catchup_jobs.domain.digest.content import DigestContent
from catchup_jobs.domain.stored_enums import ChannelMode
from catchup_jobs.jobs.digest.messenger import Sender
from catchup_jobs.jobs.digest.provider_answers import Accepted, Ambiguous, Answer, Message

if TYPE_CHECKING:
    from integration.jobs.digest_world import DigestWorld

    from catchup_jobs.jobs.run.endings import Report

PUSH = Channel("push", sent_count=Count.EMAILS_SENT, mask=mask_number, resend_limit=2)
DEVICE = "device-1234567890"


@dataclass
class PushGateway:
    answers: list[Answer] = field(default_factory=list)
    sent: list[Message[str]] = field(default_factory=list)

    def send(self, message: Message[str]) -> Answer:
        self.sent.append(message)
        return self.answers.pop(0) if self.answers else Accepted("push-1", "taken", final=True)


def names(content: DigestContent) -> str:
    return ", ".join(item.contact for item in content.items)


@pytest.fixture
def push() -> PushGateway:
    return PushGateway()


def add(
    world: DigestWorld,
    monkeypatch: pytest.MonkeyPatch,
    push: PushGateway | None,
    channel: Channel = PUSH,
    mode: ChannelMode = ChannelMode.ON,
) -> None:
    """Add the channel, and Ada's address for it beside her number."""
    monkeypatch.setitem(CHANNELS, channel.name, channel)
    if push is not None:
        world.more_senders[channel] = Sender(names, str, lambda: push)
    given = [
        GivenAddress(SMS, "+447700900123", ChannelMode.ON, consented=True),
        GivenAddress(channel, DEVICE, mode, consented=channel.needs_consent or None),
    ]
    with world.database.write() as connection:
        world.addresses.import_into(connection, ADA, given, now=world.now)
    world.suggest("Ben")


def outcome(report: Report) -> tuple[int, Outcome, Reason | None]:
    return report.exit_code, report.summary.outcome, report.summary.reason


def test_one_record_and_one_gateway_are_a_channel(
    digest_world: DigestWorld, monkeypatch: pytest.MonkeyPatch, push: PushGateway
) -> None:
    add(digest_world, monkeypatch, push)
    report = digest_world.digest()
    assert outcome(report) == (ExitCode.DONE, Outcome.DONE, None)
    assert [(message.to, message.content) for message in push.sent] == [(DEVICE, "Ben")]
    assert digest_world.statuses() == {"sms": "sent", "email": "skipped(no_address)", "push": "sent"}
    assert report.summary.counts == {Count.DIGEST_ITEMS: 1, Count.SMS_SENT: 1, Count.EMAILS_SENT: 1}
    assert digest_world.firing(1).summary.reason is Reason.ALREADY_DONE
    assert len(push.sent) == 1
    (past,) = past_deliveries(digest_world.database, limit=10, channel=PUSH)
    assert (past.overview.channel, past.overview.provider_status) == (PUSH, "taken")


def test_its_record_says_what_follows_an_unknown_end(
    digest_world: DigestWorld, monkeypatch: pytest.MonkeyPatch, push: PushGateway
) -> None:
    push.answers = [Ambiguous("no answer")] * 9
    add(digest_world, monkeypatch, push)
    report = digest_world.digest()
    assert len(push.sent) == PUSH.resend_limit
    assert len({message.key for message in push.sent}) == 1
    assert digest_world.statuses()["push"] == "unknown"
    assert outcome(report) == (ExitCode.DONE, Outcome.DONE, Reason.PARTIAL)


@pytest.mark.parametrize("has_twilio", [True, False])
def test_its_record_says_which_channel_it_replaces(
    digest_world: DigestWorld, monkeypatch: pytest.MonkeyPatch, push: PushGateway, has_twilio: bool
) -> None:
    digest_world.has_twilio = has_twilio
    add(digest_world, monkeypatch, push, replace(PUSH, fallback_for=SMS), ChannelMode.FALLBACK)
    assert outcome(digest_world.digest()) == (ExitCode.DONE, Outcome.DONE, None)
    assert digest_world.statuses()["push"] == ("skipped(not_needed)" if has_twilio else "sent")
    assert len(push.sent) == (0 if has_twilio else 1)


def test_its_record_says_whether_it_waits_for_the_end_of_the_night(
    digest_world: DigestWorld, monkeypatch: pytest.MonkeyPatch, push: PushGateway
) -> None:
    digest_world.now = DUE.replace(hour=22)
    add(digest_world, monkeypatch, push, replace(PUSH, respects_quiet_hours=True))
    digest_world.digest(slot=None)
    assert digest_world.statuses()["push"] == "skipped(quiet_hours)"
    assert push.sent == []


def test_a_channel_without_a_sender_fails_loudly(digest_world: DigestWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    add(digest_world, monkeypatch, None)
    report = digest_world.digest()
    assert (report.exit_code, report.summary.reason) == (1, Reason.CRASHED)
    assert digest_world.sms() == []
