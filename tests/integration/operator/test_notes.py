"""What the chart says after an installation: commands that work as they are, and what is needed elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import EXISTING
from integration.operator.conftest import CHART, Namespace

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

OPTIONAL: dict[str, Any] = {
    "extraEnv": [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "may-be-absent", "key": "a", "optional": True}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "must-be-there", "key": "b"}}},
    ],
    "extraVolumes": [{"name": "c", "configMap": {"name": "absent-too", "optional": True}}],
}


def notes_of(helm: Path, namespace: Namespace, values: dict[str, Any], chart: Path = CHART) -> str:
    """Return what Helm says after an installation."""
    secrets = {} if "generateSecrets" in values else EXISTING
    where = ["-n", namespace.name, "--kubeconfig", str(namespace.cluster.kubeconfig)]
    done = subprocess.run(
        [str(helm), "install", "catchup-jobs", str(chart), *where, "--dry-run=server", "--values", "-"],
        input=yaml.safe_dump({**secrets, **values, "crds": {"enabled": False}}),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.partition("NOTES:")[2]


@pytest.mark.parametrize(
    ("served", "example"),
    [([], "OWN"), (["people"], "people"), (["people", "friends"], "people"), (["people", "OWN"], "OWN"), (None, "OWN")],
    ids=str,
)
def test_the_example_is_made_in_a_namespace_that_is_served(
    helm: Path, namespace: Namespace, served: list[str] | None, example: str
) -> None:
    names = [name.replace("OWN", namespace.name) for name in served or ()]
    operator = {"allNamespaces": True} if served is None else {"namespaces": names}
    notes = notes_of(helm, namespace, {"operator": operator})
    where = f"kubectl -n {example.replace('OWN', namespace.name)} "
    for command in ("apply -f -", "get userschedules", "create job ada-now", "get userschedule ada"):
        assert where + command in notes


def test_with_a_default_pool_the_run_by_hand_is_one_that_its_users_have(
    helm: Path, namespace: Namespace, tmp_path: Path
) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    (chart / "templates/default-pool.yaml").unlink()  # takes a newer server; Helm's own renderings have no notes
    notes = notes_of(helm, namespace, {"defaultPool": "crowd"}, chart)
    assert "the SchedulePool crowd of the same namespace serves" in notes
    assert "annotate --overwrite userschedule ada catchup.dev/sync-requested-at=" in notes
    assert "ada-now" not in notes


@pytest.mark.parametrize(
    ("operator", "says"),
    [
        ({"namespaces": ["people"]}, "people must hold:"),
        ({"namespaces": ["people", "OWN"]}, "people must hold, as this one does:"),
        ({"allNamespaces": True}, "Each of these must hold, as this one does:"),
    ],
    ids=str,
)
def test_what_must_be_there_is_said_of_the_own_namespace_where_that_is_served_and_of_nothing_optional(
    helm: Path, namespace: Namespace, operator: dict[str, Any], says: str
) -> None:
    given = {
        key: [name.replace("OWN", namespace.name) for name in value] if isinstance(value, list) else value
        for key, value in operator.items()
    }
    notes = notes_of(helm, namespace, {"operator": given, "jobs": OPTIONAL})
    assert says in notes
    assert "Secret must-be-there" in notes
    assert "absent" not in notes
