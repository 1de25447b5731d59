"""JSON Schemas of a pod's fields, from the types by which the operator checks its job template.

Unlike the operator, they refuse a field that they do not know: the API server would drop a misspelled one with no more
than a warning, such as a `readOnlyRootFileSystem`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

from catchup_dev.generate import pod_types

_SCALARS: Final = {"str": "string", "int": "integer", "bool": "boolean", "datetime": "string"}
# The models call a quantity a string; the API takes numbers, too.
_QUANTITIES: Final = frozenset({"limits", "requests", "sizeLimit", "divisor"})


def reference(name: str) -> dict[str, Any]:
    """Return a schema that a value of the client's type `name` meets, e.g. `V1Affinity`."""
    # In draft 7, what stands beside a $ref is ignored.
    return {"allOf": [{"$ref": f"#/definitions/{name}"}]}


def definitions(schema: object) -> dict[str, Any]:
    """Return the definitions that a schema refers to, with those that they refer to."""
    found: dict[str, Any] = {}
    waiting = _referred(schema)
    while waiting:
        name = waiting.pop()
        if name not in found:
            fields = _types()[name]
            properties = {field: _schema(kind, of_quantity=field in _QUANTITIES) for field, kind in fields.items()}
            found[name] = {"type": "object", "additionalProperties": False, "properties": properties}
            waiting += _referred(properties)
    return dict(sorted(found.items()))


def _referred(schema: object) -> list[str]:
    return re.findall(r'"#/definitions/(\w+)"', json.dumps(schema))


@cache
def _types() -> dict[str, dict[str, str]]:
    types: dict[str, dict[str, str]] = json.loads(pod_types.table())
    return types


def _schema(kind: str, *, of_quantity: bool = False) -> dict[str, Any]:
    if match := re.fullmatch(r"(List|Dict)\[(?:str, ?)?(.*)\]", kind):
        inner = _schema(match[2], of_quantity=of_quantity)
        if match[1] == "List":
            return {"type": ["array", "null"], "items": inner}
        return {"type": ["object", "null"], "additionalProperties": inner}
    if kind in _SCALARS:
        # A value that is taken back by null.
        return {"type": [_SCALARS[kind], "null", *(["number"] if of_quantity else [])]}
    if kind in _types():
        return {"$ref": f"#/definitions/{kind}"}
    return {}  # a number or a name, such as a port
