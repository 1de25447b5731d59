"""Upgrades that would name a release's objects anew: refused, since it would begin as another installation does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import TRYING_OUT, render
from integration.operator.conftest import Namespace

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

Install = Callable[..., str]


@pytest.fixture
def install(helm: Path, namespace: Namespace) -> Install:
    """Make the operator's Deployment as a release of some values has it; returns its name."""

    def make(values: dict[str, Any], **labels: str) -> str:
        documents = render(helm, namespace, {**TRYING_OUT, **values})
        (found,) = [
            document
            for document in documents
            if document["kind"] == "Deployment" and document["metadata"]["name"].endswith("-operator")
        ]
        metadata = found["metadata"]
        release = {"meta.helm.sh/release-name": "catchup-jobs", "meta.helm.sh/release-namespace": namespace.name}
        metadata["annotations"] = {**metadata.get("annotations", {}), **release}
        metadata["labels"] = {**metadata["labels"], **({"helm.sh/chart": labels["chart"]} if labels else {})}
        namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(found))
        name: str = metadata["name"]
        return name

    return make


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"fullnameOverride": "people"}),
        ({"fullnameOverride": "people"}, {}),
        ({}, {"nameOverride": "people"}),
        # The objects' names stay, their labels do not.
        ({}, {"nameOverride": "jobs"}),
        ({}, {"namespaceOverride": "default"}),
    ],
    ids=str,
)
def test_a_live_release_cannot_be_renamed_and_the_refusal_says_what_would_be_lost(
    helm: Path, namespace: Namespace, install: Install, before: dict[str, Any], after: dict[str, Any]
) -> None:
    name = install(before)
    render(helm, namespace, {**TRYING_OUT, **before}, "--is-upgrade")
    with pytest.raises(AssertionError) as refused:
        render(helm, namespace, {**TRYING_OUT, **after}, "--is-upgrade")
    says = str(refused.value)
    assert f"is the Deployment {namespace.name}/{name} " in says
    for word in ("would make it", "a new encryption key", "Set the value back", "encryption.existingSecret"):
        assert word in says


@pytest.mark.parametrize("chart", ["other-0.1.0", "catchup-jobs-2-0.1.0"])
def test_another_alias_of_the_chart_in_one_release_is_no_renaming(
    helm: Path, namespace: Namespace, install: Install, chart: str
) -> None:
    install({"fullnameOverride": "people"}, chart=chart)
    render(helm, namespace, TRYING_OUT, "--is-upgrade")
