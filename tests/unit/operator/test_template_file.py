from __future__ import annotations

from pathlib import Path

import pytest

from catchup_operator.job_template import JobTemplate
from catchup_operator.template_file import InvalidTemplateError, load_template


def written(path: Path, text: str) -> Path:
    file = path / "job-template.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name an image"),
        ("image: ''", "must name an image"),
        ("image: [", "is not YAML"),
        ("image: x\nimages: y", "unknown field 'images'"),
        ("image: x\nenv: {}", "env must be a list"),
        ("image: x\npod: {hostNetwork: true}", "not hostNetwork"),
        ("image: x\nenv: [CATCHUP]", r"env\[0\] must be an object"),
        ("image: x\nenv: [{value: a}]", r"env\[0\] must have a name"),
        ("image: 5", "image must be a string"),
        ("image: x\nkinds: {suggestions: {}}", "kinds may hold sync, digest, not suggestions"),
        ("image: x\nkinds: {sync: {backoffLimit: 3}}", "kinds.sync may hold .*, not backoffLimit"),
        ("image: x\nkinds: {sync: {activeDeadlineSeconds: 59}}", "activeDeadlineSeconds must be at least 60"),
        ("image: x\nkinds: {sync: {failedJobsHistoryLimit: '3'}}", "failedJobsHistoryLimit must be an integer"),
        ("image: x\nvolumeMounts: [{name: a}]", r"volumeMounts\[0\] must have a mountPath"),
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidTemplateError, match=message):
        load_template(written(tmp_path, text))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidTemplateError, match=r"absent\.yaml: No such file"):
        load_template(tmp_path / "absent.yaml")


def test_what_a_namespace_must_hold_is_what_env_and_volumes_name() -> None:
    template = JobTemplate(
        image="x",
        env=(
            {"name": "A", "value": "a"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}},
            {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "d"}}},
        ),
        volumes=(
            {"name": "ca", "configMap": {"name": "our-ca"}},
            {"name": "keys", "secret": {"secretName": "our-keys"}},
            {"name": "tmp", "emptyDir": {}},
        ),
        pod={"serviceAccountName": "ours"},
    )
    assert template.required_objects == [
        "ConfigMap our-ca",
        "ConfigMap settings",
        "Secret database",
        "Secret our-keys",
        "ServiceAccount ours",
    ]


# What no API server takes: the field and the value in YAML.
UNTYPED = [
    ("env[0].value", "env: [{name: A, value: 5}]"),
    ("env[0].value", "env: [{name: A, value: true}]"),
    ("env[0].value", "env: [{name: A, value: 2026-01-01}]"),
    ("env[1].value", "env: [{name: A}, {name: B, value: {a: b}}]"),
    ("env[0].name", "env: [{name: 5}]"),
    ("env[0].valueFrom.secretKeyRef.key", "env: [{name: A, valueFrom: {secretKeyRef: {name: a, key: 1}}}]"),
    ("env[0].valueFrom.secretKeyRef", "env: [{name: A, valueFrom: {secretKeyRef: database}}]"),
    ("env[0].valueFrom.secretKeyRef.optional", "env: [{name: A, valueFrom: {secretKeyRef: {optional: 'yes'}}}]"),
    ("podAnnotations.a", "podAnnotations: {a: true}"),
    ("podLabels.a", "podLabels: {a: 1.5}"),
    ("podLabels", "podLabels: {1: a}"),
    ("podAnnotations.a", "podAnnotations: {a: null}"),
    ("resources.limits", "resources: {limits: 500m}"),
    ("resources.limits.cpu", "resources: {limits: {cpu: [1]}}"),
    ("pod.nodeSelector.zone", "pod: {nodeSelector: {zone: 1}}"),
    ("pod.tolerations", "pod: {tolerations: {key: a}}"),
    ("pod.tolerations[0].tolerationSeconds", "pod: {tolerations: [{tolerationSeconds: '60'}]}"),
    ("pod.priorityClassName", "pod: {priorityClassName: 7}"),
    ("pod.imagePullSecrets[0]", "pod: {imagePullSecrets: [registry]}"),
    (
        "pod.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight",
        "pod: {affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: '1'}]}}}",
    ),
    ("pod.topologySpreadConstraints[0].maxSkew", "pod: {topologySpreadConstraints: [{maxSkew: true}]}"),
    ("volumes[0].secret.defaultMode", "volumes: [{name: a, secret: {defaultMode: '0400'}}]"),
    ("volumes[0].emptyDir", "volumes: [{name: a, emptyDir: true}]"),
    ("volumeMounts[0].readOnly", "volumeMounts: [{name: a, mountPath: /a, readOnly: 'no'}]"),
    ("priorityClasses.low", "priorityClasses: {low: 1}"),
]


