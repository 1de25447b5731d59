from __future__ import annotations

from pathlib import Path

import pytest

from catchup_operator.job_template import InvalidTemplateError, JobTemplate


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
    assert template.required_objects == ["ConfigMap our-ca", "ConfigMap settings", "Secret database", "Secret our-keys"]
