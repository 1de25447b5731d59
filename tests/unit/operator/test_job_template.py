from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from catchup_operator.job_template import InvalidTemplateError, JobTemplate, _zone_database


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
        ("image: x\nenv: [CATCHUP]", "env must be a list of objects with a name"),
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidTemplateError, match=message):
        JobTemplate.load(written(tmp_path, text))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidTemplateError, match=r"absent\.yaml: No such file"):
        JobTemplate.load(tmp_path / "absent.yaml")


def test_the_hash_changes_with_everything_that_a_pod_takes_from_the_file(tmp_path: Path) -> None:
    texts = [
        "image: x",
        "image: y",
        "image: x\nimagePullPolicy: Never",
        "image: x\nenv: [{name: A, value: b}]",
        "image: x\nresources: {limits: {memory: 1Gi}}",
        "image: x\npod: {nodeSelector: {a: b}}",
        "image: x\npriorityClasses: {low: a}",
        "image: x\nvolumes: [{name: a, emptyDir: {}}]",
        "image: x\nvolumeMounts: [{name: a, mountPath: /a}]",
        "image: x\npodLabels: {a: b}",
        "image: x\npodAnnotations: {a: b}",
    ]
    hashes = {JobTemplate.load(written(tmp_path, text)).hash for text in texts}
    hashes.add(JobTemplate.load(written(tmp_path, texts[0]), digest_spread=30).hash)
    assert len(hashes) == len(texts) + 1
    assert JobTemplate.load(written(tmp_path, texts[0])).hash == JobTemplate(image="x").hash


def test_another_zone_database_rolls_the_cronjobs_since_their_schedules_may_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = JobTemplate(image="x").hash
    _zone_database.cache_clear()
    monkeypatch.setattr(metadata, "version", lambda _: "2099.1")
    try:
        assert JobTemplate(image="x").hash != before
    finally:
        _zone_database.cache_clear()


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
    )
    assert template.needs == ["ConfigMap our-ca", "ConfigMap settings", "Secret database", "Secret our-keys"]
