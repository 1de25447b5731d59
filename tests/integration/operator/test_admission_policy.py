"""The ValidatingAdmissionPolicy of the chart on a real API server, against the operator's own account."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import (
    EVERYTHING,
    EXISTING,
    cluster_name,
    job_template,
    pools_cronjobs,
    render,
    users_cronjob,
)
from integration.operator.conftest import Namespace
from waiting import eventually

from catchup_contract.env import Env
from catchup_contract.kinds import DIGEST, SYNC
from catchup_dev.cluster import Cluster
from catchup_dev.console import Failure

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

# Whatever the values can ask for, with what a policy by rule of thumb would refuse.
VALUES: dict[str, Any] = {
    **EVERYTHING,
    "admissionPolicy": {"enabled": True},
    "jobs": {
        **EVERYTHING["jobs"],
        "runtimeClassName": "gvisor",
        "extraEnv": [
            {"name": "TEAM", "value": 'people "and" friends\n<&>'},
            {"name": "EMPTY", "value": ""},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
            {"name": "CONFIG", "valueFrom": {"configMapKeyRef": {"name": "ours", "key": "config"}}},
            {"name": "LICENCE", "valueFrom": {"secretKeyRef": {"name": "licence", "key": "key"}}},
        ],
        "extraVolumes": [
            {"name": "socket", "hostPath": {"path": "/run/agent"}},
            {"name": "certificate", "projected": {"sources": [{"secret": {"name": "client"}}]}},
            {
                "name": "identity",
                "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "cloud"}}]},
            },
            {"name": "vault", "csi": {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"class": "ours"}}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "ours"}},
            {"name": "about", "downwardAPI": {"items": []}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "128Mi"}},
        ],
        "extraVolumeMounts": [{"name": "certificate", "mountPath": "/certificate", "subPath": "client"}],
        "extraInitContainers": [
            {
                "name": "proxy",
                "image": "cloud-proxy:1",
                "restartPolicy": "Always",
                "args": ["--port=5432"],
                "envFrom": [{"secretRef": {"name": "proxy"}}],
                "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "proxy-token", "key": "token"}}}],
                "lifecycle": {"preStop": {"exec": {"command": ["sleep", "1"]}}},
                "volumeMounts": [{"name": "socket", "mountPath": "/run/agent"}],
            },
            {
                "name": "rules",
                "image": "iptables:1",
                "command": ["iptables", "-A"],
                "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}, "runAsUser": 0},
            },
        ],
    },
}
PLAIN: dict[str, Any] = {**EXISTING, "fullnameOverride": "plain-jobs", "admissionPolicy": {"enabled": True}}
KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """One for all tests: the API server takes some seconds to enforce a new policy."""
    found = Namespace.make(cluster)
    yield found
    found.delete()


@contextmanager
def installed(helm: Path, namespace: Namespace, values: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Have the policy and the operator's account of a release; yield what the chart made."""
    documents = render(helm, namespace, values)
    wanted = [d for d in documents if d["kind"] in {*KINDS, "ServiceAccount", "Role", "RoleBinding"}]
    stream = yaml.safe_dump_all(d for d in wanted if "helm.sh/hook" not in d["metadata"].get("annotations", {}))
    namespace.kubectl("apply", "-f", "-", stdin=stream)
    wrong = good(documents, namespace)
    _container(wrong["spec"]["jobTemplate"]["spec"]["template"]["spec"])["image"] = "evil"
    try:
        eventually(lambda: "of the jobs' image" in created(namespace, values["fullnameOverride"], wrong))
        yield documents
    finally:
        for kind in KINDS:
            namespace.cluster.kubectl(
                "delete", kind, f"{cluster_name(namespace.name, values['fullnameOverride'])}-operator"
            )


def created(namespace: Namespace, release: str, cronjob: dict[str, Any]) -> str:
    """Create a CronJob as the account of a release's operator, without keeping it; return what the API server says."""
    account = f"--as=system:serviceaccount:{namespace.name}:{release}-operator"
    try:
        return namespace.kubectl("create", "--dry-run=server", account, "-f", "-", stdin=yaml.safe_dump(cronjob))
    except Failure as failure:
        return failure.log


@pytest.fixture(scope="module")
def policy(helm: Path, namespace: Namespace) -> Iterator[list[dict[str, Any]]]:
    with installed(helm, namespace, VALUES) as documents:
        yield documents


def good(documents: list[dict[str, Any]], namespace: Namespace, kind: Any = SYNC) -> dict[str, Any]:
    cronjob = copy.deepcopy(users_cronjob(documents, kind))
    cronjob["metadata"]["namespace"] = namespace.name
    return cronjob


def made_by_the_operator(documents: list[dict[str, Any]], namespace: Namespace) -> list[dict[str, Any]]:
    found = [*(good(documents, namespace, kind) for kind in (SYNC, DIGEST)), *pools_cronjobs(documents)]
    for cronjob in found:
        cronjob["metadata"]["namespace"] = namespace.name
    return found


