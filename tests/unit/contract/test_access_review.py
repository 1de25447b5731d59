from __future__ import annotations

from typing import Any

import pytest

from catchup_contract.access_review import VERDICT_KEPT_SECONDS, Verdicts, access_review, bearer, is_allowed


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
        ("Basic abc", None),
        ("abc", None),
    ],
)
def test_a_bearer_token_is_read_as_rfc_6750_writes_it(header: str, token: str | None) -> None:
    assert bearer(header) == token


@pytest.mark.parametrize(
    "status", [None, {}, {"authenticated": False, "user": {"username": "ada"}}, {"authenticated": True}]
)
def test_a_token_that_is_nobodys_is_not_asked_about(status: dict[str, Any] | None) -> None:
    assert access_review({"status": status}) is None


def test_the_question_names_the_user_whole() -> None:
    user = {"username": "ada", "uid": "1", "groups": ["people"], "extra": {"scopes": ["read"]}}
    review = access_review({"status": {"authenticated": True, "user": user}})
    assert review is not None
    spec = review["spec"]
    assert spec.pop("nonResourceAttributes") == {"path": "/metrics", "verb": "get"}
    assert spec == {"user": "ada", "uid": "1", "groups": ["people"], "extra": {"scopes": ["read"]}}


@pytest.mark.parametrize(
    ("status", "allowed"),
    [({"allowed": True}, True), ({"allowed": True, "denied": True}, False), ({"allowed": "yes"}, False), ({}, False)],
)
def test_only_a_clear_yes_allows(status: dict[str, Any], allowed: bool) -> None:
    assert is_allowed({"status": status}) is allowed


def test_a_decision_is_kept_for_a_minute_and_an_outage_is_none() -> None:
    verdicts = Verdicts()
    verdicts.keep("a", 200, 0.0)
    verdicts.keep("b", 503, 0.0)
    assert (verdicts.get("a", VERDICT_KEPT_SECONDS - 1), verdicts.get("a", VERDICT_KEPT_SECONDS)) == (200, None)
    assert verdicts.get("b", 1.0) is None
    for number in range(1000):
        verdicts.keep(f"guess {number}", 401, 1.0)
    assert len(verdicts._verdicts) <= 100
