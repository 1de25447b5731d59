"""The chart as a dependency of a platform's own chart, beside another one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import EXISTING, pod_templates, render
from integration.operator.conftest import CHART, Namespace

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

VERSION: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
# Another chart, whose component has the name of one of ours.
OTHER = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: other
  labels: {app.kubernetes.io/instance: "{{ .Release.Name }}", app.kubernetes.io/component: migration}
data: {registry: "{{ .Values.global.imageRegistry }}"}
"""


@pytest.fixture
def platform(helm: Path, tmp_path: Path) -> Path:
    """A chart with two dependencies, as `helm dependency build` completes it."""
    parent, other = tmp_path / "platform", tmp_path / "other"
    for chart, about in (
        (
            parent,
            {
                "dependencies": [
                    {
                        "name": "catchup-jobs",
                        "version": VERSION,
                        "repository": f"file://{tmp_path}/catchup-jobs",
                        "condition": "catchup-jobs.enabled",
                    },
                    {"name": "other", "version": "1.0.0", "repository": f"file://{other}"},
                ]
            },
        ),
        (other, {}),
    ):
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(
            json.dumps({"apiVersion": "v2", "name": chart.name, "version": "1.0.0", **about})
        )
    (other / "templates/other.yaml").write_text(OTHER)
    shutil.copytree(CHART, tmp_path / "catchup-jobs")
    own = {"HELM_CACHE_HOME": str(tmp_path / "cache"), "HELM_CONFIG_HOME": str(tmp_path / "config")}
    done = subprocess.run(
        [str(helm), "dependency", "update", str(parent)], env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return parent


def values(**ours: Any) -> dict[str, Any]:
    return {
        "global": {"imageRegistry": "registry.example.com", "podLabels": {"team": "people"}, "other": {"a": 1}},
        "catchup-jobs": {"crds": {"enabled": False}, **ours},
    }


def test_it_takes_its_part_of_the_values_and_global_settings_and_leaves_the_others(
    helm: Path, namespace: Namespace, platform: Path
) -> None:
    policies = {name: {"networkPolicy": {"enabled": True}} for name in ("operator", "jobs")}
    documents = render(helm, namespace, values(**EXISTING, **policies), chart=platform)
    stream = yaml.safe_dump_all(documents)
    out = namespace.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=stream)
    assert len(out.splitlines()) == len(documents) > 10
    pods = dict(pod_templates(documents))
    assert {name for name in pods if "operator" in name} == {"Deployment/catchup-jobs-operator"}
    for name, pod in pods.items():
        assert pod["spec"]["containers"][0]["image"].startswith("registry.example.com/"), name
    # Alone, it makes the same objects.
    alone = render(helm, namespace, values(**EXISTING, **policies)["catchup-jobs"])
    assert {(d["kind"], d["metadata"]["name"]) for d in documents if d["metadata"]["name"] != "other"} >= {
        (d["kind"], d["metadata"]["name"]) for d in alone if "-migrate-" not in d["metadata"]["name"]
    }


def test_its_condition_leaves_all_of_it_out(helm: Path, namespace: Namespace, platform: Path) -> None:
    documents = render(helm, namespace, values(enabled=False), chart=platform)
    assert [d["metadata"]["name"] for d in documents] == ["other"]


def test_a_wrong_value_is_named_with_the_dependency(helm: Path, namespace: Namespace, platform: Path) -> None:
    with pytest.raises(AssertionError) as refused:
        render(helm, namespace, values(**EXISTING, suggestions={"shards": 0}), chart=platform)
    assert "catchup-jobs:" in str(refused.value)
    assert "/suggestions/shards" in str(refused.value)
