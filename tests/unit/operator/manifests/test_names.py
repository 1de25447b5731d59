from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from unit.operator.factories import schedule

from catchup_contract.kinds import KINDS, SYNC, Kind
from catchup_operator.manifests.names import USER_SCHEDULE, cronjob_name, fingerprint, has_operator_labels, labels

DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
names = st.from_regex(DNS_SUBDOMAIN, fullmatch=True).filter(lambda name: len(name) <= 63)


@given(names, st.sampled_from(list(KINDS.values())))
def test_cronjob_names_are_valid_and_at_most_52_characters(name: str, kind: Kind) -> None:
    found = cronjob_name(schedule(name=name), kind)
    assert len(found) <= 52
    assert DNS_SUBDOMAIN.fullmatch(found)


def test_long_similar_and_recreated_names_stay_apart() -> None:
    long = "a" * 62
    schedules = [
        schedule(name=long + "a"),
        schedule(name=long + "b", uid="uid-2"),
        schedule(name=long + "a", uid="uid-3"),
        schedule(name=long + "a", namespace="others"),
        schedule(name="a.b", uid="uid-4"),
        schedule(name="a-b", uid="uid-5"),
    ]
    found = {cronjob_name(each, kind) for each in schedules for kind in KINDS.values()}
    assert len(found) == len(schedules) * len(KINDS)


def test_our_labels_are_recognised_and_others_are_not() -> None:
    assert has_operator_labels(labels(USER_SCHEDULE, "ada", SYNC))
    assert not has_operator_labels({"catchup.dev/job": "sync", "catchup.dev/user-schedule": "ada"})
    assert not has_operator_labels({})


@given(st.dictionaries(st.text(), st.integers()))
def test_the_fingerprint_does_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))
