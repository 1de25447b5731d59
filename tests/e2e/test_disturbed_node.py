"""What befalls a real node in the middle of syncs: a silent kubelet, eviction, a drain, pods that it cannot start."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from e2e.test_lost_time import started_last
from e2e.test_product import person, pods_of, schedule
from waiting import eventually

from catchup_contract.cadence import Cadence
from catchup_contract.kinds import SYNC
from catchup_dev.cluster.pki import NODE_NAME
from catchup_dev.stack import RELEASE, Stack
from catchup_operator.status.conditions import find_condition

# One installation, which they share with others: each leaves the node as it was.
pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.release]

EVERY = 5
PASSED = [f"2026-01-04T09:{minute}:00Z" for minute in ("00", "05", "10")]
SELDOM = {"calendarSync": {"every": "24h"}}
TAINT = "catchup.test/reserved"


def health(stack: Stack, user: str) -> dict[str, Any]:
    return dict(find_condition(stack.get("userschedule", user)["status"], "SyncHealthy"))


def explained(stack: Stack, user: str, reason: str) -> str:
    """Wait for the reason of a condition that is False; return its message."""
    told = eventually(lambda: (c := health(stack, user)).get("reason") == reason and c)
    assert told["status"] == "False"
    return str(told["message"])


def await_node(stack: Stack) -> None:
    """Wait until the node is Ready, and so is the installation on it."""
    eventually(lambda: all(row.healthy for row in stack.cluster.status()))
    for part in ("statefulset/{}-postgresql", "deployment/{}-redis", "deployment/{}-operator", "deployment/{}-toolbox"):
        stack.kubectl("rollout", "status", part.format(RELEASE), "--timeout=180s")


@contextmanager
def without_kubelet(stack: Stack) -> Iterator[None]:
    """Stop the node's kubelet, which then sends no heartbeats, until the block ends; containers go on."""
    wrapper = stack.cluster.layout.daemon("kubelet").pid
    assert wrapper is not None
    # nsenter, which enters the node's namespaces, waits for the kubelet and stops with it.
    (kubelet,) = map(int, Path(f"/proc/{wrapper}/task/{wrapper}/children").read_text().split())
    os.kill(kubelet, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (kubelet, wrapper):
            os.kill(pid, signal.SIGCONT)
        await_node(stack)


def user_due_in_two_minutes() -> str:
    """Return a user whose syncs are due two to three minutes from now, and thus were due two minutes ago at least."""
    offset = (datetime.now(UTC).minute + 3) % EVERY
    names = (f"nora-{number}" for number in range(1000))
    return next(name for name in names if Cadence.of_user(SYNC.name, EVERY, name).offset == offset)


def test_a_silent_node_is_named_with_the_pod_and_later_slots_start_until_it_is_back(stack: Stack) -> None:
    user = user_due_in_two_minutes()
    spec: dict[str, Any] = {"calendarSync": {"every": f"{EVERY}m"}}
    person(stack, user)
    schedule(stack, user, **spec)
    cronjob = stack.cronjob_of(user)

    def jobs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = stack.get("jobs", "-l", f"catchup.dev/user-schedule={user},catchup.dev/job=sync")[
            "items"
        ]
        return sorted(found, key=lambda job: str(job["metadata"]["name"]))

    with without_kubelet(stack):
        # The CronJob controller starts the latest slot, so that the Job is one which `concurrencyPolicy` counts.
        started_last(stack, cronjob)
        (stuck,) = [job["metadata"]["name"] for job in eventually(jobs)]
        (pod,) = eventually(lambda: [each for each in pods_of(stack, stuck) if each["spec"].get("nodeName")])
        name = pod["metadata"]["name"]
        told = explained(stack, user, "NodeSilent")
        assert f"a pod of Job {stuck} has not started: node {NODE_NAME} has not taken up its pod {name} since " in told
        # As if three slots had passed. The operator takes up what others write into a status with the next edit.
        passed = json.dumps({"status": {"sync": {"nextRunTimes": PASSED}}})
        stack.kubectl("patch", "userschedule", user, "--subresource=status", "--type=merge", "-p", passed)
        schedule(stack, user, **spec, timeZone="Asia/Tokyo")
        told = explained(stack, user, "RunStuck")
        assert told.startswith("no sync has ended since ")
        assert f"Job {stuck}, created " in told
        assert f"waits for its pod {name} to start on node {NODE_NAME}" in told
        assert "RunStuck" in stack.kubectl("get", "events", "--field-selector", f"involvedObject.name={user}")
        # The next slot is not blocked.
        eventually(lambda: len(jobs()) == 2)
    # Of those that are complete the CronJob keeps one.
    eventually(lambda: {bool(find_condition(job["status"], "Complete")) for job in jobs()} == {True})
    eventually(lambda: health(stack, user)["status"] == "True")
    assert stack.get("us", user)["status"]["sync"]["lastResult"] in {"Succeeded", "Skipped"}
    stack.kubectl("delete", "userschedule", user)


@contextmanager
def tainted(stack: Stack, job: str) -> Iterator[None]:
    """Evict the pods of a Job by a taint that all others are made to tolerate; take it back after the block."""
    spared = {"key": TAINT, "operator": "Exists", "effect": "NoExecute"}
    patch = [{"op": "add", "path": "/spec/tolerations/-", "value": spared}]
    for pod in stack.get("pods", "-l", f"batch.kubernetes.io/job-name!={job}")["items"]:
        path = f"/api/v1/namespaces/{stack.namespace}/pods/{pod['metadata']['name']}"
        stack.cluster.request("PATCH", path, patch, content_type="application/json-patch+json")
    stack.cluster.kubectl("taint", "node", NODE_NAME, f"{TAINT}=:NoExecute")
    try:
        yield
    finally:
        stack.cluster.kubectl("taint", "node", NODE_NAME, f"{TAINT}-")


@contextmanager
def drained(stack: Stack, job: str) -> Iterator[None]:
    """Drain the node of everything, the operator and the database among it; take that back after the block."""
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s")
    try:
        stack.cluster.kubectl("drain", NODE_NAME, *options)
        yield
    finally:
        stack.cluster.kubectl("uncordon", NODE_NAME)
        await_node(stack)


@pytest.mark.parametrize(("disturbed", "operator_stays"), [(tainted, True), (drained, False)])
def test_a_sync_that_is_evicted_in_the_middle_is_made_once_by_another_pod_and_the_status_says_what_that_waits_for(
    stack: Stack, disturbed: Callable[[Stack, str], AbstractContextManager[None]], *, operator_stays: bool
) -> None:
    user = f"evicted-{disturbed.__name__}"
    person(stack, user)
    schedule(stack, user, **SELDOM)
    calendar = f"{user}@example.com"
    stack.google.add_fault(kind="events", calendar=calendar, delay=20, times=1)
    job = stack.trigger(user)
    eventually(lambda: [fault for fault in stack.google.faults() if fault["calendar"] == calendar and fault["fired"]])
    (first,) = pods_of(stack, job)
    with disturbed(stack, job):
        (second,) = eventually(lambda: [pod for pod in pods_of(stack, job) if pod["metadata"]["uid"] != uid_of(first)])
        assert not second["spec"].get("nodeName")
        if operator_stays:
            told = explained(stack, user, "Unschedulable")
            assert f"a pod of Job {job} has not started: 0/1 nodes are available" in told
            assert "untolerated taint" in told
    status = stack.follow(user, job)
    # The first pod neither did it nor counted as a failure.
    assert (status["lastResult"], status["counts"]["eventsAdded"], status["counts"]["fullSyncs"]) == ("Succeeded", 1, 1)
    assert stack.get("job", job)["status"].get("failed", 0) == 0
    assert [uid_of(pod) for pod in pods_of(stack, job)] == [uid_of(second)]
    (run,) = json.loads(stack.catchup_jobs("runs", "list", "--user", user, "--kind", "sync", "--output", "json"))
    assert (run["state"], run["attempts"]) == ("done", 0)
    eventually(lambda: health(stack, user)["status"] == "True")


def uid_of(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["uid"])


class NothingThere(http.server.BaseHTTPRequestHandler):
    """A registry that has no image, and wants a login for those of `secret`."""

    def do_HEAD(self) -> None:
        self.send_response(401 if self.path.startswith("/v2/secret/") else 404)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def registry(stack: Stack) -> Iterator[str]:
    """The address of that registry, which the node reaches without TLS."""
    server = http.server.ThreadingHTTPServer((stack.cluster.host_address, 0), NothingThere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"{stack.cluster.host_address}:{server.server_port}"
    hosts = stack.cluster.layout.registries / address / "hosts.toml"
    hosts.parent.mkdir(parents=True)
    plain = f'"http://{address}"'
    hosts.write_text(f'server = {plain}\n[host.{plain}]\ncapabilities = ["pull", "resolve"]\n')
    yield address
    server.shutdown()
    server.server_close()


@pytest.fixture
def sandboxed(stack: Stack) -> Iterator[str]:
    """The name of a RuntimeClass that the API server knows, and of whose handler the node does not."""
    name = "sandboxed"
    made = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": "runsc"}
    stack.cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
    yield name
    stack.cluster.kubectl("delete", "runtimeclass", name)


def test_a_pod_that_the_node_cannot_start_is_explained_in_the_words_of_who_refuses_it_until_its_job_is_gone(
    stack: Stack, registry: str, sandboxed: str
) -> None:
    pulled = {"imagePullPolicy": "IfNotPresent"}
    cases: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
        "no-class": ({"runtimeClassName": "gone"}, {}, "FailedCreate", 'RuntimeClass "gone" not found'),
        "no-handler": (
            {"runtimeClassName": sandboxed},
            {},
            "FailedCreatePodSandBox",
            f'no runtime for "runsc" is configured; node {NODE_NAME} does not have what RuntimeClass {sandboxed} names',
        ),
        "no-image": ({}, {"image": f"{registry}/jobs:1", **pulled}, "ImagePullBackOff", "not found"),
        "no-login": ({}, {"image": f"{registry}/secret/jobs:1", **pulled}, "ImagePullBackOff", "authoriz"),
        "no-registry": ({}, {"image": "127.0.0.1:9/jobs:1", **pulled}, "ImagePullBackOff", "connection refused"),
        "not-pulled": ({}, {"image": "jobs:none", "imagePullPolicy": "Never"}, "ErrImageNeverPull", "jobs:none"),
        "no-name": ({}, {"image": "Jobs:none"}, "InvalidImageName", "Jobs:none"),
    }
    with ExitStack() as undo:
        for user, (in_pod, in_container, _, _) in cases.items():
            schedule(stack, user, **SELDOM)
            undo.callback(stack.kubectl, "delete", "userschedule", user)
            cronjob = f"--from=cronjob/{stack.cronjob_of(user)}"
            job = json.loads(stack.kubectl("create", "job", user, cronjob, "--dry-run=client", "--output=json"))
            pod = job["spec"]["template"]["spec"]
            pod.update(in_pod)
            pod["containers"][0].update(in_container)
            stack.kubectl("create", "-f", "-", stdin=json.dumps(job))
        for user, (_, _, reason, words) in cases.items():
            told = explained(stack, user, reason)
            assert told.startswith(f"a pod of Job {user} has not started: ")
            assert words in told
            assert "rpc error" not in told
        stack.kubectl("delete", "jobs", *cases)
        for user in cases:
            eventually(lambda user=user: health(stack, user)["reason"] == "NoRunYet")  # type: ignore[misc]
