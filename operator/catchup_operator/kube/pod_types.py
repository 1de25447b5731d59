"""The types of a pod's fields: finds a value that no API server takes.

A server-side apply of a value of a wrong type, e.g. a number as the value of a variable, fails for every CronJob. The
types are in `pod_types.json`, generated from the models of the Kubernetes client; loading those takes 30 MB and half a
second. Fields that they do not know are left to the server, which may be newer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

_SCALARS: Final[dict[str, tuple[str, tuple[type, ...]]]] = {
    "str": ("a string", (str,)),
    "int": ("an integer", (int,)),
    "float": ("a number", (int, float)),
    "bool": ("true or false", (bool,)),
}
# The models call a quantity a string; the API takes numbers, too.
_QUANTITIES: Final = frozenset({"limits", "requests", "sizeLimit", "divisor"})

# The lists below a pod's fields that the API server merges by keys (`x-kubernetes-list-map-keys` of its schema), by the
# type of their items; a key that has no default must be there.
_KEYS: Final[dict[str, dict[str, Any]]] = {
    "V1Container": {"name": None},
    "V1EnvVar": {"name": None},
    "V1VolumeMount": {"mountPath": None},
    "V1VolumeDevice": {"devicePath": None},
    "V1ContainerPort": {"containerPort": None, "protocol": "TCP"},
    "V1HostAlias": {"ip": None},
    "V1TopologySpreadConstraint": {"topologyKey": None, "whenUnsatisfiable": None},
    "CoreV1ResourceClaim": {"name": None},
}


def key_errors(value: Any, wanted: str, path: str) -> Iterator[str]:
    """Yield what is wrong with the keys of the lists in a value without type errors: one is missing, or there twice.

    A server-side apply of such a list fails for every CronJob.
    """
    element, of_dict = _element_type(wanted)
    if of_dict:
        return
    if not element:
        fields = _fields().get(wanted, {})
        for name in value if fields else ():
            if value[name] is not None and name in fields:
                yield from key_errors(value[name], fields[name], f"{path}.{name}")
        return
    if (keys := _KEYS.get(element)) is not None:
        yield from _errors_of_keys(value, keys, path)
    for index, entry in enumerate(value):
        yield from key_errors(entry, element, f"{path}[{index}]")


def _errors_of_keys(entries: list[dict[str, Any]], keys: dict[str, Any], path: str) -> Iterator[str]:
    known: dict[tuple[Any, ...], int] = {}
    for index, entry in enumerate(entries):
        found = tuple(entry.get(key) or default for key, default in keys.items())
        if None in found:
            yield f"{path}[{index}] must have a value of {[*keys][found.index(None)]}"
        elif known.setdefault(found, index) != index:
            yield f"{path}[{index}] has the {' and '.join(keys)} of {path}[{known[found]}]"


def type_errors(value: Any, wanted: str, path: str) -> Iterator[str]:
    """Yield what is wrong with a value of the client's type `wanted`, e.g. `List[V1EnvVar]`; `path` names the value."""
    element, of_dict = _element_type(wanted)
    if of_dict:
        yield from _errors_of_dict(value, element, path)
    elif element:
        yield from _errors_of_list(value, element, path)
    elif wanted in _SCALARS:
        yield from _errors_of_scalar(value, wanted, path)
    elif (fields := _fields().get(wanted)) is not None:
        if not isinstance(value, dict):
            yield f"{path} must be an object, not {_name_of(value)}"
            return
        for name, entry in value.items():
            if entry is not None and name in fields:
                yield from type_errors(entry, fields[name], f"{path}.{name}")


@cache
def _fields() -> dict[str, dict[str, str]]:
    """Return the types of the fields of each type."""
    table: dict[str, dict[str, str]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return table


def _element_type(wanted: str) -> tuple[str, bool]:
    """Return the type of the elements of a list or a dict, empty for any other type, and whether it is a dict."""
    found = re.fullmatch(r"(List|Dict)\[(?:str, ?)?(.*)\]", wanted)
    return (found[2], found[1] == "Dict") if found else ("", False)


def _errors_of_dict(value: Any, element: str, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} must be an object, not {_name_of(value)}"
        return
    is_quantity = path.rpartition(".")[2] in _QUANTITIES
    for name, entry in value.items():
        if not isinstance(name, str):
            yield f"{path}: the name {name!r} must be a string; put it in quotes"
        elif not (is_quantity and _is_number(entry)):
            yield from type_errors(entry, element, f"{path}.{name}")


def _errors_of_list(value: Any, element: str, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path} must be a list, not {_name_of(value)}"
        return
    for index, entry in enumerate(value):
        yield from type_errors(entry, element, f"{path}[{index}]")


def _errors_of_scalar(value: Any, wanted: str, path: str) -> Iterator[str]:
    name, types = _SCALARS[wanted]
    if isinstance(value, types) and (wanted == "bool" or not isinstance(value, bool)):
        return
    if path.rpartition(".")[2] in _QUANTITIES and _is_number(value):
        return
    hint = "; put it in quotes" if wanted == "str" and not isinstance(value, (dict, list)) else ""
    yield f"{path} must be {name}, not {_name_of(value)}{hint}"


def _name_of(value: Any) -> str:
    # Not the value itself, which may be a secret.
    return "nothing" if value is None else f"a value of type {type(value).__name__}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
