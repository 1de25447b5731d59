"""What the chart's values do to its pods: every pod alike, hooks and the operator's CronJobs among them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import (
    EVERYTHING,
    SCHEDULING,
    TRYING_OUT,
    pod_templates,
    pools_cronjobs,
    render,
    users_cronjob,
)
from integration.operator.conftest import CHART, Namespace

from catchup_contract.api import LABEL_JOB
from catchup_contract.kinds import DIGEST, SYNC

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

# A value of each field that is said of pods, and where it is found in a pod's template.
EVERYWHERE: dict[str, Any] = {
    **SCHEDULING,
    "podSecurityContext": {"fsGroupChangePolicy": "OnRootMismatch"},
    "securityContext": {"privileged": False},
    "priorityClassName": "gold",
    "runtimeClassName": "gvisor",
    "schedulerName": "second",
    "hostUsers": False,
    "dnsPolicy": "Default",
    "dnsConfig": {"searches": ["example.com"]},
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["db"]}],
    "extraVolumes": [{"name": "more", "emptyDir": {"sizeLimit": "1Mi"}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "extraInitContainers": [{"name": "sidecar", "image": "proxy", "restartPolicy": "Always"}],
    "deploymentAnnotations": {"reloader": "true"},
    "deploymentLabels": {"tier": "batch"},
}
COMPONENTS = {
    "operator": {
        "Deployment/people-jobs-operator",
        "Job/people-jobs-prepare-uninstall",
        "Job/people-jobs-leave",
    },
    "jobs": {
        "CronJob/people-jobs-suggestions",
        "CronJob/sync",
        "CronJob/digest",
        "CronJob/sync of a pool",
        "CronJob/digest of a pool",
        "Deployment/people-jobs-metrics",
        "Deployment/people-jobs-toolbox",
        "Job/people-jobs-migrate",
        "Pod/people-jobs-test-database",
    },
    "postgresql": {"StatefulSet/people-jobs-postgresql"},
    "redis": {"Deployment/people-jobs-redis"},
}


def pods_of(helm: Path, namespace: Namespace, values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The templates of all pods, those of a user's and a pool's CronJobs among them, by kind and name."""
    switched_on = {"toolbox": {"enabled": True}, "metrics": {"enabled": True}}
    serve_another_namespace(namespace)
    given = {"fullnameOverride": "people-jobs", **switched_on, **TRYING_OUT, **values}
    documents = render(helm, namespace, given, "--is-upgrade")
    found = dict(pod_templates(documents))
    for document in documents:
        if document["kind"] == "Pod":
            found[f"Pod/{document['metadata']['name']}"]["metadata"] = document["metadata"]
    for kind in (SYNC, DIGEST):
        found[f"CronJob/{kind}"] = users_cronjob(documents, kind)["spec"]["jobTemplate"]["spec"]["template"]
    for cronjob in pools_cronjobs(documents):
        kind_of_pool = cronjob["metadata"]["labels"][LABEL_JOB]
        found[f"CronJob/{kind_of_pool} of a pool"] = cronjob["spec"]["jobTemplate"]["spec"]["template"]
    return {_without_hash(name): template for name, template in found.items()}


def serve_another_namespace(namespace: Namespace) -> None:
    """Have an operator of the release that serves a namespace which an upgrade leaves: that has a hook of its own."""
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "people-jobs-operator"},
        "data": {"namespaces": "left"},
    }
    namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(config))


def _without_hash(name: str) -> str:
    return name.rpartition("-")[0] if "-migrate-" in name else name


def has(template: dict[str, Any], field: str) -> bool:
    """Whether a pod has the value of EVERYWHERE."""
    value, metadata, spec = EVERYWHERE[field], template["metadata"], template["spec"]
    (container,) = spec["containers"]
    places: dict[str, tuple[Any, bool]] = {
        "podLabels": (metadata["labels"], True),
        "podAnnotations": (metadata.get("annotations", {}), True),
        "nodeSelector": (spec.get("nodeSelector", {}), True),
        "podSecurityContext": (spec["securityContext"], True),
        "securityContext": (container["securityContext"], True),
        "extraEnv": (container.get("env", []), False),
        "extraVolumes": (spec["volumes"], False),
        "extraVolumeMounts": (container["volumeMounts"], False),
        "extraInitContainers": (spec.get("initContainers", []), False),
    }
    if field not in places:
        return bool(spec.get(field) == value)
    place, is_map = places[field]
    return value.items() <= place.items() if is_map else all(entry in place for entry in value)


