from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.api import (
    API_GROUP,
    API_VERSION,
    DEFAULT_DIGEST_DAY,
    DEFAULT_DIGEST_TIME,
    DEFAULT_PRIORITY,
    DEFAULT_SYNC_EVERY,
    DEFAULT_TIME_ZONE,
    KIND,
    LABEL_MAX,
    PRIORITIES,
    SYNC_INTERVALS_MINUTES,
    TIME_OF_DAY_PATTERN,
    USER_ID_FORM,
)
from catchup_contract.digest_rule import DigestDay
from catchup_contract.google_quota import PROJECT_DAY, PROJECT_MINUTE, USER_MINUTE
from catchup_contract.kinds import KINDS, SYNC, kind_named, user_kinds
from catchup_contract.local_time import _NAME, _NAME_MAX
from catchup_contract.outcomes import ADVICE, Outcome, Reason
from catchup_contract.pools import (
    DEFAULT_TICK,
    POOL_KIND,
    POOL_NAME_FORM,
    POOL_NAME_MAX,
    POOL_NAME_PATTERN,
    POOL_PLURAL,
    SHARDS_MAX,
    TICKS_MINUTES,
)
from catchup_contract.run_keys import run_key, slot_of
from catchup_contract.summary import SUMMARY_MAX_BYTES, Count, InvalidSummaryError, Summary

ROOT = Path(__file__).parents[3]
instants = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(
    st.builds(
        Summary,
        st.sampled_from(list(KINDS.values())),
        st.sampled_from(Outcome),
        instants,
        instants,
        st.integers(0, 10),
        st.none() | st.sampled_from(Reason),
        st.dictionaries(st.sampled_from(Count), st.integers(0, 10**9)),
    )
)
def test_a_summary_survives_the_termination_message(summary: Summary) -> None:
    text = summary.to_json()
    assert Summary.from_json(text) == summary
    assert len(text.encode()) <= SUMMARY_MAX_BYTES


def test_a_count_of_a_newer_version_costs_no_other_part_of_the_summary() -> None:
    at = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
    summary = Summary(SYNC, Outcome.DONE, at, at, 0, None, {Count.CALENDARS: 2})
    document = json.loads(summary.to_json())
    document["counts"]["countOfTomorrow"] = 7
    assert Summary.from_json(json.dumps(document)) == summary


@given(st.text())
def test_any_other_text_is_refused_with_one_error_that_does_not_repeat_it(text: str) -> None:
    with pytest.raises(InvalidSummaryError) as caught:
        Summary.from_json(text)
    assert len(str(caught.value)) < 60


@pytest.mark.parametrize(
    ("job_name", "slot"),
    [
        ("ada-sync-x-29401200", datetime(2025, 11, 25, 12, 0, tzinfo=UTC)),
        ("ada-sync-x-now", None),
        ("ada-sync-x-", None),
        ("ada-sync-x--29401200", None),
        ("ada-sync-x-029401200", None),
        ("ada-sync-x-29401200-29401200", None),
        ("ada-sync-x-9999999999", None),
        ("ada-sync-x-٢٩٤٠١٢٠٠", None),
        ("ada-sync-y-29401200", None),
        ("ada-sync-x", None),
        ("", None),
    ],
)
def test_only_a_job_that_the_cronjob_controller_named_serves_a_slot(job_name: str, slot: datetime | None) -> None:
    assert slot_of(job_name, "ada-sync-x") == slot


def test_without_a_cronjob_every_run_is_manual() -> None:
    assert slot_of("-29401200", "") is None


def test_two_jobs_of_one_slot_are_one_run_and_two_manual_jobs_are_two() -> None:
    slot = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    assert run_key(SYNC, "ada", slot=slot, manual_id="1") == run_key(SYNC, "ada", slot=slot, manual_id="2")
    assert run_key(SYNC, "ada", slot=slot, manual_id="1") == "sync:ada:2026-11-23T09:00:00Z"
    assert run_key(SYNC, "ada", slot=None, manual_id="1") != run_key(SYNC, "ada", slot=None, manual_id="2")


def test_the_schema_and_the_contract_name_the_same_values_and_defaults() -> None:
    document = yaml.safe_load((ROOT / "crds/userschedules.yaml").read_text())
    assert document["spec"]["group"] == API_GROUP
    assert document["spec"]["names"]["kind"] == KIND
    (version,) = document["spec"]["versions"]
    assert version["name"] == API_VERSION
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    every, digest = spec["calendarSync"]["properties"]["every"], spec["digest"]["properties"]
    assert (every["enum"], every["default"]) == (list(SYNC_INTERVALS_MINUTES), DEFAULT_SYNC_EVERY)
    assert (digest["day"]["enum"], digest["day"]["default"]) == (
        list(DigestDay),
        DEFAULT_DIGEST_DAY,
    )
    assert digest["time"]["default"] == DEFAULT_DIGEST_TIME
    assert spec["timeZone"]["default"] == DEFAULT_TIME_ZONE
    assert (spec["priority"]["enum"], spec["priority"]["default"]) == (list(PRIORITIES), DEFAULT_PRIORITY)
    assert spec["userId"]["maxLength"] == LABEL_MAX
    assert spec["pool"]["maxLength"] == POOL_NAME_MAX
    assert spec["timeZone"]["maxLength"] == _NAME_MAX


