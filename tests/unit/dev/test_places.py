"""Where the demo goes: what was asked for, where it is already, or what can be used without being asked for."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING

import pytest

from catchup_dev import own_cluster, places
from catchup_dev.console import Console, Failure
from catchup_dev.own_cluster import OwnCluster

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """A machine of somebody who is not root; the set has its programs."""
    programs: set[str] = set()
    monkeypatch.setattr("shutil.which", lambda name: name if name in programs else None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(places, "_NOTE", tmp_path / "place.json")
    monkeypatch.setattr(own_cluster, "context_of", lambda kind: f"context of {kind}")
    return programs


def picked(cluster: str | None = None) -> str:
    out = io.StringIO()
    places.pick(cluster, registry="registry.example.com", values=None, console=Console(stream=out))
    return out.getvalue().strip()


def test_root_on_debian_gets_a_kubernetes_of_its_own(machine: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    machine |= {"apt-get", "kind"}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert picked() == "On a Kubernetes of its own on this machine (CLUSTER=local)."


def test_others_get_the_local_cluster_whose_tool_they_have(machine: set[str]) -> None:
    machine |= {"apt-get", "minikube", "k3d"}
    assert picked() == "On your cluster, the context context of minikube (CLUSTER=minikube)."


def test_the_current_context_is_used_only_when_it_is_asked_for(machine: set[str]) -> None:
    machine |= {"kubectl", "helm"}
    assert "CLUSTER=local" in picked()
    assert "CLUSTER=current" in picked("current")


def test_a_demo_that_is_on_a_cluster_is_ended_there_whatever_the_current_context_is_by_then(
    machine: set[str], tmp_path: Path
) -> None:
    (tmp_path / "place.json").write_text(json.dumps({"kind": "current", "context": "theirs"}))
    assert picked() == "On your cluster, the context theirs (CLUSTER=current)."


def test_a_demo_that_is_on_a_cluster_is_not_begun_on_another(machine: set[str], tmp_path: Path) -> None:
    (tmp_path / "place.json").write_text(json.dumps({"kind": "current", "context": "theirs"}))
    place = places.pick("current", registry="registry.example.com", values=None, console=Console(quiet=True))
    with pytest.raises(Failure, match="the context theirs"):
        place.prepare(print)


class TheirCluster:
    """A cluster on which the demo's release made the definitions; keeps the commands that it is given."""

    context = "theirs"

    def __init__(self, directory: Path, namespaces: str) -> None:
        self.directory = directory
        self.namespaces = namespaces
        self.asked: list[str] = []

    def kubectl(self, *arguments: str, **_: object) -> str:
        self.asked.append(" ".join(arguments))
        if "get crd" in self.asked[-1]:
            notes = {"meta.helm.sh/release-namespace": "catchup-demo", "meta.helm.sh/release-name": "catchup-jobs"}
            return json.dumps({"metadata": {"annotations": notes}})
        return self.namespaces if "--all-namespaces" in arguments else ""

    def helm(self, *_: str) -> str:
        return ""

    definition_owner = OwnCluster.definition_owner
    delete_namespaces = OwnCluster.delete_namespaces
    namespaces_with_resources = OwnCluster.namespaces_with_resources


@pytest.mark.parametrize("namespaces", ["", "people people friends "])
def test_the_demo_takes_its_definitions_back_unless_somebody_else_has_resources_of_them(
    machine: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, namespaces: str
) -> None:
    cluster = TheirCluster(tmp_path, namespaces)
    monkeypatch.setattr(places, "OwnCluster", lambda _: cluster)
    monkeypatch.setattr(places, "OUTBOX", tmp_path / "outbox")
    told = io.StringIO()
    places.pick("current", registry=None, values=None, console=Console(stream=told)).down()
    deleted = any(command.startswith("delete crd userschedules.catchup.dev") for command in cluster.asked)
    assert deleted is (namespaces == "")
    assert ("The definitions stay" in told.getvalue() and "in friends, people." in told.getvalue()) is not deleted
    assert any(command.startswith("delete namespaces") for command in cluster.asked)