FIELDS = sorted(EVERYWHERE.keys() - {"deploymentAnnotations", "deploymentLabels"})


@pytest.mark.parametrize("component", ["global", *COMPONENTS])
def test_what_is_said_of_pods_reaches_all_pods_of_the_component_hooks_too_and_no_others(
    helm: Path, namespace: Namespace, component: str
) -> None:
    pods = pods_of(helm, namespace, {component: EVERYWHERE, **({} if component == "jobs" else NO_CLASSES)})
    assert pods.keys() == set().union(*COMPONENTS.values())
    wanted = pods.keys() if component == "global" else COMPONENTS[component]
    for name, template in pods.items():
        found = {field for field in FIELDS if has(template, field)}
        expected = set(FIELDS) if name in wanted else set()
        if component == "jobs" and name.startswith(("CronJob/sync", "CronJob/digest")):
            expected.discard("priorityClassName")  # a user's priority has a class of its own
        assert found == expected, name


NO_CLASSES = {"jobs": {"priorityClasses": {"create": False}}}


def test_what_a_component_says_replaces_what_is_said_of_all_and_adds_to_it(helm: Path, namespace: Namespace) -> None:
    own = {
        "tolerations": [{"key": "own"}],
        "podLabels": {"team": "other", "own": "1"},
        "extraEnv": [{"name": "EXTRA", "value": "own"}],
        "securityContext": {"readOnlyRootFilesystem": False},
    }
    pods = pods_of(helm, namespace, {"global": EVERYWHERE, "operator": own})
    template = pods["Deployment/people-jobs-operator"]
    (container,) = template["spec"]["containers"]
    assert template["spec"]["tolerations"] == [{"key": "own"}]
    assert template["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux", **EVERYWHERE["nodeSelector"]}
    assert template["metadata"]["labels"].items() >= {"team": "other", "own": "1"}.items()
    assert [entry for entry in container["env"] if entry["name"] == "EXTRA"] == [{"name": "EXTRA", "value": "own"}]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": False,
    }


def test_labels_and_annotations_of_deployments_reach_them_and_not_their_pods(helm: Path, namespace: Namespace) -> None:
    of_all = {"deploymentAnnotations": {"reloader": "true"}, "deploymentLabels": {"tier": "x", "a": "b"}}
    own = {key: {"deploymentLabels": {"tier": "batch"}} for key in ("operator", "postgresql", "redis")}
    documents = render(helm, namespace, {**TRYING_OUT, "global": of_all, **own})
    workloads = [d for d in documents if d["kind"] in {"Deployment", "StatefulSet"}]
    assert len(workloads) == 3
    for workload in workloads:
        assert workload["metadata"]["annotations"]["reloader"] == "true"
        assert "reloader" not in workload["spec"]["template"]["metadata"].get("annotations", {})
        assert workload["metadata"]["labels"].items() >= {"tier": "batch", "a": "b"}.items()
        assert "tier" not in workload["spec"]["template"]["metadata"]["labels"]


def test_annotations_of_the_migration_reach_its_job_and_not_its_pod(helm: Path, namespace: Namespace) -> None:
    wave = {"argocd.argoproj.io/sync-wave": "-1"}
    values = {**EVERYTHING, "migration": {"annotations": wave}, "commonAnnotations": {"owner": "people"}}
    (job,) = [d for d in render(helm, namespace, values, "--no-hooks") if d["kind"] == "Job"]
    assert job["metadata"]["annotations"] == {**wave, "owner": "people"}
    assert "argocd.argoproj.io/sync-wave" not in job["spec"]["template"]["metadata"]["annotations"]


