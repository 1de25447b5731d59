"""Whatever happens to a digest, in whatever order: at most one SMS a date, and what is recorded is true."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.jobs.digest_world import DUE, DigestWorld
from samples import IN_FULL
from sqlalchemy import select, update

from catchup_contract.digest_rule import LATEST
from catchup_jobs.adapters.database.schema import suggestions
from catchup_jobs.domain.digest.channels import SMS
from catchup_jobs.domain.stored_enums import DeliveryStatus, SuggestionStatus
from catchup_jobs.jobs.digest.provider_answers import Accepted, Ambiguous, Answer, Message, NotSent, Refused, Unusable
from catchup_jobs.jobs.run.errors import TemporaryError

if TYPE_CHECKING:
    from datetime import datetime

_WENT_OUT = {DeliveryStatus.SENT, DeliveryStatus.UNKNOWN, DeliveryStatus.SENDING}
_numbers = itertools.count(1)

FATES = (
    "accepted",
    "refused",
    "too many requests",
    "unreachable",
    "our fault",
    "lost on the way",
    "dies before",
    # The dangerous ones, more often.
    *("accepted, answer lost", "dies after") * 3,
)
LOOK_UPS = ("works", "fails", "lists nothing", "lists nothing")


class _Dies(BaseException):
    """Stands for SIGKILL."""


@dataclass
class Provider:
    """An SMS provider whose behaviour is a list; it keeps what it took."""

    fates: list[str]
    look_ups: list[str]
    taken: list[str] = field(default_factory=list)
    refused: int = 0

    def send(self, message: Message[str]) -> Answer:
        fate = self.fates.pop(0) if self.fates else "accepted"
        if fate == "dies before":
            raise _Dies
        if fate in {"accepted", "accepted, answer lost", "dies after"}:
            self.taken.append(message.content)
        if fate == "dies after":
            raise _Dies
        self.refused += fate == "refused"
        answers: dict[str, Answer] = {
            "accepted": Accepted(f"SM{len(self.taken) - 1}", "queued"),
            "refused": Refused("21211"),
            "too many requests": NotSent("scripted", wait_seconds=3),
            "unreachable": NotSent("scripted"),
            "our fault": Unusable("scripted"),
        }
        return answers.get(fate, Ambiguous("scripted"))

    def find(self, to: str, *, code: str, since: datetime) -> Accepted | None:
        look_up = self.look_ups.pop(0) if self.look_ups else "works"
        if look_up == "fails":
            raise TemporaryError("scripted")
        found = [number for number, text in enumerate(self.taken) if f"#{code}" in text]
        return Accepted(f"SM{found[0]}", "queued") if found and look_up == "works" else None

    def fetch_status(self, provider_id: str) -> Accepted:
        return Accepted(provider_id, "delivered", final=True)


steps = st.lists(
    st.one_of(
        st.sampled_from([0.0, 0.0, 1.0, 3.0]).map(lambda hours: ("fire", hours)),
        st.just(("by hand", 0.0)),
        st.just(("answer", 0.0)),
        st.just(("suggest", 0.0)),
        st.sampled_from([0.1, 1.0, 26.0]).map(lambda hours: ("wait", hours)),
    ),
    min_size=1,
    max_size=8,
)


def perform(world: DigestWorld, user_id: str, step: tuple[str, float]) -> None:
    kind, hours = step
    try:
        match kind:
            case "fire":
                world.now = max(world.now, DUE + timedelta(hours=hours))
                world.digest(user_id, slot=DUE + timedelta(hours=hours))
            case "by hand":
                world.digest(user_id, slot=None)
            case "answer":
                with world.database.write() as connection:
                    connection.execute(
                        update(suggestions)
                        .where(suggestions.c.user_id == user_id)
                        .values(status=SuggestionStatus.DISMISSED)
                    )
            case "suggest":
                world.suggest(f"Friend {next(_numbers)}", user_id=user_id, hours=200)
            case "wait":
                world.now += timedelta(hours=hours)
    except _Dies:
        pass


@pytest.mark.sampled
@given(steps, st.lists(st.sampled_from(FATES), max_size=6), st.lists(st.sampled_from(LOOK_UPS), max_size=12))
@settings(
    max_examples=100 if IN_FULL else 25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_at_most_one_sms_a_date_and_the_record_is_true(
    digest_world: DigestWorld, story: list[tuple[str, float]], fates: list[str], look_ups: list[str]
) -> None:
    user_id = f"u{next(_numbers)}"
    digest_world.now = DUE
    digest_world.add_user(user_id)
    digest_world.reach(user_id, phone=f"+4477009{next(_numbers):05d}", email=None)
    digest_world.suggest(user_id=user_id, hours=200)
    provider = Provider(fates, look_ups)
    digest_world.sms_gateway = lambda: provider
    for step in story:
        perform(digest_world, user_id, step)
    # One more firing, and everybody is well by now.
    provider.fates.clear()
    provider.look_ups.clear()
    is_late = digest_world.now > DUE + LATEST
    perform(digest_world, user_id, ("fire", 3.8))
    codes: dict[str, Any] = {}
    for row in digest_world.digest_rows():
        if row.user_id == user_id:
            delivery = digest_world.delivery(SMS, user_id, row.due_date)
            if delivery is not None:
                codes[delivery.short_code] = delivery
    taken = {code: sum(f"#{code}" in text for text in provider.taken) for code in codes}
    assert all(count <= 1 for count in taken.values())
    assert sum(taken.values()) == len(provider.taken)
    for code, delivery in codes.items():
        if taken[code]:
            # Never said to be unsent; what the provider lists is known in the end.
            is_last = delivery == digest_world.delivery(SMS, user_id)
            assert delivery.status in ({DeliveryStatus.SENT} if is_last and not is_late else _WENT_OUT)
        else:
            assert delivery.status is not DeliveryStatus.SENT
        if delivery.status is DeliveryStatus.FAILED:
            assert provider.refused
    _marks_are_true(digest_world, user_id, codes)


def _marks_are_true(world: DigestWorld, user_id: str, codes: dict[str, Any]) -> None:
    # A suggestion counts as delivered if and only if a message that carried it went out, or may have.
    with world.database.read() as connection:
        rows = connection.execute(select(suggestions).where(suggestions.c.user_id == user_id)).all()
    went_out = any(delivery.status in _WENT_OUT for delivery in codes.values())
    assert went_out or all(row.delivered_at is None for row in rows)
