from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from catchup_operator.kube import resources
from catchup_operator.kube.resources import CRONJOBS, EVENTS, JOBS, PODS, REVIEWS, SCHEDULES

METADATA = {
    "name": "ada-sync-1",
    "namespace": "prod",
    "uid": "1",
    "resourceVersion": "7",
    "generation": 2,
    "labels": {"catchup.dev/job": "sync"},
    "ownerReferences": [{"kind": "CronJob", "name": "ada-sync", "uid": "0", "controller": True}],
}


@pytest.mark.parametrize(
    ("resource", "sent", "read"),
    [
        (
            CRONJOBS,
            {"kind": "PartialObjectMetadata", "metadata": {**METADATA, "managedFields": [{"manager": "x"}]}},
            {"metadata": METADATA},
        ),
        (
            JOBS,
            {
                "metadata": {**METADATA, "annotations": {"a": "b"}},
                "spec": {"template": {}},
                "status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True", "lastProbeTime": None}]},
            },
            {
                "metadata": METADATA,
                "spec": {},
                "status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]},
            },
        ),
        (
            PODS,
            {
                "metadata": METADATA,
                "spec": {
                    "nodeName": "n",
                    "containers": [{"name": "job", "image": "x", "resources": {"limits": {"memory": "1Gi"}}}],
                },
                "status": {
                    "containerStatuses": [{"name": "job", "ready": False, "state": {"terminated": {"exitCode": 75}}}]
                },
            },
            {
                "metadata": METADATA,
                "spec": {"nodeName": "n", "containers": [{"name": "job", "resources": {"limits": {"memory": "1Gi"}}}]},
                "status": {"containerStatuses": [{"name": "job", "state": {"terminated": {"exitCode": 75}}}]},
            },
        ),
        (SCHEDULES, {"spec": [1, {"a": None}], "status": "?"}, {"spec": [1, {"a": None}], "status": "?"}),
    ],
)
def test_of_an_object_is_read_what_is_named_and_a_userschedule_whole(resource: str, sent: Any, read: Any) -> None:
    assert resources.object_decoder(resource).decode(json.dumps(sent)) == read
    page = resources.page_decoder(resource).decode(json.dumps({"metadata": {"resourceVersion": "9"}, "items": [sent]}))
    assert (page.items, page.metadata.resource_version, page.metadata.next_page) == ([read], "9", "")


def test_an_empty_list_of_metadata_is_null() -> None:
    page = resources.page_decoder(CRONJOBS).decode('{"metadata":{"resourceVersion":"9","continue":"x"},"items":null}')
    assert (page.items, page.metadata.next_page) == (None, "x")


def test_an_event_is_read_by_what_its_type_says() -> None:
    bookmark = resources.EVENT.decode('{"type":"BOOKMARK","object":{"kind":"Job","metadata":{"resourceVersion":"8"}}}')
    assert resources.object_decoder(JOBS).decode(bookmark.object) == {"metadata": {"resourceVersion": "8"}}
    error = resources.EVENT.decode(
        '{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old","status":1}}'
    )
    assert resources.STATUS.decode(error.object) == resources.Status(410, "too old")


@pytest.mark.parametrize(
    ("decoder", "reply"),
    [
        (resources.object_decoder(JOBS), '{"status":{"conditions":"none"}}'),
        (resources.object_decoder(REVIEWS), '{"status":"ok"}'),
        (resources.GROUPS, '{"groups":7}'),
        (resources.GROUPS, '{"groups":[{"name":"batch"}]}'),
        (resources.API_RESOURCES, '{"resources":["userschedules"]}'),
        (resources.API_RESOURCES, "[]"),
    ],
)
def test_another_form_is_an_error(decoder: Any, reply: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        decoder.decode(reply)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ((SCHEDULES, None), "/apis/catchup.dev/v1alpha1/userschedules"),
        ((JOBS, "prod"), "/apis/batch/v1/namespaces/prod/jobs"),
        ((EVENTS, "prod", "a b"), "/api/v1/namespaces/prod/events/a%20b"),
        ((REVIEWS, None), "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    ],
)
def test_each_kind_has_its_path(arguments: Any, path: str) -> None:
    assert resources.path(*arguments) == path


# The verbs: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
@pytest.mark.parametrize(
    ("method", "path", "watch", "verb", "resource"),
    [
        ("GET", "/apis/batch/v1/namespaces/people/cronjobs", False, "list", "cronjobs"),
        ("GET", "/apis/batch/v1/cronjobs", True, "watch", "cronjobs"),
        ("GET", "/apis/catchup.dev/v1alpha1/namespaces/people/userschedules/ada", False, "get", "userschedules"),
        (
            "PATCH",
            "/apis/catchup.dev/v1alpha1/namespaces/p/userschedules/a/status",
            False,
            "patch",
            "userschedules/status",
        ),
        ("POST", "/api/v1/namespaces/people/events", False, "create", "events"),
        ("DELETE", "/apis/batch/v1/namespaces/people/cronjobs", False, "deletecollection", "cronjobs"),
        ("DELETE", "/apis/apps/v1/namespaces/people/deployments/operator", False, "delete", "deployments"),
        ("GET", "/api/v1/namespaces/people", False, "get", "namespaces"),
        ("GET", "/api/v1/namespaces", False, "list", "namespaces"),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", False, "create", "selfsubjectaccessreviews"),
        ("GET", "/apis", False, "get", ""),
        ("GET", "/apis/batch/v1", False, "get", ""),
        ("OPTIONS", "/api/v1/pods", False, "options", "pods"),
    ],
)
def test_a_request_is_named_by_its_verb_and_resource_as_rbac_does(
    method: str, path: str, watch: bool, verb: str, resource: str
) -> None:
    assert resources.verb_and_resource(method, path, watch=watch) == (verb, resource)