def test_no_pod_comes_to_a_node_of_windows_unless_its_nodes_are_chosen(helm: Path, namespace: Namespace) -> None:
    for name, template in pods_of(helm, namespace, {"redis": {"nodeSelector": {"disk": "fast"}}}).items():
        chosen = {"disk": "fast"} if "redis" in name else {"kubernetes.io/os": "linux"}
        assert template["spec"]["nodeSelector"] == chosen, name


def test_labels_and_annotations_of_all_reach_every_object_and_what_the_operator_makes(
    helm: Path, namespace: Namespace
) -> None:
    values = {**EVERYTHING, "commonLabels": {"cost-center": "42"}, "commonAnnotations": {"owner": "people"}}
    documents = render(helm, namespace, values)
    cronjob = users_cronjob(documents, SYNC)
    made = [cronjob, cronjob["spec"]["jobTemplate"]]
    objects = [d for d in documents if d["metadata"]["name"] != "extra"]
    places = [each["metadata"] for each in (*objects, *made)] + [
        template["metadata"]
        for name, template in (*pod_templates(objects), *pod_templates([cronjob]))
        if "Pod" not in name
    ]
    assert len(places) > 20
    for place in places:
        assert place["labels"]["cost-center"] == "42"
        assert place["annotations"]["owner"] == "people"


def test_no_label_of_the_installation_replaces_one_by_which_objects_are_found(helm: Path, namespace: Namespace) -> None:
    taken = {"app.kubernetes.io/name": "x", "app.kubernetes.io/component": "x", "catchup.dev/job": "x"}
    values = {**TRYING_OUT, "commonLabels": taken, "global": {"podLabels": taken}}
    documents = render(helm, namespace, values)
    for document in documents:
        selector = document["spec"].get("selector", {}).get("matchLabels") if "spec" in document else None
        if selector and document["kind"] != "NetworkPolicy":
            assert selector.items() <= document["spec"]["template"]["metadata"]["labels"].items()
    labels = users_cronjob(documents, SYNC)["metadata"]["labels"]
    assert labels["catchup.dev/job"] == "sync"
    assert labels["app.kubernetes.io/name"] == "catchup-jobs"


# https://docs.redhat.com/en/documentation/openshift_container_platform/4.18/html/authentication_and_authorization/managing-pod-security-policies
def test_on_openshift_no_pod_names_a_user_a_group_or_what_restricted_v2_refuses(
    helm: Path, namespace: Namespace
) -> None:
    values = {**EVERYTHING, "toolbox": {"enabled": True}}
    documents = render(helm, namespace, values, "--api-versions=security.openshift.io/v1")
    for name, template in pod_templates(documents):
        spec = template["spec"]
        assert spec["securityContext"].keys() == {"runAsNonRoot", "seccompProfile"}, name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }, name
        assert {key for volume in spec["volumes"] for key in volume} <= {"name", "emptyDir", "configMap", "secret"}


def test_elsewhere_the_servers_for_trying_out_run_as_their_images_user(helm: Path, namespace: Namespace) -> None:
    pods = pods_of(helm, namespace, {"redis": {"podSecurityContext": {"runAsUser": 1234}}})
    users = {
        name: (pods[name]["spec"]["securityContext"]["runAsUser"], pods[name]["spec"]["securityContext"]["fsGroup"])
        for name in ("StatefulSet/people-jobs-postgresql", "Deployment/people-jobs-redis")
    }
    assert set(users.values()) == {(999, 999), (1234, 999)}


@pytest.mark.parametrize("source", ["configMap", "secret"])
def test_one_ca_bundle_reaches_every_pod_of_the_jobs_image(helm: Path, namespace: Namespace, source: str) -> None:
    pods = pods_of(helm, namespace, {"caBundle": {source: "ours", "key": "bundle.pem"}})
    for name in COMPONENTS["jobs"]:
        spec = pods[name]["spec"]
        (container,) = spec["containers"]
        assert {"name": "CATCHUP_CA_FILE", "value": "/etc/catchup/ca/bundle.pem"} in container["env"], name
        assert {"name": "ca", "mountPath": "/etc/catchup/ca", "readOnly": True} in container["volumeMounts"], name
        (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "ca"]
        assert volume[source] == {"configMap": {"name": "ours"}, "secret": {"secretName": "ours"}}[source], name