def test_what_the_operator_makes_is_admitted(helm: Path, policy: list[dict[str, Any]], namespace: Namespace) -> None:
    for cronjob in made_by_the_operator(policy, namespace):
        assert "created" in created(namespace, "people-jobs", cronjob)
    with installed(helm, namespace, PLAIN) as plain:
        for cronjob in made_by_the_operator(plain, namespace):
            assert "created" in created(namespace, "plain-jobs", cronjob)


def test_the_api_server_finds_no_mistake_of_types_in_the_policy(
    policy: list[dict[str, Any]], namespace: Namespace
) -> None:
    def checked() -> dict[str, Any] | None:
        found = namespace.cluster.kubectl(
            "get", KINDS[0], f"{cluster_name(namespace.name, 'people-jobs')}-operator", "-o", "json"
        )
        status = json.loads(found).get("status", {})
        return status if status.get("observedGeneration") else None

    assert eventually(checked).get("typeChecking", {}).get("expressionWarnings", []) == []


def test_the_variables_that_the_policy_leaves_to_the_operator_are_those_that_it_sets(
    policy: list[dict[str, Any]], namespace: Namespace
) -> None:
    (text,) = (yaml.safe_dump(d) for d in policy if d["kind"] == KINDS[0])
    named = set(re.findall(r'"(CATCHUP_[A-Z_]+)"', re.search(r"e\.name\s+in\s+(\[[^]]+\])", text)[1]))  # type: ignore[index]
    template = {entry["name"] for entry in job_template(policy)["env"]}
    made = [
        cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for cronjob in made_by_the_operator(policy, namespace)
    ]
    found = {entry["name"] for spec in made for entry in _container(spec)["env"]} - template
    # Only where a schedule or a pool was suspended once.
    assert named == found | {Env.DIGEST_SINCE.value, Env.POOL_OFF.value}