@pytest.mark.parametrize(("path", "text"), UNTYPED, ids=[text for _, text in UNTYPED])
def test_a_value_of_a_wrong_type_is_refused_by_its_path(tmp_path: Path, path: str, text: str) -> None:
    with pytest.raises(InvalidTemplateError) as caught:
        load_template(written(tmp_path, f"image: x\n{text}"))
    assert f": {path}" in str(caught.value).removeprefix(f"the job template {tmp_path}")
    assert "\n" not in str(caught.value)


HARD = "topologyKey: a, whenUnsatisfiable: DoNotSchedule"
# Lists that the API server merges by keys: the message and the field.
KEYED = [
    ("pod.hostAliases[1] has the ip of pod.hostAliases[0]", "hostAliases: [{ip: 1.2.3.4}, {ip: 1.2.3.4}]"),
    ("pod.hostAliases[0] must have a value of ip", "hostAliases: [{hostnames: [a]}]"),
    ("pod.initContainers[1] has the name of pod.initContainers[0]", "initContainers: [{name: a}, {name: a}]"),
    (
        "pod.initContainers[0].env[2] has the name",
        "initContainers: [{name: a, env: [{name: A}, {name: B}, {name: A}]}]",
    ),
    ("pod.initContainers[0].env[0] must have a value of name", "initContainers: [{name: a, env: [{value: x}]}]"),
    (
        "pod.initContainers[0].volumeMounts[1] has the mountPath",
        "initContainers: [{name: a, volumeMounts: [{name: a, mountPath: /x}, {name: b, mountPath: /x}]}]",
    ),
    (
        "pod.initContainers[0].ports[1] has the containerPort and protocol",
        "initContainers: [{name: a, ports: [{containerPort: 1}, {containerPort: 1, protocol: TCP}]}]",
    ),
    (
        "pod.topologySpreadConstraints[1] has the topologyKey and whenUnsatisfiable",
        f"topologySpreadConstraints: [{{{HARD}, maxSkew: 1}}, {{{HARD}, maxSkew: 2}}]",
    ),
]


@pytest.mark.parametrize(("message", "text"), KEYED, ids=[text for _, text in KEYED])
def test_a_list_that_names_a_key_twice_or_not_is_refused_by_its_path(tmp_path: Path, message: str, text: str) -> None:
    with pytest.raises(InvalidTemplateError) as caught:
        load_template(written(tmp_path, f"image: x\npod: {{{text}}}"))
    assert f": {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_does_not_show_a_value_that_may_be_secret(tmp_path: Path) -> None:
    with pytest.raises(InvalidTemplateError) as caught:
        load_template(written(tmp_path, "image: x\nenv: [{name: PIN, value: 271828}]"))
    assert "271828" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "resources: {limits: {cpu: 1, memory: 1.5e9}, requests: {cpu: 500m}}",
        "volumes: [{name: a, emptyDir: {sizeLimit: 1000}}, {name: b, secret: {secretName: s, defaultMode: 0400}}]",
        "env: [{name: A, value: null}, {name: B}, {name: C, value: ''}]",
        "pod: {tolerations: [{operator: Exists}], affinity: {}, nodeSelector: {}}",
        "pod: {tolerations: [{aFieldOfANewerServer: 5}]}",
        "podAnnotations: {a: 'true'}",
        "pod: {tolerations: [{key: a}, {key: a}], imagePullSecrets: [{name: a}, {name: a}], securityContext: null}",
        "pod: {initContainers: [{name: a, ports: [{containerPort: 1}, {containerPort: 1, protocol: UDP}]}, {name: b}]}",
        f"pod: {{topologySpreadConstraints: [{{{HARD}}}, {{topologyKey: a, whenUnsatisfiable: ScheduleAnyway}}]}}",
    ],
)
def test_what_an_api_server_takes_is_taken(tmp_path: Path, text: str) -> None:
    assert load_template(written(tmp_path, f"image: x\n{text}")).image == "x"