def test_the_way_through_a_proxy_reaches_every_pod_of_the_jobs_image(helm: Path, namespace: Namespace) -> None:
    proxy = {"http": "http://p:3128", "https": "http://p:3129", "noProxy": "10.0.0.0/8,.internal"}
    pods = pods_of(helm, namespace, {"proxy": proxy})
    wanted = {"HTTP_PROXY": proxy["http"], "HTTPS_PROXY": proxy["https"], "NO_PROXY": proxy["noProxy"]}
    for name in COMPONENTS["jobs"]:
        (container,) = pods[name]["spec"]["containers"]
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert env.items() >= wanted.items(), name


def test_the_jobs_run_as_the_service_account_that_is_chosen_and_without_its_token(
    helm: Path, namespace: Namespace
) -> None:
    pods = pods_of(helm, namespace, {"jobs": {"serviceAccountName": "cloud"}})
    for name in COMPONENTS["jobs"]:
        assert pods[name]["spec"]["serviceAccountName"] == "cloud", name
        assert pods[name]["spec"]["automountServiceAccountToken"] is False, name


def test_a_registry_stands_before_every_image_and_secrets_for_it_come_as_names_or_objects(
    helm: Path, namespace: Namespace
) -> None:
    values = {
        "global": {"imageRegistry": "registry.example.com:5000/mirror/", "imagePullSecrets": ["a", {"name": "b"}]},
        "imagePullSecrets": [{"name": "b"}, {"name": "c"}],
    }
    for name, template in pods_of(helm, namespace, values).items():
        (container,) = template["spec"]["containers"]
        assert container["image"].startswith("registry.example.com:5000/mirror/"), name
        assert template["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}, {"name": "c"}], name


def test_deadlines_and_histories_reach_the_cronjobs(helm: Path, namespace: Namespace) -> None:
    limits = {"activeDeadlineSeconds": 120, "successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 7}
    values = {"jobs": {"sync": limits}, "suggestions": {**limits, "activeDeadlineSeconds": 604800}}
    documents = render(helm, namespace, values)
    (suggestions,) = [d for d in documents if d["kind"] == "CronJob"]
    found = {}
    for name, cronjob in (("sync", users_cronjob(documents, SYNC)), ("suggestions", suggestions)):
        spec = cronjob["spec"]
        (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        found[name] = (
            spec["jobTemplate"]["spec"]["activeDeadlineSeconds"],
            env["CATCHUP_DEADLINE_SECONDS"],
            spec["successfulJobsHistoryLimit"],
            spec["failedJobsHistoryLimit"],
        )
    assert found == {"sync": (120, "120", 0, 7), "suggestions": (604800, "604800", 0, 7)}


def test_every_object_is_in_the_namespace_that_replaces_the_releases(helm: Path, namespace: Namespace) -> None:
    namespaced = {"namespaceOverride": "elsewhere", "jobs": {"networkPolicy": {"enabled": True}}}
    documents = render(helm, namespace, {**namespaced, "toolbox": {"enabled": True}})
    of_the_cluster = {"PriorityClass", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for document in documents:
        assert document["metadata"].get("namespace") == (None if document["kind"] in of_the_cluster else "elsewhere")
    assert namespace.name not in yaml.safe_dump_all(documents)


def test_templates_in_further_objects_are_rendered(helm: Path, namespace: Namespace) -> None:
    extra = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}},
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ include "catchup.fullname" . }}-b}',
    ]
    documents = render(helm, namespace, {"extraObjects": extra})
    assert {"catchup-jobs-a", "catchup-jobs-b"} <= {d["metadata"]["name"] for d in documents}


