"""A command that cannot work says why in one line, at once, and exits with a code that says who must act."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from catchup_contract.outcomes import ExitCode

FORECAST, UNINSTALL = ["forecast"], ["prepare-uninstall", "-A", "--deployment", "people/operator"]
CA_OF_NOBODY = {"certificate-authority-data": "bm90IGEgY2VydGlmaWNhdGU="}


def kubeconfig(**cluster: str) -> str:
    cluster = {"server": "https://127.0.0.1:1", **cluster}
    context = {"name": "one", "context": {"cluster": "one", "user": "me"}}
    document: dict[str, Any] = {"current-context": "one", "contexts": [context]}
    document |= {"clusters": [{"name": "one", "cluster": cluster}], "users": [{"name": "me", "user": {"token": "x"}}]}
    return yaml.safe_dump(document)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which the operator would start, except that there is no API server."""
    (tmp_path / "template.yaml").write_text("image: catchup-jobs:test\n")
    (tmp_path / "kubeconfig").write_text(kubeconfig())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "CATCHUP_"))}
    files = {"KUBECONFIG": "kubeconfig", "CATCHUP_JOB_TEMPLATE_FILE": "template.yaml"}
    return kept | {name: str(tmp_path / file) for name, file in files.items()}


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).parent / "catchup-operator")
    return subprocess.run([program, *arguments], env=env, capture_output=True, text=True, timeout=50, check=False)


def told(env: dict[str, str], *arguments: str, code: ExitCode = ExitCode.MISCONFIGURED) -> str:
    """Return the one line that is printed before the exit."""
    done = run(env, *arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("catchup-operator: ")
    return line


@pytest.mark.parametrize("arguments", [["run"], FORECAST, UNINSTALL], ids=" ".join)
def test_without_a_kubeconfig_every_command_says_which_file_it_looked_for_and_what_to_set(
    env: dict[str, str], arguments: list[str]
) -> None:
    env["KUBECONFIG"] += "-of-nobody"
    line = told(env, *arguments)
    assert f"the kubeconfig {env['KUBECONFIG']} cannot be used: FileNotFoundError: no such file" in line
    assert "set KUBECONFIG to a file with which kubectl reaches the cluster" in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (kubeconfig(**CA_OF_NOBODY), "the certificates for https://127.0.0.1:1 cannot be used"),
        ("clusters: [\n", "ParserError"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_with_what_is_wrong(
    env: dict[str, str], content: str, says: str
) -> None:
    Path(env["KUBECONFIG"]).write_text(content)
    assert says in told(env, "run")


def test_a_health_port_that_is_taken_is_named(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = told({**env, "CATCHUP_HEALTH_PORT": str(port)}, "run")
    assert f"CATCHUP_HEALTH_PORT: port {port} cannot be used (Address already in use)" in line


def test_a_job_template_that_is_not_there_is_named(env: dict[str, str]) -> None:
    Path(env["CATCHUP_JOB_TEMPLATE_FILE"]).unlink()
    assert env["CATCHUP_JOB_TEMPLATE_FILE"] in told(env, "run")


def test_a_job_template_that_no_api_server_takes_is_told_with_the_path_of_the_value(env: dict[str, str]) -> None:
    Path(env["CATCHUP_JOB_TEMPLATE_FILE"]).write_text("image: x\nenv: [{name: A, value: 5}]\n")
    line = told(env, "run")
    assert f"the job template {env['CATCHUP_JOB_TEMPLATE_FILE']}: env[0].value must be a string" in line
    assert line.endswith("; put it in quotes")


@pytest.mark.parametrize("deployment", ["operator", "/operator", "people/"])
def test_a_deployment_without_its_namespace_is_refused_before_anything_is_stopped(
    env: dict[str, str], deployment: str
) -> None:
    done = run(env, "prepare-uninstall", "-A", "--deployment", deployment)
    assert done.returncode == 2
    assert "--deployment takes NAMESPACE/NAME" in done.stderr


@pytest.mark.parametrize("arguments", [FORECAST, UNINSTALL], ids=" ".join)
def test_an_api_server_that_does_not_answer_is_told_in_a_line_too_and_as_temporary(
    env: dict[str, str], arguments: list[str]
) -> None:
    line = told(env, *arguments, code=ExitCode.TEMPORARY)
    assert "the API server does not answer; see that it runs and can be reached from here: " in line
    assert "127.0.0.1:1" in line
