"""The chart by tools that render and apply it without Helm: Argo CD, Flux's Kustomizations, kubectl."""

from __future__ import annotations

import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import lupa  # type: ignore[import-untyped]
import pytest
import yaml
from integration.operator.chart_rendering import render_text
from integration.operator.conftest import CHART, ROOT, Namespace
from waiting import eventually

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

EXAMPLES = ROOT / "examples" / "gitops"


def template(helm: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(helm), "template", "catchup-jobs", str(CHART), *arguments]
    return subprocess.run(command, env={"KUBECONFIG": "/dev/null"}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("install", [[], ["--is-upgrade"]], ids=["install", "upgrade"])
def test_a_rendering_that_cannot_look_up_makes_no_secret_and_names_the_values_to_set(
    helm: Path, install: list[str]
) -> None:
    done = template(helm, "--set=generateSecrets=true,redis.existingSecret=ours", *install)
    assert done.returncode != 0
    assert "needs a cluster to look up what was generated before" in done.stderr
    assert "set database.existingSecret, encryption.existingSecret instead" in done.stderr


def test_without_a_choice_nothing_is_generated(helm: Path) -> None:
    done = template(helm)
    assert done.returncode != 0
    assert (
        "set database.existingSecret, redis.existingSecret, encryption.existingSecret, or generateSecrets=true"
        in done.stderr
    )


def test_what_was_generated_is_found_by_every_later_rendering(helm: Path, namespace: Namespace) -> None:
    values = {"generateSecrets": True, "toolbox": {"enabled": True}}
    secrets = [d for d in _documents(render_text(helm, namespace, values)) if d["kind"] == "Secret"]
    assert len(secrets) == 3
    release = {"meta.helm.sh/release-name": "catchup-jobs", "meta.helm.sh/release-namespace": namespace.name}
    for secret in secrets:
        secret["metadata"]["annotations"] |= release  # as Helm marks what it installs
    namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(secrets))
    for arguments in ([], ["--is-upgrade"]):
        again = _documents(render_text(helm, namespace, values, *arguments))
        assert [d["data"] for d in again if d["kind"] == "Secret"] == [d["data"] for d in secrets]


def test_two_renderings_of_the_values_for_gitops_are_the_same_and_hold_no_secret(helm: Path) -> None:
    first, second = (template(helm, f"--values={EXAMPLES / 'values.yaml'}") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert "Secret" not in {d["kind"] for d in _documents(first.stdout)}


@pytest.mark.parametrize("backwards", [False, True])
def test_what_is_rendered_can_be_applied_in_any_order_and_again_without_a_change(
    helm: Path, namespace: Namespace, backwards: bool
) -> None:
    # With hooks, as by Kustomize: kubectl runs the Job of one at once.
    values = yaml.safe_load((EXAMPLES / "values.yaml").read_text()) | {"crds": {"enabled": False}}
    documents = _documents(render_text(helm, namespace, values))
    if backwards:
        documents.reverse()
    for document in documents:
        namespace.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(document))
    stream = yaml.safe_dump_all(documents)
    before = {each["metadata"]["uid"]: each for each in _objects(namespace, stream)}
    namespace.kubectl("apply", "--server-side", "-f", "-", stdin=stream)
    after = {each["metadata"]["uid"]: each for each in _objects(namespace, stream)}
    assert len(before) == len(documents)
    # The generation: controllers write the status meanwhile.
    assert {uid: each["metadata"].get("generation") for uid, each in before.items()} == {
        uid: each["metadata"].get("generation") for uid, each in after.items()
    }


def test_the_values_for_gitops_bring_no_job_that_deletes_anything(helm: Path) -> None:
    def hooks(*more: str) -> set[str]:
        done = template(helm, f"--values={EXAMPLES / 'values.yaml'}", *more)
        documents = [d for d in _documents(done.stdout) if "helm.sh/hook" in d["metadata"].get("annotations", {})]
        return {d["metadata"]["annotations"]["helm.sh/hook"] for d in documents}

    assert hooks() <= {"test"}
    assert "pre-delete" in hooks("--set=uninstall.enabled=true")


def test_each_rendering_of_the_docs_that_is_to_be_applied_is_for_a_namespace_and_without_hooks() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE | re.DOTALL)
    commands = [block.replace("\\\n", " ") for block in blocks if "> rendered.yaml" in block]
    assert len(commands) == 2
    for command in commands:
        assert "--no-hooks" in command
        assert "--namespace $NAMESPACE" in command


