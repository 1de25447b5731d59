from __future__ import annotations

import json
from typing import Any

import pytest

from catchup_operator.kube.errors import ApiError

UID = "9b5c1f3e-2d54-4b63-9d0c-6a4f0ad3e1c7"


def error(code: int, message: str, **status: Any) -> ApiError:
    return ApiError.from_reply(
        code, json.dumps({"kind": "Status", "code": code, "message": message, **status}).encode()
    )


# The texts are those of an API server 1.36.
@pytest.mark.parametrize(
    ("answer", "is_of_another"),
    [
        (error(404, 'cronjobs.batch "a" not found', reason="NotFound"), True),
        (
            error(
                422,
                f'CronJob.batch "a" is invalid: metadata.uid: Invalid value: "{UID}": field is immutable',
                reason="Invalid",
                details={"causes": [{"reason": "FieldValueInvalid", "field": "metadata.uid"}]},
            ),
            True,
        ),
        (
            error(
                409,
                'Operation cannot be fulfilled on CronJob.batch "a": the UID in the precondition (x) does not match '
                f"the UID in record ({UID}). The object might have been deleted and then recreated",
                reason="Conflict",
            ),
            True,
        ),
        (error(409, "Precondition failed: UID in precondition: x, UID in object meta: y", reason="Conflict"), True),
        (
            error(
                422,
                "cronjobs.batch \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no",
                reason="Invalid",
                details={"causes": [{"message": "no"}]},
            ),
            False,
        ),
        (error(409, 'admission webhook "w" denied the request', reason="Conflict"), False),
        (error(409, 'Operation cannot be fulfilled on resourcequotas "q"', reason="Conflict"), False),
        (ApiError.from_reply(422, b"<html>a proxy's own page</html>"), False),
    ],
    ids=range(8),
)
def test_only_a_uid_that_differs_means_another_object(answer: ApiError, is_of_another: bool) -> None:
    assert answer.is_of_another is is_of_another


DENIALS = ('admission webhook "w" denied the request: no', "ValidatingAdmissionPolicy 'p' denied request: no")


@pytest.mark.parametrize("message", DENIALS)
@pytest.mark.parametrize(
    ("code", "reason"), [(401, "Unauthorized"), (404, "NotFound"), (409, "AlreadyExists"), (409, "Conflict"), (500, "")]
)
def test_a_denial_is_a_refusal_and_nothing_else_whatever_its_code(code: int, reason: str, message: str) -> None:
    found = error(code, f'cronjobs.batch "a" is forbidden: {message}', reason=reason)
    assert found.refused
    assert not any((found.not_found, found.is_outrun, found.already_exists, found.is_of_another))


@pytest.mark.parametrize(
    ("code", "message"), [(500, "etcdserver: request is too large"), (413, "limit is 3145728"), (422, "is invalid")]
)
def test_what_no_retry_changes_is_a_refusal(code: int, message: str) -> None:
    assert error(code, message).refused


@pytest.mark.parametrize(("code", "message"), [(500, "etcdserver: leader changed"), (409, "try again"), (429, "")])
def test_what_a_retry_may_solve_is_none(code: int, message: str) -> None:
    assert not error(code, message).refused


def test_a_quota_that_is_written_at_the_moment_is_no_object_of_that_name() -> None:
    assert error(409, 'cronjobs.batch "a" already exists', reason="AlreadyExists").already_exists
    assert not error(409, 'Operation cannot be fulfilled on resourcequotas "q"', reason="Conflict").already_exists


def test_a_namespace_that_is_deleted_is_told_from_a_quota_by_the_servers_cause() -> None:
    text = (
        'jobs.batch "a" is forbidden: unable to create new content in namespace people because it is being terminated'
    )
    causes = [{"reason": "NamespaceTerminating", "message": "namespace people is being terminated"}]
    assert error(403, text, reason="Forbidden", details={"causes": causes}).namespace_ends
    assert error(404, 'namespaces "people" not found', reason="NotFound").namespace_ends
    assert not error(403, 'jobs.batch "a" is forbidden: exceeded quota', reason="Forbidden").namespace_ends
    assert not error(404, 'configmaps "people" not found', reason="NotFound").namespace_ends
