"""From the chart and images of an earlier commit to the working tree's, back, away and in again, with users alive.

The release stands beside the one of the other tests, in a namespace of its own, and uses its definition.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import audit
import pytest
import yaml
from e2e.test_product import schedule
from waiting import eventually

from catchup_dev import images
from catchup_dev.console import Console
from catchup_dev.stack import CHART, RELEASE, Stack, build_images

# The installation of the product's tests, and its cluster.
pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.release]

ROOT = Path(__file__).parents[2]
NAMESPACE = "upgrades"
SLOT = 29_401_200
# Suspended: of a user's runs that succeeded only the latest is kept, which a run by the clock would be.
STILL = "still"
USERS = ("before", "after", "back")


def address_of(user: str) -> str:
    return f"{user}@example.com"


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the last tag, or of the commit before this one where nothing was released."""
    tags = git("tag", "--merged", "HEAD~1", "--sort=-version:refname", "v*").split()
    tree = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run(
        ["git", "archive", tags[0] if tags else "HEAD~1"], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x"], cwd=tree, input=archive.stdout, check=True)
    return tree


def images_of(tree: Path) -> dict[str, images.Image]:
    built = {}
    for name in ("operator", "jobs"):
        dockerfile = tree / images.KNOWN[name][0].relative_to(ROOT)
        # Of a commit whose images were built on a base with pip.
        own = (
            {} if "ARG BUILD_IMAGE" in dockerfile.read_text() else {"BASE_IMAGE": images.known_image("build").reference}
        )
        built[name] = images.build_image(name, dockerfile, tree, own)
    return built


@dataclass
class Upgraded:
    """The second release, and what its users have had so far."""

    stack: Stack
    values: Path
    image: str  # of the working tree's jobs; the earlier one's where nothing in it changed

    def run(self, user: str, kind: str) -> dict[str, Any]:
        """Start a run by hand, and return the status when it tells of it."""
        return self.stack.follow(user, self.stack.trigger(user, kind), kind)

    def run_slot(self, user: str, kind: str, slot: int) -> dict[str, Any]:
        """Start the Job that the CronJob controller would make for a slot."""
        job = f"{self.stack.cronjob_of(user, kind)}-{slot}"
        self.stack.kubectl("delete", "job", job, "--ignore-not-found", "--wait")
        before = self.stack.get("us", user)["status"][kind].get("lastRunTime")
        self.stack.kubectl("create", "job", job, f"--from=cronjob/{self.stack.cronjob_of(user, kind)}")

        def told() -> dict[str, Any] | None:
            status: dict[str, Any] = self.stack.get("us", user)["status"][kind]
            return status if status.get("lastJobName") == job and status.get("lastRunTime") != before else None

        return eventually(told, seconds=120)

    def messages(self) -> dict[str, int]:
        files = self.stack.stand_ins.outbox.glob("*.eml")
        sent = [message_from_bytes(file.read_bytes(), policy=policy.default)["To"] for file in files]
        return {user: sent.count(address_of(user)) for user in USERS}

    def cronjobs(self) -> dict[str, str]:
        """Name and uid of each CronJob of a user: a Job of a slot has its name from the first."""
        selector = "app.kubernetes.io/managed-by=catchup-operator"
        items = self.stack.get("cronjobs", "-l", selector)["items"]
        return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}

    def servers(self) -> dict[str, tuple[str, int]]:
        """Uid and restarts of the pods of PostgreSQL and Redis."""
        found = {}
        for component in ("postgresql", "redis"):
            (pod,) = self.stack.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
            restarts = pod["status"]["containerStatuses"][0]["restartCount"]
            found[component] = (pod["metadata"]["uid"], restarts)
        return found

    def roles(self) -> dict[str, dict[str, Any]]:
        """The release's Roles, those of its hooks too."""
        texts = (self.stack.helm("get", what, RELEASE) for what in ("manifest", "hooks"))
        documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
        return {each["metadata"]["name"]: each for each in documents if each["kind"] == "Role"}

    def images(self) -> set[str]:
        items = self.stack.get("cronjobs", "-l", "app.kubernetes.io/managed-by=catchup-operator")["items"]
        pods = [item["spec"]["jobTemplate"]["spec"]["template"]["spec"] for item in items]
        return {pod["containers"][0]["image"] for pod in pods}


@pytest.fixture(scope="module")
def upgraded(stack: Stack, earlier: Path, tmp_path_factory: pytest.TempPathFactory) -> Upgraded:
    """The earlier chart with the earlier images, and three users who are due a digest today."""
    second = Stack(stack.cluster, NAMESPACE)
    now = build_images(Console(quiet=True))
    then = now | images_of(earlier)
    values: dict[str, Path] = {}
    second.make_namespace()
    for name, chosen in {"now": now, "then": then}.items():
        for image in chosen.values():
            images.import_image(stack.cluster, image)
        values[name] = tmp_path_factory.mktemp("values") / f"{name}.json"
        values[name].write_text(json.dumps({**second.values(chosen), "crds": {"enabled": False}}))
    made = Upgraded(second, values["now"], now["jobs"].reference)
    second.helm(
        "install", RELEASE, str(earlier / CHART.relative_to(ROOT)), f"--values={values['then']}", "--timeout=4m"
    )
    second.wait_for_operator()
    for user in (*USERS, STILL):
        entry = {
            "id": user,
            "name": user,
            "timeZone": "Europe/Berlin",
            "digest": {"day": "Daily", "time": "07:30"},
            # By email, which has no quiet hours.
            "channels": {"email": {"address": address_of(user), "mode": "on"}},
            "contacts": [{"id": "noor", "name": "Noor", "frequency": "weekly", "createdAt": "2025-01-10T10:00:00Z"}],
        }
        account = address_of(user)
        second.google.add_user(account, "Europe/Berlin")
        second.catchup_jobs("user", "import", "-", stdin=json.dumps(entry))
        token = json.dumps(second.google.grant(account, client_id="catchup-demo"))
        second.catchup_jobs("calendar", "connect", user, "--token-file", "-", stdin=token)
        spec = {"timeZone": "Europe/Berlin", "digest": {"day": "Daily", "time": "07:30"}}
        schedule(second, user, **spec, suspend=user == STILL)
    for user in USERS:
        assert made.run(user, "sync")["lastResult"] == "Succeeded"
    second.kubectl("create", "job", "fleet", f"--from=cronjob/{RELEASE}-suggestions")
    second.kubectl("wait", "--for=condition=Complete", "job/fleet", "--timeout=120s")
    return made


