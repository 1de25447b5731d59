"""The chart README's table and values.schema.json, made from the `# --` comments and defaults of values.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.generate.pod_schema import definitions
from catchup_dev.generate.value_rules import RULES

CHART: Final = CHECKOUT / "helm" / "catchup-jobs"
VALUES: Final = CHART / "values.yaml"

_MARK: Final = "# -- "
_TYPES: Final = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object", type(None): "null"}
_HEADER: Final = """# The chart `catchup-jobs`

Installs the operator, the UserSchedule definition, the CronJob that plans suggestions and the database migration.
`database.existingSecret`, `redis.existingSecret` and `encryption.existingSecret` name what it works with;
`docs/operations.md` says what else to set for production. For trying out, `generateSecrets=true` brings one pod each of
Redis and PostgreSQL, and makes their passwords and the encryption key. They are looked up and kept at an upgrade, and
stay when the release is uninstalled.

The values of `global` hold for every pod. A component (`operator`, `jobs`, `postgresql`, `redis`) has the same values
for its own: `operator` also for the hook that prepares an uninstall, `jobs` also for suggestions, toolbox, migration,
test and the exporter of metrics.

| value | default | what it is |
|---|---|---|
"""


@dataclass(frozen=True)
class Value:
    """A documented value: its path, e.g. `operator.image.tag`, its default and its description."""

    path: str
    default: Any
    description: str


def values(text: str) -> Iterator[Value]:
    """Yield the values that have a `# --` comment above them.

    Raises:
        ValueError: a value has neither a comment nor values below it.
    """
    root = yaml.compose(text)
    if isinstance(root, yaml.MappingNode):
        yield from _walk(root, text.splitlines(), "")


def _walk(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Value]:
    for key, value in node.value:
        path = f"{prefix}{key.value}"
        above = lines[key.start_mark.line - 1].strip()
        if above.startswith(_MARK):
            yield Value(path, yaml.safe_load(yaml.serialize(value)), above.removeprefix(_MARK))
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _walk(value, lines, f"{path}.")
        else:
            raise ValueError(f"values.yaml: {path} has no `{_MARK.strip()}` comment")


def readme(text: str) -> str:
    """Return the chart's README."""
    rows = [
        f"| `{value.path}` | `{json.dumps(value.default)}` | {value.description.replace('|', '/')} |"
        for value in values(text)
    ]
    return _HEADER + "\n".join(rows) + "\n"


def schema(text: str) -> str:
    """Return values.schema.json: every value typed, nothing else admitted."""
    root: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values", **_object()}
    for value in values(text):
        place = root
        *parents, name = value.path.split(".")
        for parent in parents:
            _require(place, parent)
            place = place["properties"].setdefault(parent, _object())
        kind = _TYPES[type(value.default)]
        narrowed = RULES.get(value.path) or RULES.get(name, {})
        place["properties"][name] = {"type": kind, "description": value.description, **narrowed}
        # `null` takes a value away. One that is empty by default, or a map of Kubernetes', is then not rendered either;
        # but a number would be 0, and a switch off.
        if kind in {"boolean", "integer"} or (kind == "string" and value.default):
            _require(place, name)
    # A chart that has this one as a dependency may hand other charts their settings in it.
    root["properties"]["global"]["additionalProperties"] = True
    root["definitions"] = definitions(root)
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def _require(place: dict[str, Any], name: str) -> None:
    names = place.setdefault("required", [])
    if name not in names:
        names.append(name)


def _object() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}
