"""The types of a pod's fields, taken from the models of the Kubernetes client, which the operator's image lacks."""

from __future__ import annotations

import json
import re
from typing import Final

from kubernetes.aio import client

from catchup_dev.cluster.layout import CHECKOUT
from catchup_operator.template_file import TYPES

TABLE: Final = CHECKOUT / "operator" / "catchup_operator" / "kube" / "pod_types.json"


def table() -> str:
    """Return the fields of each type that a job template can hold, as JSON: a line for each type."""
    found: dict[str, dict[str, str]] = {}
    waiting = list(TYPES.values())
    while waiting:
        for name in re.findall(r"\w+", waiting.pop()):
            if name not in found and hasattr(client, name):
                model = getattr(client, name)
                found[name] = {model.attribute_map[field]: kind for field, kind in model.openapi_types.items()}
                waiting += found[name].values()
    lines = (f"{json.dumps(name)}: {json.dumps(fields, sort_keys=True)}" for name, fields in sorted(found.items()))
    return "{\n" + ",\n".join(lines) + "\n}\n"