def test_no_digest_is_lost_or_doubled_by_an_upgrade_a_rollback_and_a_new_installation(
    stack: Stack, upgraded: Upgraded, tmp_path: Path
) -> None:
    second = upgraded.stack
    first = upgraded.run("before", "digest")
    assert first.get("counts", {}).get("emailsSent") == 1, first
    assert upgraded.run_slot(STILL, "sync", SLOT)["lastResult"] == "Succeeded"
    made, old_images = upgraded.cronjobs(), upgraded.images()

    second.helm("upgrade", RELEASE, str(CHART), f"--values={upgraded.values}", "--timeout=4m")
    second.wait_for_operator()
    eventually(lambda: upgraded.images() == {upgraded.image}, seconds=60)
    assert upgraded.cronjobs() == made
    assert upgraded.run("before", "digest")["lastReason"] == "AlreadyDone"
    assert upgraded.run_slot(STILL, "sync", SLOT)["lastReason"] == "AlreadyDone"
    assert upgraded.run("after", "digest")["counts"]["emailsSent"] == 1

    bumped = tmp_path / "chart"
    subprocess.run(["cp", "-r", str(CHART), str(bumped)], check=True)
    about = yaml.safe_load((bumped / "Chart.yaml").read_text())
    (bumped / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "9.9.9", "appVersion": "9.9.9"}))
    servers = upgraded.servers()
    second.helm("upgrade", RELEASE, str(bumped), f"--values={upgraded.values}", "--timeout=4m")
    second.wait_for_operator()
    assert upgraded.servers() == servers

    second.helm("rollback", RELEASE, "1", "--timeout=4m")
    second.wait_for_operator()
    eventually(lambda: upgraded.images() == old_images, seconds=60)
    assert upgraded.cronjobs() == made
    for user in ("before", "after"):
        assert upgraded.run(user, "digest")["lastReason"] == "AlreadyDone"
    assert upgraded.run("back", "digest")["counts"]["emailsSent"] == 1

    pool = {"apiVersion": "catchup.dev/v1alpha1", "kind": "SchedulePool", "metadata": {"name": "people"}}
    second.kubectl("apply", "-f", "-", stdin=json.dumps({**pool, "spec": {"members": "Database"}}))
    second.kubectl("wait", "--for=condition=Ready", "schedulepool/people", "--timeout=60s")
    roles = upgraded.roles()
    second.helm("uninstall", RELEASE, "--timeout=3m")
    assert upgraded.cronjobs() == {}
    for resource in ("schedulepool/people", "userschedule/before"):
        second.kubectl("wait", "--for=condition=Ready=Unknown", resource, "--timeout=10s")
    second.kubectl("delete", "schedulepool", "people")
    for account in ("operator", "prepare-uninstall"):
        requests = audit.requests_of(stack.cluster, NAMESPACE, f"{RELEASE}-{account}")
        granted = audit.rights_granted(role for name, role in roles.items() if account in name)
        assert audit.refused(requests) == []
        # What the operator needs when something is wrong, a test of its permissions reaches.
        assert audit.rights_used(requests) <= granted
        assert account == "operator" or audit.rights_used(requests) == granted
    second.helm("install", RELEASE, str(CHART), f"--values={upgraded.values}", "--timeout=4m")
    second.wait_for_operator()
    eventually(lambda: upgraded.cronjobs().keys() == made.keys(), seconds=60)
    for user in USERS:
        assert upgraded.run(user, "digest")["lastReason"] == "AlreadyDone"
    assert upgraded.run_slot(STILL, "sync", SLOT)["lastReason"] == "AlreadyDone"
    assert upgraded.messages() == dict.fromkeys(USERS, 1)


def test_two_releases_of_one_name_stand_beside_each_other_with_one_definition(stack: Stack, upgraded: Upgraded) -> None:
    selector = f"app.kubernetes.io/instance={RELEASE}"
    kinds = "priorityclasses,clusterroles,clusterrolebindings,customresourcedefinitions"
    owners: dict[str, set[str]] = {}
    for item in json.loads(stack.cluster.kubectl("get", kinds, "-l", selector, "--output=json"))["items"]:
        owner = item["metadata"]["annotations"]["meta.helm.sh/release-namespace"]
        owners.setdefault(owner, set()).add(f"{item['kind']}/{item['metadata']['name']}")
    definition = "CustomResourceDefinition/userschedules.catchup.dev"
    assert definition in owners[stack.namespace]
    assert definition not in owners[NAMESPACE]
    assert len(owners[NAMESPACE]) >= 3
    for installation in (stack, upgraded.stack):
        assert installation.helm("test", RELEASE)
        schedule(installation, "beside", userId=f"beside-{installation.namespace}")
        installation.kubectl("wait", "--for=condition=Ready", "userschedule/beside", "--timeout=60s")
        served = installation.get("us", "beside")["status"]["servedBy"]
        assert served == f"{installation.namespace}/{RELEASE}"