def test_the_schema_of_pools_and_the_contract_name_the_same_values_and_defaults() -> None:
    document = yaml.safe_load((ROOT / "crds/schedulepools.yaml").read_text())
    names = document["spec"]["names"]
    assert (document["spec"]["group"], names["kind"], names["plural"]) == (API_GROUP, POOL_KIND, POOL_PLURAL)
    (version,) = document["spec"]["versions"]
    assert version["name"] == API_VERSION
    schema = version["schema"]["openAPIV3Schema"]
    assert f"'^{POOL_NAME_PATTERN}$'" in schema["x-kubernetes-validations"][0]["rule"]
    spec = schema["properties"]["spec"]["properties"]
    every = spec["calendarSync"]["properties"]["every"]
    assert (every["enum"], every["default"]) == (list(SYNC_INTERVALS_MINUTES), DEFAULT_SYNC_EVERY)
    assert spec.keys() >= {work.spec_section for work in user_kinds().values()}
    for work in user_kinds().values():
        section = spec[work.spec_section]["properties"]
        tick, shards = section["tick"], section["shards"]
        assert (tick["enum"], tick["default"]) == (list(TICKS_MINUTES), DEFAULT_TICK)
        assert (shards["minimum"], shards["maximum"], shards["default"]) == (1, SHARDS_MAX, 1)


def test_the_cronjobs_of_the_longest_pool_name_have_a_name_that_the_cronjob_controller_takes() -> None:
    longest = "a" * POOL_NAME_MAX
    assert re.fullmatch(POOL_NAME_PATTERN, longest)
    assert not re.fullmatch(POOL_NAME_PATTERN, f"{longest}a")
    assert max(len(f"{longest}-pool-{kind}") for kind in user_kinds()) <= 52


def test_the_schema_and_the_contract_have_the_same_forms_of_names_and_times() -> None:
    assert USER_ID_FORM == "lower-case letters, digits and dashes, at most 63 characters"
    assert POOL_NAME_FORM == "lower-case letters, digits and dashes, at most 40 characters"
    users, pools = ((ROOT / f"crds/{plural}.yaml").read_text() for plural in ("userschedules", "schedulepools"))
    assert f"'^{_NAME.pattern}$'" in users
    assert f"'^{TIME_OF_DAY_PATTERN}$'" in users
    for text in (users, pools):
        assert f"'^{POOL_NAME_PATTERN}$'" in text
        assert f"at most {POOL_NAME_MAX} lower-case letters, digits and dashes" in text


def test_every_interval_divides_a_day() -> None:
    assert all(24 * 60 % minutes == 0 for minutes in SYNC_INTERVALS_MINUTES.values())


def test_every_reason_has_its_advice() -> None:
    assert set(ADVICE) == set(Reason)


def test_a_kind_is_found_by_its_name_and_an_unknown_one_fails() -> None:
    assert kind_named("sync") is SYNC
    for name in ("", "sink", "SYNC"):
        with pytest.raises(ValueError, match="known: sync, digest, suggestions"):
            kind_named(name)


def test_no_two_kinds_share_a_section_or_a_condition() -> None:
    for field in ("spec_section", "status_section", "condition"):
        values = [getattr(work, field) for work in user_kinds().values()]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("plural", ["userschedules", "schedulepools"])
def test_the_descriptions_name_what_an_enum_allows(plural: str) -> None:
    """`kubectl explain` of 1.29 does not show enums."""

    def fields(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield schema
        for child in schema.get("properties", {}).values():
            yield from fields(child)

    document = yaml.safe_load((ROOT / f"crds/{plural}.yaml").read_text())
    spec = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    enums = [field for field in fields(spec) if "enum" in field]
    assert len(enums) >= 3
    for field in enums:
        days = field["enum"][0] == "Monday"  # a range is clearer
        for value in ("Monday to Sunday", "Daily") if days else field["enum"]:
            assert value in field["description"]


def test_the_chart_grants_what_google_grants_by_default() -> None:
    values = yaml.safe_load((ROOT / "helm/catchup-jobs/values.yaml").read_text(encoding="utf-8"))["google"]
    quotas = {"projectQuota": PROJECT_MINUTE, "userQuota": USER_MINUTE, "dayQuota": PROJECT_DAY}
    assert {name: values[name] for name in quotas} == quotas
