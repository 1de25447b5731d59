"""What documents promise of the tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from catchup_jobs.cli import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS: tuple[str, ...] = (
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
)
_TOP = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
_VALUES: dict[str, Any] = yaml.safe_load((ROOT / "helm" / "catchup-jobs" / "values.yaml").read_text(encoding="utf-8"))
_VALUES_OF_OTHER_CHARTS = {"global.additionalLabels"}
_VALUE = re.compile(r"([a-z][A-Za-z]*)((?:\.[a-z][A-Za-z]*)+)")
# Helm's own commands take the chart's name as the release's.
_COMMAND = re.compile(
    r"(?<![\w/-])(?<!install )(?<!upgrade )(?<!template )catchup-jobs ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?"
)


def paths_in(text: str) -> set[str]:
    """Return the words in code spans that begin with a folder of the top level."""
    words = (word for code in _CODE.findall(text) for word in code.split())
    return {word.rstrip(",.") for word in words if word.partition("/")[0] in _TOP and "/" in word}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = {path for path in paths_in(text) if not any(sign in path for sign in "*{…")}
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_of_a_document_leads_to_a_file(name: str) -> None:
    links = _LINK.findall((ROOT / name).read_text(encoding="utf-8"))
    assert sorted(link for link in links if not ((ROOT / name).parent / link).exists()) == []


def is_value(path: list[str]) -> bool:
    """Return whether the chart has such a value; what is below an empty mapping is the user's."""
    found: Any = _VALUES
    for name in path:
        if found == {}:
            return True
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_value_of_the_chart_that_a_document_names_exists(name: str) -> None:
    codes = _CODE.findall((ROOT / name).read_text(encoding="utf-8"))
    words = (match for code in codes for word in code.split() if (match := _VALUE.fullmatch(word)))
    named = {word[0] for word in words if word[1] in _VALUES} - _VALUES_OF_OTHER_CHARTS
    assert sorted(word for word in named if not is_value(word.split("."))) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_a_document_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    code = "\n".join((*_CODE.findall(text), *re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)))
    unknown = set()
    for first, second in _COMMAND.findall(code):
        command = cli.get_command(click.Context(cli), first)
        if command is None or (second and isinstance(command, click.Group) and second not in command.commands):
            unknown.add(f"{first} {second}".strip())
    assert sorted(unknown) == []


def test_the_recipes_name_paths() -> None:
    assert len(paths_in((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))) > 20


_NEW_METRIC = re.compile(r"""(?:_?gauge|_labelled|_timestamp|_family)\(\s*"([a-z_]+)"|f"\{_?PREFIX\}([a-z_]+)\"""")


def test_every_metric_is_in_the_tables_of_the_operations_page() -> None:
    rows = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    exporter = sorted((ROOT / "jobs_image/catchup_jobs/adapters/exporter").glob("*.py"))
    operator = [ROOT / "operator/catchup_operator" / name for name in ("instruments.py", "ops/metrics.py")]
    for prefix, sources in (("catchup_", exporter), ("catchup_operator_", operator)):
        found = [match for path in sources for match in _NEW_METRIC.findall(path.read_text(encoding="utf-8"))]
        names = {prefix + (one or other) for one, other in found}
        assert len(names) > 10
        assert sorted(name for name in names if not re.search(rf"`{name}(_total|_count)?[`{{]", rows)) == []


def test_the_hooks_run_what_make_lint_runs() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlint: venv")[2].partition("\n\n")[0]
    lint = {line.strip().replace("$(BIN)/", "") for line in recipe.splitlines()[1:]}
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert {entry.removeprefix(".venv/bin/") for entry in re.findall(r"entry: ([^,]+),", hooks)} == lint
