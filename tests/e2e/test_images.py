"""The product's images: built twice they are the same, they name what they are, and hold nothing that installs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from catchup_dev import emulation, images, oci_archive, sbom
from catchup_dev.console import Console

# Builds take turns.
pytestmark = [pytest.mark.xdist_group("images"), pytest.mark.release]

ROOT = Path(__file__).parents[2]
LOCKS = {"operator": "operator.txt", "jobs": "jobs.txt"}
_PINNED = re.compile(r"^(\S+==[^\\]+?)\s*\\?$", re.MULTILINE)
_DPKG = "var/lib/dpkg/status"


@pytest.mark.parametrize("name", LOCKS)
def test_two_builds_have_one_digest(name: str, tmp_path: Path) -> None:
    dockerfile, context = images.KNOWN[name]
    again = images.build_image(name, dockerfile, context, again_into=tmp_path)
    assert again.digest() == images.known_image(name).digest()


@pytest.mark.skipif("CATCHUP_ARM64" not in os.environ, reason="make test-arm64 runs it: minutes of emulation")
def test_an_image_for_arm64_starts_under_emulation() -> None:
    emulation.ensure("arm64", Console(quiet=True))
    image = images.known_image("jobs", architecture="arm64")
    assert oci_archive.config(image.archive)["architecture"] == "arm64"
    images.copy_as(image, "localhost/catchup/try:arm64")
    buildah = images.buildah_command()
    container = _said(*buildah, "from", "--pull-never", "--arch=arm64", "localhost/catchup/try:arm64").strip()
    try:
        inside = [*buildah, "run", "--isolation=chroot", container, "--"]
        assert _said(*inside, "uname", "-m").strip() == "aarch64"
        assert "sync" in _said(*inside, "catchup-jobs", "--help")
        parts = "import cryptography.fernet, psycopg, pydantic_core; print(psycopg.pq.__impl__)"
        assert _said(*inside, "python3", "-c", parts).strip() == "binary", "compiled parts are those of this processor"
    finally:
        _said(*buildah, "rm", container)


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


@pytest.mark.parametrize("name", LOCKS)
def test_the_labels_name_the_image_its_version_and_its_base(name: str) -> None:
    base = images.base()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((ROOT / "helm/catchup-jobs/Chart.yaml").read_text())
    labels = images.known_image(name).labels()
    told = {key.removeprefix("org.opencontainers.image."): value for key, value in labels.items()}
    assert told.pop("description")
    assert told.pop("revision") == "", "a build of the working tree has no revision"
    assert told == {
        "title": {"operator": "catchup-operator", "jobs": "catchup-jobs"}[name],
        "version": project["version"],
        "base.name": base.reference,
        "base.digest": base.digest(),
    }
    assert chart["appVersion"] == project["version"]


@pytest.mark.parametrize("name", LOCKS)
def test_nothing_in_an_image_installs_anything_but_debians_own(name: str) -> None:
    installers = {"pip", "setuptools", "ensurepip", "uv", "wheel", "hatchling", "python-wheels"}
    paths = oci_archive.files(images.known_image(name).archive, lambda path: bool(installers & set(path.split("/"))))
    assert sorted(paths) == []


@pytest.mark.parametrize("name", LOCKS)
def test_no_compiled_file_depends_on_a_time(name: str) -> None:
    """The second word of its header is 1 for a hash of the source that nobody checks (PEP 552)."""
    compiled = oci_archive.files(images.known_image(name).archive, lambda path: path.startswith("opt/venv/"))
    pyc = {path: int.from_bytes(content[4:8], "little") for path, content in compiled.items() if path.endswith(".pyc")}
    assert len(pyc) > 100
    assert set(pyc.values()) == {1}
    sources = {path for path in compiled if path.endswith(".py") and "/site-packages/" in path}
    assert {re.sub(r"__pycache__/(.+)\.cpython-\d+\.pyc$", r"\1.py", path) for path in pyc} >= {
        path for path in sources if path.startswith("opt/venv/lib") and "/catchup_" in path
    }


@pytest.mark.parametrize("name", LOCKS)
def test_the_bill_of_materials_lists_the_lock_and_debians_packages(name: str, tmp_path: Path) -> None:
    bill = json.loads(sbom.write(name, tmp_path).read_text())
    listed = {(c["purl"].split("/")[0], c["name"].lower().replace("_", "-"), c["version"]) for c in bill["components"]}
    image = images.known_image(name)
    assert bill["metadata"]["component"]["purl"] == f"pkg:oci/catchup-{name}@{image.digest()}"

    lock = (ROOT / "requirements" / LOCKS[name]).read_text()
    pinned = [Requirement(line) for line in _PINNED.findall(lock)]
    here = {"python_version": "3.11", "python_full_version": "3.11.2", "extra": ""}
    wanted = {
        ("pkg:pypi", each.name, str(each.specifier).removeprefix("=="))
        for each in pinned
        if each.marker is None or each.marker.evaluate(here)
    }
    assert {entry for entry in listed if entry[0] == "pkg:pypi"} - wanted == {("pkg:pypi", "catchup-jobs", "0.1.0")}
    assert wanted - listed == set()

    (tmp_path / "status").write_bytes(oci_archive.files(image.archive, lambda path: path == _DPKG)[_DPKG])
    query = ["dpkg-query", f"--admindir={tmp_path}", "--show", "--showformat=${Package} ${Version}\n"]
    (tmp_path / "info").mkdir()
    told = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {f"{entry[1]} {entry[2]}" for entry in listed if entry[0] == "pkg:deb"} == set(told)


def test_a_bill_of_materials_is_the_same_when_it_is_written_again(tmp_path: Path) -> None:
    first = sbom.write("operator", tmp_path).read_text()
    assert sbom.write("operator", tmp_path).read_text() == first
