"""A namespace that leaves a release, by Helm's own hooks on a real node: one that fails, its repetition, an uninstall.

The release stands beside the one of the other tests, in a namespace of its own, and uses its definition. The servers of
its jobs are not there: no run is due.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from admission import apply_policy
from waiting import eventually

from catchup_dev import images
from catchup_dev.console import Console, Failure
from catchup_dev.stack import CHART, RELEASE, Stack, build_images

# The installation of the product's tests, and its cluster.
pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.release]

HOME, STAYS, LEAVES = "leaving", "leaving-stays", "leaving-leaves"


@pytest.fixture
def home(stack: Stack) -> Stack:
    found = Stack(stack.cluster, HOME)
    found.make_namespace()
    for name in (STAYS, LEAVES):
        stack.cluster.kubectl("create", "namespace", name)
    return found


def in_namespace(stack: Stack, namespace: str, *arguments: str, stdin: str | None = None) -> str:
    return stack.cluster.kubectl(f"--namespace={namespace}", *arguments, stdin=stdin)


def cronjobs(stack: Stack, namespace: str) -> list[str]:
    return in_namespace(stack, namespace, "get", "cronjobs", "-o", "name").split()


def schedule(stack: Stack, namespace: str) -> None:
    document = {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "metadata": {"name": "ada"},
        "spec": {"userId": namespace, "calendarSync": {"every": "24h"}},
    }
    in_namespace(stack, namespace, "apply", "-f", "-", stdin=json.dumps(document))
    in_namespace(stack, namespace, "wait", "--for=condition=Ready", "userschedule/ada", "--timeout=120s")


def may_delete(home: Stack) -> bool:
    try:
        in_namespace(home, LEAVES, "delete", "cronjobs", "--all", "--dry-run=server")
    except Failure as error:
        if "these are audited" in str(error):
            return False
        raise
    return True


def forbid_deletions(home: Stack) -> list[str]:
    """Let a policy deny the deletion of CronJobs in the namespace that leaves; return what takes it away."""
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["cronjobs"]}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": LEAVES}}}
    specs: dict[str, dict[str, Any]] = {
        "ValidatingAdmissionPolicy": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "these are audited"}],
        },
        "ValidatingAdmissionPolicyBinding": {
            "policyName": LEAVES,
            "validationActions": ["Deny"],
            "matchResources": here,
        },
    }
    made = apply_policy(home.cluster, LEAVES, specs)
    eventually(lambda: not may_delete(home), seconds=60)
    return made


def values_of(home: Stack, directory: Path) -> str:
    built = build_images(Console(quiet=True))
    for image in built.values():
        images.import_image(home.cluster, image)
    values: dict[str, Any] = home.values(built) | {
        "crds": {"enabled": False},
        "generateSecrets": False,
        **{server: {"existingSecret": "none"} for server in ("database", "redis", "encryption")},
        "toolbox": {"enabled": False},
        "metrics": {"enabled": False},
    }
    path = directory / "values.json"
    path.write_text(json.dumps(values))
    return f"--values={path}"


def test_a_hook_that_fails_is_run_again_by_the_next_upgrade_until_nothing_fires_in_the_namespace_that_leaves(
    home: Stack, tmp_path: Path
) -> None:
    values = values_of(home, tmp_path)

    def helm(verb: str, *served: str) -> str:
        names = f"--set=operator.namespaces={{{','.join(served)}}}"
        return home.helm(verb, RELEASE, str(CHART), values, names, "--timeout=5m")

    def operator_runs() -> None:
        home.kubectl("rollout", "status", f"deployment/{RELEASE}-operator", "--timeout=120s")

    helm("install", STAYS, LEAVES)
    operator_runs()
    for namespace in (STAYS, LEAVES):
        schedule(home, namespace)
    made = {namespace: cronjobs(home, namespace) for namespace in (STAYS, LEAVES)}
    assert [len(names) for names in made.values()] == [2, 2]

    # What the hook may not do in a namespace that is there, it does not take for done.
    denial = forbid_deletions(home)
    with pytest.raises(Failure):
        helm("upgrade", STAYS)
    said = home.kubectl("logs", f"job/{RELEASE}-leave")
    assert "CronJobs may go on where a permission is missing or a deletion is refused" in said
    assert f"{LEAVES}: " in said
    assert cronjobs(home, LEAVES) == made[LEAVES]
    assert home.kubectl("get", "deployment", f"{RELEASE}-operator", "--ignore-not-found") == ""

    # The Deployment is gone, and still the next upgrade knows what leaves.
    home.cluster.kubectl("delete", *denial)
    eventually(lambda: may_delete(home), seconds=60)  # the server forgets the policy a moment later
    helm("upgrade", STAYS)
    assert cronjobs(home, LEAVES) == []
    in_namespace(home, LEAVES, "wait", "--for=condition=Ready=Unknown", "userschedule/ada", "--timeout=10s")
    assert RELEASE not in in_namespace(home, LEAVES, "get", "roles,rolebindings", "-o", "name")
    assert home.kubectl("get", f"job/{RELEASE}-leave", "--ignore-not-found") == ""
    operator_runs()
    assert cronjobs(home, STAYS) == made[STAYS]
    in_namespace(home, STAYS, "delete", made[STAYS][0])
    eventually(lambda: cronjobs(home, STAYS) == made[STAYS], seconds=60)  # served on

    home.helm("uninstall", RELEASE, "--timeout=5m")
    assert cronjobs(home, STAYS) == []
