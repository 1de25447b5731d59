"""How images come to a cluster of the user's: by the command lines of the tools, which are recorded."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from catchup_dev import delivery, images
from catchup_dev.console import Console, Failure
from catchup_dev.own_cluster import context_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_RECORDING = '#!/bin/sh\necho "$(basename "$0") $*" >> {calls}\n{more}\n'
CONTEXTS = "kind-kind\nminikube\nk3d-k3s-default\nproduction\n"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], list[str]]]:
    """Put programs in PATH, and no others, that record their calls; returns what reads them."""
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("shutil.which", lambda name: str(tmp_path / name) if (tmp_path / name).exists() else None)
    monkeypatch.setattr(images, "tag_of", lambda *_: "0123")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    def put(*names: str, **more: str) -> Callable[[], list[str]]:
        for name in (*names, *more):
            program = tmp_path / name
            program.write_text(_RECORDING.format(calls=calls, more=more.get(name, "")))
            program.chmod(0o755)
        return lambda: re.sub(r"\S*/catchup-context-\S+", "CONTEXT", calls.read_text()).splitlines()

    return put


def built(tool: str, prefix: str) -> list[str]:
    return [
        f"{tool} --file {dockerfile} --tag {prefix}/catchup-{name}:0123 CONTEXT"
        for name, (dockerfile, _) in delivery.IMAGES.items()
    ]


@pytest.mark.parametrize(
    ("kind", "context", "line"),
    [
        ("kind", "kind-kind", "kind load docker-image {image} --name kind"),
        ("minikube", "minikube", "minikube --profile minikube image load {image}"),
        ("k3d", "k3d-k3s-default", "k3d image import {image} --cluster k3s-default"),
    ],
)
def test_images_are_built_by_docker_and_loaded_by_the_clusters_tool(
    tools: Callable[..., Callable[[], list[str]]], kind: str, context: str, line: str
) -> None:
    calls = tools("docker", "kind", "minikube", "k3d")
    names = delivery.deliver(kind, context, None, Console(quiet=True))
    expected = built("docker build", "catchup.local")
    loaded = [line.format(image=name) for name in names.values()]
    assert calls() == ["docker info", *(call for pair in zip(expected, loaded, strict=True) for call in pair)]


@pytest.mark.parametrize(
    ("tool", "registry", "push"),
    [
        ("docker", "registry.example.com/team", "docker push"),
        ("podman", "registry.example.com/team", "podman push"),
        ("podman", "http://registry.example.com/team", "podman push --tls-verify=false"),
        ("buildah", "registry.example.com/team", "buildah push"),
    ],
)
def test_for_the_current_context_images_are_pushed_to_the_registry(
    tools: Callable[..., Callable[[], list[str]]], tool: str, registry: str, push: str
) -> None:
    calls = tools(tool)
    names = delivery.deliver("current", "production", registry, Console(quiet=True))
    assert names["jobs"] == "registry.example.com/team/catchup-jobs:0123"
    assert [call for call in calls() if " push" in call] == [f"{push} {name}" for name in names.values()]
    built_by = f"{tool} {'bud' if tool == 'buildah' else 'build'}"
    assert [call for call in calls() if call.startswith(built_by)] == built(built_by, "registry.example.com/team")


def test_a_docker_without_its_daemon_is_passed_over(tools: Callable[..., Callable[[], list[str]]]) -> None:
    tools("podman", docker="exit 1")
    assert delivery.builder() == "podman"


def test_images_of_podman_come_to_kind_as_an_archive(tools: Callable[..., Callable[[], list[str]]]) -> None:
    calls = tools("podman", "kind")
    names = delivery.deliver("kind", "kind-kind", None, Console(quiet=True))
    archives = [call.split()[3].split(":")[1] for call in calls() if call.startswith("podman push")]
    assert [call for call in calls() if call.startswith("kind ")] == [
        f"kind load image-archive {archive} --name kind" for archive in archives
    ]
    assert len(archives) == len(names)


def test_without_a_registry_the_current_context_is_refused_before_anything_is_built(
    tools: Callable[..., Callable[[], list[str]]],
) -> None:
    calls = tools("docker")
    with pytest.raises(Failure, match="must pull the images") as failed:
        delivery.deliver("current", "production", None, Console(quiet=True))
    assert "REGISTRY=" in str(failed.value)
    assert calls() == []


def test_without_a_builder_it_says_what_to_install(tools: Callable[..., Callable[[], list[str]]]) -> None:
    tools()
    with pytest.raises(Failure, match="docker, podman, buildah"):
        delivery.builder()


def test_the_context_is_the_one_that_the_clusters_tool_makes(
    tools: Callable[..., Callable[[], list[str]]],
) -> None:
    answer = f'case "$*" in *current-context) echo production;; *) printf "{CONTEXTS}";; esac'.replace("\n", "\\n")
    tools("helm", kubectl=answer)
    assert context_of("current") == "production"
    assert [context_of(kind) for kind in ("kind", "minikube", "k3d")] == ["kind-kind", "minikube", "k3d-k3s-default"]


def test_a_context_that_is_not_there_is_told(tools: Callable[..., Callable[[], list[str]]]) -> None:
    tools("helm", kubectl="echo production")
    with pytest.raises(Failure, match="none of kind's contexts"):
        context_of("kind")
