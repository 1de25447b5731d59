"""When something is tried again, by the messages of `Ready` and by the code that tries it."""

from __future__ import annotations

import pytest

from catchup_operator.reconcile import list_writer, refusals
from catchup_operator.reconcile.work_queue import RETRY_MAX_SECONDS
from catchup_operator.state.contests import _DOUBLINGS_MAX, REPAIR_DELAY_SECONDS
from catchup_operator.status import ready
from catchup_operator.status.conditions import Condition

WORDS = {30: "half a minute", 300: "five minutes", 600: "ten minutes"}


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (ready.refused("x"), f"within {WORDS[int(refusals._REFUSED_FIRST_SECONDS)]} at first"),
        (ready.refused("x"), f"every {WORDS[int(refusals._REFUSED_MAX_SECONDS)]} later"),
        (ready.failed("x"), f"every {WORDS[int(RETRY_MAX_SECONDS)]} or sooner"),
        (ready.webhook_failed("x"), f"every {refusals._UNNOTICED_RETRY_SECONDS:.0f} seconds"),
        (ready.list_refused("x"), f"every {list_writer._REFUSED_SECONDS:.0f} seconds"),
    ],
)
def test_the_message_names_the_delay_of_the_next_try(condition: Condition, said: str) -> None:
    assert said in condition.message


def test_a_contested_cronjob_is_repaired_about_once_a_minute() -> None:
    assert "about once a minute" in ready.contested("ada-sync", "edited").message
    assert 50 <= REPAIR_DELAY_SECONDS * 2**_DOUBLINGS_MAX <= 70