@pytest.mark.parametrize(
    "entry", ["hello", "a: [", {"kind": "ConfigMap"}, "apiVersion: v1\nkind: ConfigMap\n---\nhello", "- a", {"a": "b"}]
)
def test_what_is_no_object_is_refused_by_its_place(helm: Path, namespace: Namespace, entry: Any) -> None:
    good = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "good"}}
    several = f"---\n{yaml.safe_dump(good)}\n---\n{yaml.safe_dump(good)}---\n"
    render(helm, namespace, {"extraObjects": [good, several, "{{- if false }}a{{ end }}"]})
    with pytest.raises(AssertionError, match=r"extraObjects\[1\] is no object with apiVersion and kind: "):
        render(helm, namespace, {"extraObjects": [good, entry]})


@pytest.mark.parametrize(("value", "kinds"), [("migration", {"Job"}), ("uninstall", {"Job", "ServiceAccount"})])
def test_migration_and_the_hook_before_an_uninstall_can_be_left_out(
    helm: Path, namespace: Namespace, value: str, kinds: set[str]
) -> None:
    def of_it(values: dict[str, Any]) -> set[str]:
        return {
            d["kind"]
            for d in render(helm, namespace, values)
            if d["metadata"]["labels"].get("app.kubernetes.io/component") == value
        }

    assert of_it({}) >= kinds
    assert of_it({value: {"enabled": False}}) == set()


def test_network_policies_select_the_pods_of_their_component(helm: Path, namespace: Namespace) -> None:
    enabled = {"networkPolicy": {"enabled": True}}
    values = {
        **TRYING_OUT,
        **dict.fromkeys(COMPONENTS, enabled),
        "metrics": {"enabled": True, **enabled},
        "toolbox": {"enabled": True},
    }
    documents = render(helm, namespace, values)
    policies = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "NetworkPolicy"}
    pods = [*pod_templates([d for d in documents if d["kind"] != "Pod"])]
    pods += [
        (f"{kind}", users_cronjob(documents, kind)["spec"]["jobTemplate"]["spec"]["template"])
        for kind in (SYNC, DIGEST)
    ]

    def selected(policy: str) -> int:
        return sum(_matches(policies[policy]["podSelector"], pod["metadata"]["labels"]) for _, pod in pods)

    counts = {name.removeprefix("catchup-jobs-"): selected(name) for name in policies}
    assert counts == {"operator": 2, "jobs": 3, "tools": 3, "metrics": 1, "postgresql": 1, "redis": 1}
    for policy in ("catchup-jobs-postgresql", "catchup-jobs-redis"):
        sources = policies[policy]["ingress"][0]["from"]
        admitted = [
            name
            for name, pod in pods
            if any(_matches(each["podSelector"], pod["metadata"]["labels"]) for each in sources)
        ]
        assert len(admitted) == 6  # sync, digest, suggestions, toolbox, migration, exporter
    # The pods of another chart in the same release, whose components have the same names.
    for component in ("operator", "uninstall", "suggestions", "toolbox", "migration", "test", "metrics", "redis"):
        other = {
            "app.kubernetes.io/name": "other",
            "app.kubernetes.io/instance": "catchup-jobs",
            "app.kubernetes.io/component": component,
        }
        for name, policy in policies.items():
            assert not _matches(policy["podSelector"], other), name
            peers = [peer for rule in policy["ingress"] for peer in rule.get("from", ())]
            assert not any(_matches(peer["podSelector"], other) for peer in peers), name


def test_the_exporters_policy_and_account_are_its_own(helm: Path, namespace: Namespace) -> None:
    def rendered(**metrics: Any) -> tuple[set[str], dict[str, Any], list[str]]:
        documents = render(helm, namespace, {"jobs": JOBS, "metrics": {"enabled": True, **metrics}}, "--no-hooks")
        pod = dict(pod_templates(documents))["Deployment/catchup-jobs-metrics"]["spec"]
        policies = {d["metadata"]["name"] for d in documents if d["kind"] == "NetworkPolicy"}
        accounts = [
            d["metadata"]["name"]
            for d in documents
            if d["kind"] == "ServiceAccount" and d["metadata"]["labels"]["app.kubernetes.io/component"] == "metrics"
        ]
        return policies, pod, accounts

    policies, pod, accounts = rendered(networkPolicy={"enabled": False})
    assert (policies, pod["serviceAccountName"], accounts) == (JOBS_POLICIES, "cloud", [])
    policies, pod, accounts = rendered(access="reviewed")
    assert policies == {*JOBS_POLICIES, "catchup-jobs-metrics"}
    assert (pod["serviceAccountName"], accounts) == ("catchup-jobs-metrics", ["catchup-jobs-metrics"])
    account = {"name": "scraped", "annotations": {"cloud/role": "reader"}}
    for access in ("open", "reviewed"):
        _, pod, accounts = rendered(access=access, serviceAccount=account)
        assert (pod["serviceAccountName"], accounts) == ("scraped", ["scraped"])
        assert pod["automountServiceAccountToken"] is (access == "reviewed")
    _, pod, accounts = rendered(access="reviewed", serviceAccount={"name": "theirs", "create": False})
    assert (pod["serviceAccountName"], accounts) == ("theirs", [])


