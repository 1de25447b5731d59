"""The chart's migration where its Secret comes late, and with a wrong password first: no Helm, no second look."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import pytest
from waiting import eventually

from catchup_contract.outcomes import ExitCode
from catchup_dev.console import Console
from catchup_dev.stack import CHART, RELEASE, Stack, build_images

pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.release]

NAMESPACE: Final = "late"


def secret(name: str, **entries: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": entries})


def test_a_migration_waits_for_a_late_secret_and_takes_a_corrected_one_in_the_same_job(stack: Stack) -> None:
    late = Stack(stack.cluster, NAMESPACE)
    late.make_namespace()
    address = stack.get("secret", f"{RELEASE}-database")["data"]["url"]
    right = base64.b64decode(address).decode().rpartition("/")[0] + f"/{NAMESPACE}"
    before, _, host = right.partition("@")
    wrong = f"{before}-wrong@{host}"
    psql = 'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U catchup -d catchup -c "CREATE DATABASE late"'
    stack.kubectl("exec", f"statefulset/{RELEASE}-postgresql", "--", "sh", "-c", psql)
    values = late.write_values(late.values(build_images(Console(quiet=True))) | {"generateSecrets": False})
    names = "database.existingSecret=database,redis.existingSecret=rest,encryption.existingSecret=rest"
    show = ("--show-only=templates/migration.yaml", f"--values={values}", f"--set={names}")
    late.kubectl("apply", "-f", "-", stdin=late.helm("template", RELEASE, str(CHART), *show))

    def container() -> dict[str, Any]:
        (pod,) = late.get("pods", "-l", "app.kubernetes.io/component=migration")["items"]
        (found,) = pod["status"]["containerStatuses"]
        return {**found, "pod": pod["metadata"]["uid"]}

    def waits() -> dict[str, Any] | None:
        found = container()
        return found if found["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError" else None

    waiting = eventually(waits)
    late.kubectl("apply", "-f", "-", stdin=secret("rest", url="redis://nobody:6379/0", keys="A" * 43 + "="))
    late.kubectl("apply", "-f", "-", stdin=secret("database", url=wrong))
    codes = eventually(lambda: container()["lastState"].get("terminated"))
    assert codes["exitCode"] == ExitCode.MISCONFIGURED
    late.kubectl("apply", "-f", "-", stdin=secret("database", url=right))
    late.kubectl("wait", "--for=condition=Complete", "job", "--all", "--timeout=240s")
    assert container()["pod"] == waiting["pod"]
    assert "migrated from revision 0000" in late.kubectl("logs", "-l", "app.kubernetes.io/component=migration")
