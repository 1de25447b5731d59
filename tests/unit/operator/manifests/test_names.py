from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from unit.operator.factories import schedule

from catchup_contract.kinds import Job
from catchup_operator.manifests.names import cronjob_name, fingerprint, labels, labels_are_ours

DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
names = st.from_regex(DNS_SUBDOMAIN, fullmatch=True).filter(lambda name: len(name) <= 63)


@given(names, st.sampled_from(Job))
def test_cronjob_names_are_valid_and_at_most_52_characters(name: str, job: Job) -> None:
    found = cronjob_name(schedule(name=name), job)
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
    found = {cronjob_name(each, job) for each in schedules for job in Job}
    assert len(found) == len(schedules) * len(Job)


def test_our_labels_are_recognised_and_others_are_not() -> None:
    assert labels_are_ours(labels(schedule(), Job.SYNC))
    assert not labels_are_ours({"catchup.dev/job": "sync", "catchup.dev/user-schedule": "ada"})
    assert not labels_are_ours({})


@given(st.dictionaries(st.text(), st.integers()))
def test_the_fingerprint_does_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))