def _container(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["containers"][0]
    return found


def _no_owner(_: dict[str, Any]) -> None:
    """Done by the test: the owner is no part of the pod."""


def _env(**entry: Any) -> Callable[[dict[str, Any]], Any]:
    """Set a variable of the job's container, in place of one of its name."""

    def change(spec: dict[str, Any]) -> None:
        container = _container(spec)
        container["env"] = [each for each in container["env"] if each["name"] != entry["name"]] + [entry]

    return change


def _volume(**source: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda spec: spec["volumes"].append({"name": "x", **source})


def _instead(name: str, **source: Any) -> Callable[[dict[str, Any]], Any]:
    """Give a volume of the values another source."""

    def change(spec: dict[str, Any]) -> None:
        spec["volumes"] = [v for v in spec["volumes"] if v["name"] != name] + [{"name": name, **source}]

    return change


def _job(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda spec: _container(spec).update(fields)


def _secure(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda spec: _container(spec)["securityContext"].update(fields)


def _mount(path: str, name: str = "tmp") -> Callable[[dict[str, Any]], Any]:
    return lambda spec: _container(spec)["volumeMounts"].append({"name": name, "mountPath": path})


RUNS, MAY, VOLUMES = "runs sync or digest", "may do no more", "has no volumes but those"
SIDECARS, NODE = "has no init containers but those", "nothing of its node"
SHELL = {"exec": {"command": ["sh", "-c", "env"]}}
WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another image": (_job(image="evil"), "of the jobs' image"),
    "a second container": (
        lambda spec: spec["containers"].append({"name": "x", "image": _container(spec)["image"]}),
        "has one container",
    ),
    "another command": (_job(command=["python", "-c", "print()"]), RUNS),
    "another subcommand": (_job(args=["user", "show", "--json"]), RUNS),
    "no subcommand": (_job(args=[]), RUNS),
    "a hook": (_job(lifecycle={"postStart": SHELL}), RUNS),
    "a probe": (_job(livenessProbe=SHELL), RUNS),
    "a library": (_env(name="LD_PRELOAD", value="/tmp/x.so"), RUNS),
    "a path of modules": (_env(name="PYTHONPATH", value="/tmp"), RUNS),
    "a library by a field": (
        _env(name="LD_PRELOAD", valueFrom={"fieldRef": {"fieldPath": "metadata.annotations['x']"}}),
        RUNS,
    ),
    "another server for tokens": (_env(name="CATCHUP_GOOGLE_TOKEN_URI", value="http://evil.test"), RUNS),
    "another value of a variable": (_env(name="CATCHUP_GOOGLE_API_ENDPOINT", value="http://evil.test"), RUNS),
    "a Secret as a variable": (
        _env(name="X", valueFrom={"secretKeyRef": {"name": "theirs", "key": "x"}}),
        RUNS,
    ),
    "our Secret as another variable": (
        _env(name="CATCHUP_SMTP_HOST", valueFrom={"secretKeyRef": {"name": "our-database", "key": "uri"}}),
        RUNS,
    ),
    "an own variable from a Secret": (
        _env(name="CATCHUP_JOB_NAME", valueFrom={"secretKeyRef": {"name": "theirs", "key": "x"}}),
        RUNS,
    ),
    "all of a Secret as variables": (_job(envFrom=[{"secretRef": {"name": "theirs"}}]), RUNS),
    "a mount over the code": (_mount("/opt/venv/lib"), RUNS),
    "a ConfigMap at a mount of the operator's": (_mount("/etc/catchup/schedule-list", "certificate"), RUNS),
    "another init container": (
        lambda spec: spec["initContainers"].append({"name": "x", "image": "evil"}),
        SIDECARS,
    ),
    "another command of an init container": (lambda spec: spec["initContainers"][1].update(command=["sh"]), SIDECARS),
    "arguments of a sidecar": (lambda spec: spec["initContainers"][0].update(args=["--exec=sh"]), SIDECARS),
    "a Secret in a sidecar": (
        lambda spec: spec["initContainers"][0].update(envFrom=[{"secretRef": {"name": "theirs"}}]),
        SIDECARS,
    ),
    "a capability of an init container": (
        lambda spec: spec["initContainers"][1]["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
        SIDECARS,
    ),
    "another service account": (lambda spec: spec.update(serviceAccountName="admin"), "runs as the service account"),
    "a token": (lambda spec: spec.update(automountServiceAccountToken=True), "without its token"),
    "a pull secret": (
        lambda spec: spec.update(imagePullSecrets=[{"name": "theirs"}]),
        "runs as the service account",
    ),
    "the node's network": (lambda spec: spec.update(hostNetwork=True), NODE),
    "the node's processes": (lambda spec: spec.update(hostPID=True), NODE),
    "processes of one another": (lambda spec: spec.update(shareProcessNamespace=True), NODE),
    "another runtime": (lambda spec: spec.update(runtimeClassName="runc"), NODE),
    "a kernel setting": (
        lambda spec: spec["securityContext"].update(sysctls=[{"name": "kernel.shm_rmid_forced", "value": "1"}]),
        NODE,
    ),
    "a user of the pod": (lambda spec: spec["securityContext"].update(runAsUser=70000), NODE),
    "no filter of system calls": (
        lambda spec: spec["securityContext"].update(seccompProfile={"type": "Unconfined"}),
        NODE,
    ),
    "a privileged container": (_secure(privileged=True, allowPrivilegeEscalation=True), MAY),
    "a capability": (_secure(capabilities={"add": ["SYS_ADMIN"]}), MAY),
    "a user": (_secure(runAsUser=0), MAY),
    "a root that can be written": (_secure(readOnlyRootFilesystem=False), MAY),
    "a volume of the node": (_volume(hostPath={"path": "/"}), VOLUMES),
    "another folder of the node": (_instead("socket", hostPath={"path": "/"}), VOLUMES),
    "a Secret as a volume": (_volume(secret={"secretName": "theirs"}), VOLUMES),
    "a Secret in a projected volume": (
        _instead("certificate", projected={"sources": [{"secret": {"name": "theirs"}}]}),
        VOLUMES,
    ),
    "a token as a volume": (_volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}), VOLUMES),
    "a token for somebody else": (
        _instead("identity", projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
        VOLUMES,
    ),
    "a claim": (_volume(persistentVolumeClaim={"claimName": "theirs"}), VOLUMES),
    "another claim": (_instead("data", persistentVolumeClaim={"claimName": "theirs"}), VOLUMES),
    "a driver": (_volume(csi={"driver": "evil"}), VOLUMES),
    "other attributes for a driver": (
        _instead("vault", csi={"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"class": "theirs"}}),
        VOLUMES,
    ),
    "a network's volume": (_volume(nfs={"server": "evil", "path": "/"}), VOLUMES),
    "an image as a volume": (_volume(image={"reference": "evil"}), VOLUMES),
    "a ConfigMap": (_volume(configMap={"name": "theirs"}), VOLUMES),
    "no owner": (_no_owner, "belongs to a UserSchedule"),
}


@pytest.mark.parametrize("what", WRONG)
def test_anything_else_is_refused_with_the_reason(
    policy: list[dict[str, Any]], namespace: Namespace, what: str
) -> None:
    change, says = WRONG[what]
    cronjob = good(policy, namespace)
    change(cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    if what == "no owner":
        del cronjob["metadata"]["ownerReferences"]
    assert says in created(namespace, "people-jobs", cronjob)


def test_others_are_not_affected(policy: list[dict[str, Any]], namespace: Namespace) -> None:
    cronjob = good(policy, namespace)
    _container(cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"])["image"] = "ours"
    assert "created" in namespace.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(cronjob))


@pytest.mark.parametrize(
    ("jobs", "says"),
    [
        (
            {"extraVolumes": [{"name": "share", "nfs": {"server": "a", "path": "/"}}]},
            "the volume share of the jobs (nfs)",
        ),
        (
            {"extraEnv": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "a", "path": "b", "key": "c"}}}]},
            "the variable A (fileKeyRef)",
        ),
    ],
)
def test_values_that_the_policy_cannot_describe_are_refused_in_place_of_their_cronjobs(
    helm: Path, namespace: Namespace, jobs: dict[str, Any], says: str
) -> None:
    render(helm, namespace, {"jobs": jobs})
    with pytest.raises(AssertionError) as refused:
        render(helm, namespace, {"jobs": jobs, "admissionPolicy": {"enabled": True}})
    assert says in str(refused.value)
