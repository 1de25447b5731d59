"""The chart, rendered by Helm and validated by a real API server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from integration.operator.chart_rendering import (
    COMBINATIONS,
    EVERYTHING,
    EXISTING,
    TRYING_OUT,
    cluster_name,
    job_container,
    job_template,
    pod_templates,
    pools_cronjobs,
    render,
    secret_references,
    suggestions_cronjob,
    users_cronjob,
)
from integration.operator.conftest import CHART, ROOT, Namespace
from integration.operator.test_notes import notes_of
from waiting import eventually

from catchup_contract.api import LABEL_JOB, LABEL_USER_SCHEDULE, PRIORITIES
from catchup_contract.env import Env
from catchup_contract.kinds import BACKOFF_LIMIT, DIGEST, SUGGESTIONS, SYNC
from catchup_contract.outcomes import ExitCode
from catchup_jobs.cli import cli
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.manifests.list_configmaps import CONFIGMAPS
from catchup_operator.ops.permissions import PERMISSIONS
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.template_file import load_template

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")


@pytest.fixture
def restricted(namespace: Namespace) -> Namespace:
    namespace.cluster.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    return namespace


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_every_object_is_accepted_by_the_api_server(helm: Path, namespace: Namespace, values: dict[str, Any]) -> None:
    documents = render(helm, namespace, values)
    stream = yaml.safe_dump_all(document for document in documents if document["kind"] != "CustomResourceDefinition")
    out = namespace.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=stream)
    assert len(out.splitlines()) == len([d for d in documents if d["kind"] != "CustomResourceDefinition"])


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_every_pod_is_admitted_under_restricted_pod_security(
    helm: Path, restricted: Namespace, values: dict[str, Any], tmp_path: Path
) -> None:
    documents = render(helm, restricted, values)
    file = tmp_path / "job-template.yaml"
    file.write_text(yaml.safe_dump(job_template(documents)))
    template = load_template(file)
    metadata = {"namespace": restricted.name, "name": "ada", "uid": "0", "generation": 1}
    schedule = UserSchedule.from_body({"metadata": metadata, "spec": {"userId": "ada"}})
    made = [*desired_cronjobs(schedule, template, {}).values(), *pools_cronjobs(documents)]
    pods = [*pod_templates(documents), *pod_templates(made)]
    assert len(pods) >= 5
    for name, pod in pods:
        spec = {
            **pod["spec"],
            "volumes": [v for v in pod["spec"].get("volumes", []) if "persistentVolumeClaim" not in v],
        }
        claimed = {mount["name"] for mount in spec["containers"][0].get("volumeMounts", [])}
        spec["volumes"] += [{"name": n, "emptyDir": {}} for n in claimed - {v["name"] for v in spec["volumes"]}]
        spec["serviceAccountName"] = "default"
        spec.pop("priorityClassName", None)
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
        pods_of_namespace = f"/api/v1/namespaces/{restricted.name}/pods?dryRun=All&fieldValidation=Strict"
        admitted = json.loads(restricted.cluster.request("POST", pods_of_namespace, document))
        assert admitted["kind"] == "Pod", name


def test_for_trying_out_every_secret_that_a_pod_names_is_made_by_the_chart(helm: Path, namespace: Namespace) -> None:
    documents = render(helm, namespace, {**TRYING_OUT, "toolbox": {"enabled": True}})
    made = {(d["metadata"]["name"], key) for d in documents if d["kind"] == "Secret" for key in d["data"]}
    named = set(secret_references(documents)) | set(secret_references(job_template(documents)))
    assert named
    assert named <= made


def test_with_existing_secrets_the_chart_makes_none_and_brings_no_database(helm: Path, namespace: Namespace) -> None:
    documents = render(helm, namespace, EXISTING)
    assert {d["kind"] for d in documents}.isdisjoint({"Secret", "StatefulSet"})
    names = {name for name, _ in [*secret_references(documents), *secret_references(job_template(documents))]}
    assert names == {"our-database", "our-redis", "our-keys", "our-google", "our-twilio", "our-mail"}


# The variables that only a user's pods get; all others come from the installation and are the same in every pod.
SETTINGS_OF_A_PERSONS_POD = {Env.TIME_ZONE, Env.DIGEST_DAY, Env.DIGEST_TIME, Env.SYNC_EVERY}


def test_the_suggestions_cronjob_runs_what_the_contract_names_with_the_slot_and_the_limits_of_the_contract(
    helm: Path, namespace: Namespace
) -> None:
    cronjob = suggestions_cronjob(render(helm, namespace, EVERYTHING))
    spec, job = cronjob["spec"], cronjob["spec"]["jobTemplate"]["spec"]
    deadlines = SUGGESTIONS.deadlines
    assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("15 3 * * *", "Etc/UTC", True)
    assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]) == ("Allow", deadlines.starting)
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 4, 4)
    assert (job["backoffLimitPerIndex"], job["activeDeadlineSeconds"]) == (BACKOFF_LIMIT, deadlines.active)
    assert job["maxFailedIndexes"] == 4  # a shard that fails stops no other
    container = job_container(cronjob)
    assert container["args"] == [SUGGESTIONS.name]
    command = cli.get_command(click.Context(cli), container["args"][0])
    assert command is not None
    command.make_context("suggestions", container["args"][1:])  # the command takes these arguments
    ignore, fail = job["podFailurePolicy"]["rules"]
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (fail["action"], fail["onExitCodes"]["containerName"]) == ("FailIndex", container["name"])
    assert fail["onExitCodes"]["values"] == [ExitCode.PERMANENT, ExitCode.MISCONFIGURED]
    for metadata in (cronjob["metadata"], spec["jobTemplate"]["metadata"], job["template"]["metadata"]):
        assert metadata["labels"][LABEL_JOB] == SUGGESTIONS.name
        assert LABEL_USER_SCHEDULE not in metadata["labels"]  # the operator must not take its Jobs for a user's
    assert job["template"]["spec"]["automountServiceAccountToken"] is False


def test_the_fleets_pods_get_the_settings_of_a_persons_pods_and_know_their_shard(
    helm: Path, namespace: Namespace
) -> None:
    documents = render(helm, namespace, EVERYTHING)
    fleet = {entry["name"]: entry for entry in job_container(suggestions_cronjob(documents))["env"]}
    person = {entry["name"]: entry for entry in job_container(users_cronjob(documents, SYNC))["env"]}
    own = {Env.CRONJOB_NAME, Env.DEADLINE_SECONDS}
    assert fleet.keys() == (person.keys() - SETTINGS_OF_A_PERSONS_POD) | {Env.SUGGESTION_SHARDS}
    for name in person.keys() & fleet.keys() - own:
        assert fleet[name] == person[name]
    assert fleet[Env.SUGGESTION_SHARDS]["value"] == "4"
    assert fleet[Env.CRONJOB_NAME]["value"] == suggestions_cronjob(documents)["metadata"]["name"]
    assert fleet[Env.DEADLINE_SECONDS]["value"] == str(SUGGESTIONS.deadlines.active)
    assert fleet.keys() - {"EXTRA"} <= set(Env)


def test_each_priority_of_a_user_has_a_class_of_the_release_that_preempts_nothing(
    helm: Path, namespace: Namespace
) -> None:
    documents = render(helm, namespace, {"jobs": {"priorityClasses": {"high": "gold"}}})
    made = {d["metadata"]["name"]: d for d in documents if d["kind"] == "PriorityClass"}
    named = job_template(documents)["priorityClasses"]
    assert named.keys() == set(PRIORITIES)
    prefix = cluster_name(namespace.name)
    assert named == {"low": f"{prefix}-deferred", "normal": f"{prefix}-normal", "high": "gold"}
    assert made.keys() == {named["low"], named["normal"], f"{prefix}-high"}
    # Below -10 cluster autoscalers make no room: their --expendable-pods-priority-cutoff.
    assert -10 < made[named["low"]]["value"] < made[named["normal"]]["value"] == 0
    assert {each["preemptionPolicy"] for each in made.values()} == {"Never"}


def test_objects_of_the_cluster_are_of_one_release_however_namespace_and_name_divide(helm: Path) -> None:
    def of_the_cluster(namespace: str, name: str) -> set[str]:
        switches = "operator.allNamespaces=true,metrics.access=reviewed,admissionPolicy.enabled=true,defaultPool=people"
        secrets = "database.existingSecret=a,redis.existingSecret=a,encryption.existingSecret=a,crds.enabled=false"
        options = [f"--namespace={namespace}", f"--set={switches},{secrets},fullnameOverride={name}"]
        command = [str(helm), "template", "x", str(CHART), "--kube-version=1.36.0", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = [d["metadata"] for d in yaml.safe_load_all(done.stdout) if d]
        return {each["name"] for each in found if "namespace" not in each}

    first, second = of_the_cluster("a-b", "c"), of_the_cluster("a", "b-c")
    assert len(first) == len(second) >= 10
    assert not first & second


def test_a_release_keeps_priority_classes_that_had_a_name_without_a_hash_and_nobody_elses(
    helm: Path, namespace: Namespace
) -> None:
    def classes(*arguments: str) -> dict[str, str]:
        documents = render(helm, namespace, TRYING_OUT, *arguments)
        made = {d["metadata"]["name"] for d in documents if d["kind"] == "PriorityClass"}
        named: dict[str, str] = job_template(documents)["priorityClasses"]
        assert set(named.values()) == made
        return named

    release = {"meta.helm.sh/release-namespace": namespace.name, "meta.helm.sh/release-name": "catchup-jobs"}
    old = f"{namespace.name}-catchup-jobs"
    for name, notes in (("deferred", release), ("high", {**release, "meta.helm.sh/release-name": "other"})):
        labels = {"app.kubernetes.io/name": "catchup-jobs"}
        metadata = {"name": f"{old}-{name}", "labels": labels, "annotations": notes}
        document = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": metadata, "value": 1}
        namespace.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))
    new = cluster_name(namespace.name)
    fresh = {"low": f"{new}-deferred", "normal": f"{new}-normal", "high": f"{new}-high"}
    try:
        assert classes("--is-upgrade") == {**fresh, "low": f"{old}-deferred"}
        assert classes() == fresh
    finally:
        namespace.cluster.kubectl("delete", "priorityclass", f"{old}-deferred", f"{old}-high")


@pytest.mark.parametrize(("version", "known"), [("v1.30.9", False), ("v1.31.0", True), ("v1.36.1-eks-1", True)])
def test_resources_can_be_selected_by_user_where_the_server_knows_that(
    helm: Path, namespace: Namespace, version: str, known: bool
) -> None:
    documents = render(helm, namespace, {}, "--kube-version", version)
    (definition,) = [d for d in documents if d["metadata"]["name"] == "userschedules.catchup.dev"]
    (found,) = definition["spec"]["versions"]
    assert found.get("selectableFields") == ([{"jsonPath": ".spec.userId"}] if known else None)
    if known:
        change = [{"op": "add", "path": "/spec/versions/0/selectableFields", "value": found["selectableFields"]}]
        name = "userschedules.catchup.dev"
        namespace.cluster.kubectl("patch", "crd", name, "--type=json", "-p", json.dumps(change))
        namespace.apply("ada")
        namespace.apply("bob", userId="someone")
        names = eventually(lambda: namespace.kubectl("get", "us", "--field-selector=spec.userId=someone", "-o", "name"))
        assert names.split() == ["userschedule.catchup.dev/bob"]


def test_the_chart_brings_both_definitions_and_the_clusters_roles_know_both(helm: Path, namespace: Namespace) -> None:
    documents = render(helm, namespace, {})
    names = {d["metadata"]["name"] for d in documents if d["kind"] == "CustomResourceDefinition"}
    assert names == {"userschedules.catchup.dev", "schedulepools.catchup.dev"}
    roles = [d for d in documents if "rbac.authorization.k8s.io/aggregate-to-edit" in d["metadata"].get("labels", {})]
    assert len(roles) == 2
    assert all(role["rules"][0]["resources"] == ["userschedules", "schedulepools"] for role in roles)


def test_without_rbac_the_chart_makes_no_role_and_no_binding_whatever_else_is_on(
    helm: Path, namespace: Namespace
) -> None:
    everything = {**EVERYTHING, "metrics": {"enabled": True, "access": "reviewed"}, "rbac": {"create": False}}
    for operator in ({}, {"namespaces": ["people", "friends"]}, {"allNamespaces": True}):
        documents = render(helm, namespace, {**everything, "operator": {**EVERYTHING["operator"], **operator}})
        assert [d["metadata"]["name"] for d in documents if "Role" in d["kind"]] == []
        # The pods name them all the same.
        accounts = {d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount"}
        assert accounts == {"people-jobs-operator", "people-jobs-metrics", "people-jobs-prepare-uninstall"}


def test_the_pods_that_ask_the_api_server_have_a_token_whatever_their_account_says(
    helm: Path, namespace: Namespace
) -> None:
    values = {**EVERYTHING, "metrics": {"enabled": True, "access": "reviewed"}}
    tokens = {
        name.partition("/")[2]: template["spec"].get("automountServiceAccountToken")
        for name, template in pod_templates(render(helm, namespace, values))
    }
    with_one = {name.removeprefix("people-jobs-") for name, mounts in tokens.items() if mounts}
    assert with_one == {"operator", "metrics", "prepare-uninstall"}
    assert None not in tokens.values()


def test_priority_classes_can_be_left_out(helm: Path, namespace: Namespace) -> None:
    documents = render(helm, namespace, {"jobs": {"priorityClasses": {"create": False}}})
    assert "PriorityClass" not in {document["kind"] for document in documents}
    assert "priorityClasses" not in job_template(documents)


def test_the_suggestions_can_be_left_out(helm: Path, namespace: Namespace) -> None:
    documents = render(helm, namespace, {"suggestions": {"enabled": False}})
    assert "CronJob" not in {document["kind"] for document in documents}


@pytest.mark.parametrize("where", ["digest", "toolbox"])
def test_twilio_and_the_mail_server_reach_the_pods_that_send(helm: Path, namespace: Namespace, where: str) -> None:
    documents = render(helm, namespace, EVERYTHING)
    pod = (
        users_cronjob(documents, DIGEST)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        if where == "digest"
        else dict(pod_templates(documents))["Deployment/people-jobs-toolbox"]["spec"]
    )
    (container,) = pod["containers"]
    env = {entry["name"]: entry for entry in container["env"]}
    values = {name: entry["value"] for name, entry in env.items() if "value" in entry}
    assert values[Env.TWILIO_FROM] == "+15550100"
    assert values[Env.TWILIO_MESSAGING_SERVICE_SID] == "MG0"
    assert values[Env.TWILIO_API_BASE_URL] == "http://twilio.test"
    assert (values[Env.SMTP_HOST], values[Env.SMTP_PORT], values[Env.SMTP_SECURITY]) == ("mail.test", "465", "tls")
    assert values[Env.SMTP_FROM] == "catchup@example.com"
    assert values[Env.ACTION_BASE_URL] == "https://app.example.com/act"
    assert values[Env.CONNECT_URL] == "https://app.example.com/settings?tab=calendar"
    assert dict(secret_references(env[Env.TWILIO_ACCOUNT_SID])) == {"our-twilio": "sid"}
    assert dict(secret_references(env[Env.TWILIO_AUTH_TOKEN])) == {"our-twilio": "token"}
    assert dict(secret_references(env[Env.SMTP_USERNAME])) == {"our-mail": "username"}
    assert dict(secret_references(env[Env.SMTP_PASSWORD])) == {"our-mail": "password"}
    assert values[Env.CA_FILE] == "/etc/catchup/ca/root.pem"
    (mount,) = [m for m in container["volumeMounts"] if values[Env.CA_FILE].startswith(m["mountPath"] + "/")]
    assert {"name": mount["name"], "configMap": {"name": "our-ca"}} in pod["volumes"]


def test_without_twilio_and_a_mail_server_the_pods_are_told_of_neither(helm: Path, namespace: Namespace) -> None:
    text = yaml.safe_dump(job_template(render(helm, namespace, {})))
    assert not [
        name for name in Env if name.startswith(("CATCHUP_TWILIO", "CATCHUP_SMTP", "CATCHUP_ACTION")) and name in text
    ]


def test_an_entry_of_extraenv_replaces_one_of_the_charts_with_its_name(helm: Path, namespace: Namespace) -> None:
    mine = [
        {"name": "CATCHUP_REDIS_URL", "value": "redis://first"},
        {"name": "CATCHUP_REDIS_URL", "value": "redis://r"},
    ]
    ports = [{"name": "CATCHUP_HEALTH_PORT", "value": "8081"}]
    values = {**EVERYTHING, "jobs": {"extraEnv": mine}, "operator": {"extraEnv": ports}}
    documents = render(helm, namespace, values)
    lists = {name: pod["spec"]["containers"][0].get("env", []) for name, pod in pod_templates(documents)}
    lists["the job template"] = job_template(documents)["env"]
    with_redis = 0
    for name, entries in lists.items():
        names = [entry["name"] for entry in entries]
        assert len(names) == len(set(names)), name
        with_redis += {"name": "CATCHUP_REDIS_URL", "value": "redis://r"} in entries
    assert with_redis >= 4
    assert any(ports[0] in entries for entries in lists.values())


@pytest.mark.parametrize(
    ("values", "kind", "where"),
    [
        ({}, "Role", [True]),
        ({"namespaces": ["people", "friends"]}, "Role", ["people", "friends"]),
        ({"allNamespaces": True}, "ClusterRole", [None]),
    ],
    ids=["its own", "several", "all"],
)
def test_the_operator_may_do_only_what_it_does(
    helm: Path, namespace: Namespace, values: dict[str, Any], kind: str, where: list[Any]
) -> None:
    documents = render(helm, namespace, {"operator": values})
    roles = [d for d in documents if "Role" in d["kind"] and d["metadata"]["name"].endswith("-operator")]
    assert {role["kind"] for role in roles} == {kind, f"{kind}Binding"}
    places = [namespace.name if place is True else place for place in where]
    assert [role["metadata"].get("namespace") for role in roles if role["kind"] == kind] == places
    verbs = {
        f"{resource}:{name}" if name else resource: tuple(rule["verbs"])
        for rule in roles[0]["rules"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    lists = {name.partition(":")[2] for name in verbs if name.startswith("configmaps:")}
    assert lists == CONFIGMAPS.keys()
    for name in lists - {"catchup-schedule-list-index"}:
        assert verbs.pop(f"configmaps:{name}") == verbs["configmaps:catchup-schedule-list-index"]
    assert verbs == PERMISSIONS  # which readiness asks for


def test_what_the_chart_makes_for_job_pods_is_the_same_in_each_served_namespace_and_accepted_there(
    helm: Path, namespace: Namespace
) -> None:
    # In a namespace that is there, but not the release's.
    documents = render(helm, namespace, {**TRYING_OUT, "operator": {"namespaces": [namespace.name, "default"]}})
    made: dict[str, dict[str, Any]] = {}
    for document in documents:
        if document["kind"] == "Secret":
            made.setdefault(document["metadata"]["namespace"], {})[document["metadata"]["name"]] = document["data"]
    assert made[namespace.name] == made["default"]
    assert {name for name, _ in secret_references(job_template(documents))} == made["default"].keys()
    elsewhere = [document for document in documents if document["metadata"].get("namespace") == "default"]
    stream = yaml.safe_dump_all(elsewhere)
    out = namespace.cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=stream)
    assert len(out.splitlines()) == len(elsewhere) == 3 + 2 * 2  # and two Roles, each with its binding
    urls = [base64.b64decode(data["url"]).decode() for data in made["default"].values() if "url" in data]
    assert [f".{namespace.name}:" in url for url in urls] == [True, True]  # found from there


SIDECAR: dict[str, Any] = {
    "extraVolumes": [
        {"name": "a", "projected": {"sources": [{"secret": {"name": "client"}}, {"configMap": {"name": "settings"}}]}},
        {"name": "b", "persistentVolumeClaim": {"claimName": "data"}},
    ],
    "extraInitContainers": [
        {
            "name": "proxy",
            "image": "proxy",
            "envFrom": [{"secretRef": {"name": "proxy"}}],
            "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}}],
        }
    ],
}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, None),
        ({**TRYING_OUT, "operator": {"namespaces": ["people"]}}, None),
        (
            {**EVERYTHING, "operator": {"namespaces": ["people", "friends"]}},
            ["people, friends", "ConfigMap our-ca", "Secret our-database", "Secret our-mail", "Secret pull"],
        ),
        ({"operator": {"allNamespaces": True}}, ["all namespaces", "Secret our-keys"]),
        (
            {"operator": {"namespaces": ["people", "friends"]}, "jobs": SIDECAR},
            ["Secret proxy", "Secret token", "Secret client", "PersistentVolumeClaim data", "ConfigMap settings"],
        ),
    ],
    ids=["its own", "another, with Secrets of the chart", "several", "all", "several, with a sidecar"],
)
def test_the_notes_say_what_other_namespaces_must_hold(
    helm: Path, namespace: Namespace, values: dict[str, Any], says: list[str] | None
) -> None:
    notes = notes_of(helm, namespace, values)
    assert notes
    assert ("Job pods run in the namespace of their UserSchedule" in notes) is (says is not None)
    assert [word for word in says or () if word not in notes] == []


def test_another_size_of_postgresqls_volume_is_refused_with_the_commands_that_make_it_possible(
    helm: Path, namespace: Namespace
) -> None:
    documents = render(helm, namespace, TRYING_OUT)
    (servers,) = [d for d in documents if d["kind"] == "StatefulSet"]
    namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(servers))
    for same in ("1Gi", "1024Mi"):
        render(helm, namespace, {**TRYING_OUT, "postgresql": {"storage": same}}, "--is-upgrade")
    larger = {**TRYING_OUT, "postgresql": {"storage": "2Gi"}}
    with pytest.raises(
        AssertionError, match=r"cannot change from 1Gi to 2Gi.*patch persistentvolumeclaim data-catchup"
    ):
        render(helm, namespace, larger, "--is-upgrade")
    namespace.kubectl("delete", "statefulset", "catchup-jobs-postgresql", "--cascade=orphan")
    render(helm, namespace, larger, "--is-upgrade")


def test_helms_linter_finds_nothing(helm: Path) -> None:
    values = ROOT / "examples/gitops/values.yaml"
    done = subprocess.run(
        [str(helm), "lint", "--strict", str(CHART), f"--values={values}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "[" not in done.stdout, done.stdout  # such as [INFO] and [WARNING]


def test_a_definition_that_is_not_the_releases_is_refused_with_what_to_do(helm: Path, namespace: Namespace) -> None:
    done = subprocess.run(
        [str(helm), "install", "x", str(CHART), "-n", namespace.name, "--dry-run=server", "--set=generateSecrets=true"],
        env={**os.environ, "KUBECONFIG": str(namespace.cluster.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "applied by hand); install with --set crds.enabled=false, or take it over" in done.stderr


@pytest.mark.parametrize(
    ("flags", "done"),
    [
        (["--set=crds.takeOwnership=true"], False),
        (["--take-ownership"], False),
        (["--take-ownership", "--set=crds.takeOwnership=true"], True),
        (["--set=crds.enabled=false"], True),
    ],
    ids=["value", "flag", "both", "none"],
)
def test_a_definition_of_another_owner_is_taken_over_only_where_both_say_so(
    helm: Path, namespace: Namespace, flags: list[str], done: bool
) -> None:
    where = ["-n", namespace.name, "--kubeconfig", str(namespace.cluster.kubeconfig)]
    command = [str(helm), "install", "x", str(CHART), *where, "--dry-run=server", "--set=generateSecrets=true", *flags]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode == 0) is done, found.stderr


def test_a_definition_that_another_release_would_delete_is_not_taken_over(helm: Path, namespace: Namespace) -> None:
    name = "userschedules.catchup.dev"
    kubectl = namespace.cluster.kubectl
    where = ["-n", namespace.name, "--kubeconfig", str(namespace.cluster.kubeconfig), "--dry-run=server"]
    flags = ["--set=generateSecrets=true,crds.takeOwnership=true", "--take-ownership"]
    kubectl(
        "annotate", "crd", name, "meta.helm.sh/release-name=before", f"meta.helm.sh/release-namespace={namespace.name}"
    )
    try:
        for policy, done in (("helm.sh/resource-policy-", False), ("helm.sh/resource-policy=keep", True)):
            kubectl("annotate", "crd", name, policy)
            found = subprocess.run(
                [str(helm), "install", "x", str(CHART), *where, *flags], capture_output=True, text=True, check=False
            )
            assert (found.returncode == 0) is done, found.stderr
            says = f"upgrade release {namespace.name}/before with crds.keep=true first"
            assert (says in found.stderr) is not done
    finally:
        notes = ("meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-", "helm.sh/resource-policy-")
        kubectl("annotate", "crd", name, *notes)
