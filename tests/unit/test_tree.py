"""Rules of the tree that no other tool checks."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from catchup_contract.env import Env
from catchup_dev.dockerfile import used_files
from catchup_operator.options import VARIABLES

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"


def pins(name: str) -> dict[str, str]:
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    found = (re.match(r"([a-z0-9-]+)==([^ ;]+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize("source_root", ["contract", "operator", "jobs_image", "dev"])
def test_source_roots_are_no_packages(source_root: str) -> None:
    """An `operator/__init__.py` would shadow Python's own `operator` module."""
    assert not (ROOT / source_root / "__init__.py").exists()


def test_the_images_are_pinned_by_one_lock() -> None:
    everything = pins("dev")
    for image in ("operator", "jobs", "build"):
        assert pins(image).items() <= everything.items()


def test_neither_image_has_the_others_dependencies() -> None:
    assert not {"sqlalchemy", "redis", "google-api-python-client", "cryptography", "twilio"} & pins("operator").keys()
    # aiohttp comes with twilio.
    assert not {"kopf", "kubernetes"} & pins("jobs").keys()


def test_no_pod_carries_what_structlog_would_load_for_pretty_tracebacks() -> None:
    """`rich` costs each pod 40 ms and 10 MB as soon as it is installed; ours log no tracebacks."""
    assert "rich" not in pins("jobs")


def test_no_requirement_names_an_address() -> None:
    for file in REQUIREMENTS.iterdir():
        assert "://" not in file.read_text()


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in (schema.get("properties") or {}).items():
        yield from nodes(child, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from nodes(schema[name], f"{path}[]")


def mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from mappings(item)


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "crds").iterdir()), *sorted((ROOT / "examples").rglob("*.yaml"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_manifest_names_a_key_twice_or_merges_one_which_strict_parsers_refuse(path: Path) -> None:
    for document in yaml.compose_all(path.read_text(encoding="utf-8")):
        for mapping in mappings(document):
            keys = [key.value for key, _ in mapping.value]
            assert len(keys) == len(set(keys)), f"line {mapping.start_mark.line + 1}"
            assert "<<" not in keys, f"line {mapping.start_mark.line + 1}"


@pytest.fixture(params=sorted((ROOT / "crds").iterdir()), ids=lambda path: path.stem)
def definition(request: pytest.FixtureRequest) -> list[tuple[str, dict[str, Any]]]:
    document = yaml.safe_load(request.param.read_text())
    return list(nodes(document["spec"]["versions"][0]["schema"]["openAPIV3Schema"], ""))


def test_every_string_of_the_schema_is_bounded_and_every_list_and_map_too(
    definition: list[tuple[str, dict[str, Any]]],
) -> None:
    bounds = {"string": "maxLength", "array": "maxItems"}
    for path, schema in definition:
        if schema["type"] in bounds:
            assert bounds[schema["type"]] in schema, path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path


def test_every_field_of_spec_and_status_is_described(definition: list[tuple[str, dict[str, Any]]]) -> None:
    for path, schema in definition:
        if path.startswith((".spec", ".status")) and not path.endswith("[]"):
            assert schema.get("description", "").endswith("."), path


def test_every_field_of_the_spec_tells_its_default_or_an_example(definition: list[tuple[str, dict[str, Any]]]) -> None:
    for path, schema in definition:
        if path.startswith(".spec.") and schema["type"] != "object":
            assert re.search(r"Default:|Example:", schema["description"]), path


@pytest.mark.parametrize("image", ["operator", "jobs_image"])
def test_a_builder_is_sent_what_the_image_needs_and_little_else(image: str) -> None:
    admitted = [ROOT / line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    needed = used_files(ROOT / image / "Dockerfile", ROOT)
    assert len(needed) > 100
    assert [file for file in needed if not any(file.is_relative_to(path) for path in admitted)] == []
    assert [path for path in admitted if not any(file.is_relative_to(path) for file in needed)] == []


@pytest.mark.parametrize(
    ("source_root", "extras"), [("operator", ("operator", "kubeconfig")), ("jobs_image", ("jobs",))]
)
def test_what_is_imported_is_a_dependency_by_itself_and_not_by_another(
    source_root: str, extras: tuple[str, ...]
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        re.split(r"[\[<>=; ]", entry)[0].lower().replace("_", "-")
        for extra in extras
        for entry in project["optional-dependencies"][extra]
    }
    distributions = packages_distributions()
    missing = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in (ROOT / source_root).rglob("*.py")
        for name in imported(ast.parse(file.read_text()))
        if name not in sys.stdlib_module_names
        and not name.startswith("catchup_")
        and not {each.lower().replace("_", "-") for each in distributions[name]} & declared
    }
    assert missing == set()


def test_a_message_names_variables_that_there_are() -> None:
    """Messages, help and comments name them as text: a renamed one would live on there."""
    known = {*Env, *(name for name, _, _ in VARIABLES), *(f"{name}_" for name in ("CATCHUP_TWILIO", "CATCHUP_SMTP"))}
    for root in ("contract", "jobs_image", "operator"):
        for path in (ROOT / root).rglob("*.py"):
            named = set(re.findall(r"\bCATCHUP_[A-Z_]+", path.read_text(encoding="utf-8")))
            assert named - known == set(), path


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level modules that a module imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_no_module_has_more_than_300_lines() -> None:
    modules = [path for root in ("contract", "operator", "jobs_image", "dev") for path in (ROOT / root).rglob("*.py")]
    assert len(modules) > 300
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    assert {name: number for name, number in lines.items() if number > 300} == {}
