"""The chart README's table and values.schema.json, made from the `# --` comments and defaults of values.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from catchup_dev.cluster.layout import CHECKOUT

CHART: Final = CHECKOUT / "helm" / "catchup-jobs"
VALUES: Final = CHART / "values.yaml"

_MARK: Final = "# -- "
_TYPES: Final = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
_STRINGS: Final = {"additionalProperties": {"type": "string"}}
_OBJECTS: Final = {"items": {"type": "object"}}
_ENV_ENTRY: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "value": {"type": "string"},
        "valueFrom": {"type": "object"},
    },
}
# By a value's path, or else by its last part.
_NARROWED: Final[dict[str, dict[str, Any]]] = {
    "operator.digestSpreadMinutes": {"minimum": 0, "maximum": 240},
    "operator.rollPerSecond": {"type": "number", "exclusiveMinimum": 0, "maximum": 9999},
    "suggestions.shards": {"minimum": 1, "maximum": 1000},
    "metrics.access": {"enum": ["open", "reviewed"]},
    "metrics.replicas": {"minimum": 1, "maximum": 10},
    "metrics.everySeconds": {"minimum": 5, "maximum": 3600},
    "interval": {"pattern": "^[0-9]+(ms|s|m|h)$"},
    "smtp.port": {"minimum": 1, "maximum": 65535},
    "planning.strategy": {"enum": ["humane", "earliest"]},
    "planning.contactHours": {"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"},
    "smtp.security": {"enum": ["starttls", "tls", "none"]},
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    # The API server takes no number or boolean here.
    **dict.fromkeys(("commonLabels", "labels", "annotations", "podAnnotations", "podLabels", "nodeSelector"), _STRINGS),
    **dict.fromkeys(("tolerations", "topologySpreadConstraints", "imagePullSecrets"), _OBJECTS),
    "operator.namespaces": {"items": {"type": "string"}},
    "extraEnv": {"items": _ENV_ENTRY},
    "digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
}
_HEADER: Final = """# The chart `catchup-jobs`

Installs the operator, the UserSchedule definition, the CronJob that plans suggestions, the database migration and, for
trying out, one pod each of Redis and PostgreSQL. `helm install catchup-jobs helm/catchup-jobs` works without any value;
`docs/operations.md` says what to set for production.

A Secret that the chart makes (database and Redis password, encryption key) is looked up and kept at an upgrade, and
stays when the release is uninstalled. `helm template` and tools that render with it cannot look anything up: give them
the `existingSecret` values.

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
    # `global` is what Helm hands to subcharts; it is always admitted.
    root["properties"]["global"] = {"type": "object"}
    for value in values(text):
        place = root
        *parents, name = value.path.split(".")
        for parent in parents:
            place = place["properties"].setdefault(parent, _object())
        kind = _TYPES[type(value.default)]
        narrowed = _NARROWED.get(value.path) or _NARROWED.get(name, {})
        place["properties"][name] = {"type": kind, "description": value.description, **narrowed}
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def _object() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}