def test_the_migration_is_a_job_like_others_whose_name_changes_with_what_it_runs(helm: Path) -> None:
    names = []
    for more in ([], [], ["--set=jobs.image.tag=next"]):
        done = template(helm, f"--values={EXAMPLES / 'values.yaml'}", "--show-only=templates/migration.yaml", *more)
        (job,) = _documents(done.stdout)
        assert not [key for key in job["metadata"].get("annotations", {}) if "hook" in key]
        names.append(job["metadata"]["name"])
    assert names[0] == names[1] != names[2]


def test_the_migration_gives_up_only_where_that_is_asked_for(helm: Path) -> None:
    show = (f"--values={EXAMPLES / 'values.yaml'}", "--show-only=templates/migration.yaml")
    (job,) = _documents(template(helm, *show).stdout)
    # Restarts of the container count; in the worst case one each ten seconds.
    assert job["spec"]["backoffLimit"] * 10 > timedelta(days=90).total_seconds()
    assert "activeDeadlineSeconds" not in job["spec"]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    (job,) = _documents(
        template(helm, *show, "--set=migration.activeDeadlineSeconds=60,migration.backoffLimit=2").stdout
    )
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (2, 60)


def test_an_upgrade_migrates_again_once_the_job_before_has_ended_and_leaves_one_that_runs(
    helm: Path, namespace: Namespace
) -> None:
    def rendered(*arguments: str) -> dict[str, Any]:
        text = render_text(helm, namespace, {}, "--dry-run=server", "--set=crds.enabled=false", *arguments)
        (job,) = [d for d in _documents(text) if d["kind"] == "Job" and "-migrate-" in d["metadata"]["name"]]
        return job

    def ended(name: str) -> bool:
        return any(each["type"] == "Failed" for each in namespace.get("jobs", name)["status"].get("conditions", []))

    def apply(job: dict[str, Any], **more: Any) -> str:
        # As Helm marks what it installs.
        release = {"meta.helm.sh/release-name": "catchup-jobs", "meta.helm.sh/release-namespace": namespace.name}
        metadata = {**job["metadata"], "annotations": release}
        changed = {**job, "metadata": metadata, "spec": {**job["spec"], **more}}
        namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(changed))
        return str(metadata["name"])

    def run_to_its_end(job: dict[str, Any]) -> None:
        """Let the Job controller fail it: there is no node, and so no pod of it starts."""
        namespace.kubectl("delete", "job", job["metadata"]["name"])
        name = apply(job, activeDeadlineSeconds=1)
        eventually(lambda: ended(name))

    first = rendered("--is-upgrade")
    apply(first)
    assert rendered("--is-upgrade") == first
    run_to_its_end(first)
    assert rendered()["metadata"]["name"] == first["metadata"]["name"]  # of whoever only renders, the name stays
    second = rendered("--is-upgrade")
    assert second["metadata"]["name"] != first["metadata"]["name"]
    namespace.kubectl("delete", "job", first["metadata"]["name"])  # as Helm does
    apply(second)
    assert rendered("--is-upgrade") == second
    run_to_its_end(second)
    assert rendered("--is-upgrade")["metadata"]["name"] == first["metadata"]["name"]


HEALTH = {
    "new": (None, "Progressing"),
    "ready": ({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]}, "Healthy"),
    "an edit that was not seen": (
        {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]},
        "Progressing",
    ),
    "refused": (
        {
            "observedGeneration": 2,
            "conditions": [
                {"type": "SyncHealthy", "status": "True"},
                {"type": "Ready", "status": "False", "message": "quota"},
            ],
        },
        "Degraded",
    ),
    "uninstalled": (
        {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "Unknown", "message": "quota"}]},
        "Unknown",
    ),
}


@pytest.mark.parametrize("kind", ["UserSchedule", "SchedulePool"])
@pytest.mark.parametrize(("status", "health"), HEALTH.values(), ids=HEALTH)
def test_argo_cd_takes_the_health_of_our_resources_from_their_condition(
    status: dict[str, Any] | None, health: str, kind: str
) -> None:
    config = yaml.safe_load((EXAMPLES / "argocd-cm.yaml").read_text())
    script = config["data"][f"resource.customizations.health.catchup.dev_{kind}"]
    lua = lupa.LuaRuntime()
    body = {"metadata": {"name": "ada", "generation": 2}, **({"status": status} if status else {})}
    lua.globals()["obj"] = lua.table_from(body, recursive=True)
    found = lua.execute(script)
    assert found["status"] == health
    if health in {"Degraded", "Unknown"}:
        assert found["message"] == "quota"


def _documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def _objects(namespace: Namespace, stream: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(namespace.kubectl("get", "-o", "yaml", "-f", "-", stdin=stream))[
        "items"
    ]
    return found
