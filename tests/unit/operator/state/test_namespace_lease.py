from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from catchup_operator.state.namespace_lease import LEASE_SECONDS, RENEW_SECONDS, NamespaceLease, renewal

NOW = datetime(2026, 11, 24, 9, 7, 1, 250, tzinfo=UTC)
OURS = {"holderIdentity": "one/jobs", "leaseDurationSeconds": LEASE_SECONDS, "renewTime": "2026-11-24T09:06:00.000000Z"}
THEIRS = {**OURS, "holderIdentity": "two/jobs"}


@pytest.mark.parametrize(
    ("spec", "free"),
    [
        ({}, True),  # there is none
        ({"holderIdentity": ""}, True),  # released, as client-go's ReleaseOnCancel does
        ({"holderIdentity": None}, True),
        (OURS, True),  # an earlier pod of the same release
        (THEIRS, False),
        # Another machine's clock says nothing, and a Lease may lack anything but the holder.
        ({**THEIRS, "renewTime": "1970-01-01T00:00:00.000000Z"}, False),
        ({"holderIdentity": "two/jobs"}, False),
        ({"holderIdentity": "two/jobs", "leaseDurationSeconds": None}, False),
    ],
)
def test_a_lease_is_free_if_nobody_or_this_release_holds_it(spec: dict[str, Any], free: bool) -> None:
    tenure = NamespaceLease("one/jobs")
    tenure.observe(spec, 100.0)
    assert tenure.may_take(100.0) is free
    assert not tenure.is_held(100.0)


def test_a_lease_of_another_release_is_free_once_it_has_not_changed_for_its_own_duration() -> None:
    tenure = NamespaceLease("one/jobs")
    short = {**THEIRS, "leaseDurationSeconds": 40}
    for at in (0.0, 30.0):
        tenure.observe(short, at)
    assert not tenure.may_take(40.0)
    tenure.observe({**short, "renewTime": "2026-11-24T09:07:00.000000Z"}, 41.0)
    assert not tenure.may_take(80.0)
    assert tenure.may_take(82.0)
    assert tenure.holder == "two/jobs"


def test_a_holder_stops_to_write_before_another_may_begin() -> None:
    holder, other = NamespaceLease("one/jobs"), NamespaceLease("two/jobs")
    holder.renewed(0.0)
    other.observe(OURS, 0.0)
    last = max(at for at in range(LEASE_SECONDS * 2) if holder.is_held(at))
    first = min(at for at in range(LEASE_SECONDS * 2) if other.may_take(at))
    assert last < first
    # Two renewals may fail before that.
    assert last > 2 * RENEW_SECONDS
    assert not holder.renewal_is_due(RENEW_SECONDS - 1)
    assert holder.renewal_is_due(RENEW_SECONDS)


def test_a_holder_that_reads_another_name_stops_at_once() -> None:
    tenure = NamespaceLease("one/jobs")
    tenure.renewed(0.0)
    tenure.observe(THEIRS, 1.0)
    assert not tenure.is_held(1.0)
    assert tenure.holder == "two/jobs"


@pytest.mark.parametrize(
    ("before", "transitions"),
    [
        ({}, 0),
        ({**THEIRS, "leaseTransitions": 4}, 5),
        ({**THEIRS}, 1),
        ({"holderIdentity": "", "leaseTransitions": 4}, 5),
        ({**OURS, "leaseTransitions": 4}, None),  # a renewal is no transition
    ],
)
def test_what_is_written_counts_transitions_as_client_go_does(before: dict[str, Any], transitions: int | None) -> None:
    written = renewal(before, "one/jobs", NOW)
    # MicroTime: RFC 3339 with six digits
    assert written["renewTime"] == "2026-11-24T09:07:01.000250Z"
    assert written["holderIdentity"] == "one/jobs"
    assert written.get("leaseTransitions") == transitions
    assert ("acquireTime" in written) is (transitions is not None)
