"""What a real lease leaves behind: looked at after all other tests of the installation, since it takes its time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from e2e.test_product import person
from e2e.unlucky import UNLUCKY
from waiting import eventually

from catchup_dev.stack import Stack

pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.release]


def test_a_run_whose_pods_crashed_is_one_dead_letter_once_its_lease_ran_out(
    stack: Stack, crashed: dict[str, Any]
) -> None:
    person(stack, "witness")

    def given_up() -> list[Any]:
        # Anybody's next job finds a run whose lease is over.
        stack.catchup_jobs("sync", "--user", "witness")
        listing = ("failures", "list", "--user", UNLUCKY, "--output", "json")
        found: list[Any] = json.loads(stack.catchup_jobs(*listing, accept=(0, 1)))
        return found

    key = f"sync:{UNLUCKY}:{crashed['metadata']['uid']}"
    listed = eventually(given_up)
    assert [(letter["runKey"], letter["reason"]) for letter in listed] == [(key, "crashed")]
    stack.catchup_jobs("failures", "discard", key)