def test_what_the_exporters_policy_leaves_open_that_of_the_jobs_says(helm: Path, namespace: Namespace) -> None:
    prometheus, database = ([{"ports": [{"port": port}]}] for port in (1, 2))
    anywhere = [{"ports": [{"port": "metrics"}]}]
    everything: list[dict[str, Any]] = [{}]

    def rules(jobs: dict[str, Any], metrics: dict[str, Any]) -> tuple[Any, Any] | None:
        values = {"jobs": {"networkPolicy": jobs}, "metrics": {"enabled": True, "networkPolicy": metrics}}
        found = {d["metadata"]["name"]: d["spec"] for d in render(helm, namespace, values) if "Policy" in d["kind"]}
        spec = found.get("catchup-jobs-metrics")
        return spec and (spec["ingress"], spec["egress"][1:])

    on, sides = {"enabled": True}, {"ingress": prometheus, "egress": database}
    assert rules({**on, **sides}, {}) == (prometheus, database)  # as before the exporter had values of its own
    assert rules(on, {}) == (anywhere, everything)
    assert rules({**on, **sides}, {"egress": everything}) == (prometheus, everything)
    assert rules({}, on) == (anywhere, everything)
    assert rules(on, {**on, **sides}) == (prometheus, database)
    assert rules({**on, **sides}, {"enabled": False}) is None
    assert rules({}, sides) is None


JOBS = {"serviceAccountName": "cloud", "networkPolicy": {"enabled": True}}
JOBS_POLICIES = {"catchup-jobs-jobs", "catchup-jobs-tools"}


def test_dns_is_reached_by_every_restricted_pod_also_where_its_pods_listen_on_5353(
    helm: Path, namespace: Namespace
) -> None:
    enabled = {"networkPolicy": {"enabled": True}}
    values = {**TRYING_OUT, **dict.fromkeys(COMPONENTS, enabled), "metrics": {"enabled": True, **enabled}}
    policies = [d["spec"] for d in render(helm, namespace, values) if d["kind"] == "NetworkPolicy"]
    assert len(policies) == 6
    for policy in policies:
        ports = {(each["port"], each["protocol"]) for each in policy["egress"][0]["ports"]}
        assert ports == {(53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP")}
        assert "to" not in policy["egress"][0]


def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """By https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        each["key"] in labels and (each["operator"] == "Exists" or labels[each["key"]] in each["values"])
        for each in selector.get("matchExpressions", ())
    )


def test_a_new_version_of_the_chart_restarts_neither_server_for_trying_out(
    helm: Path, namespace: Namespace, tmp_path: Path
) -> None:
    newer = tmp_path / "chart"
    shutil.copytree(CHART, newer)
    about = newer / "Chart.yaml"
    about.write_text(about.read_text().replace("0.1.0", "0.2.0"))
    documents = [render(helm, namespace, TRYING_OUT, chart=chart) for chart in (CHART, newer)]
    for wanted in ("Deployment/catchup-jobs-redis", "StatefulSet/catchup-jobs-postgresql"):
        old, new = (next(d for d in found if f"{d['kind']}/{d['metadata']['name']}" == wanted) for found in documents)
        assert old["metadata"]["labels"] != new["metadata"]["labels"]
        assert old["spec"] == new["spec"]
