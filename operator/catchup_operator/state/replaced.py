"""What the API server does not keep of a manifest as it was applied: a mutating admission replaces values of it.

Only what the manifest says is compared. What the server sets by default and what an admission adds (fields, entries of
lists) is nobody's trouble: it is part of the generation that the apply returns. A server writes some values otherwise
than they came: quantities in their shortest form, and without what is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

_SHOWN: Final = 3
_VALUE_MAX: Final = 80
_MISSING: Final = None
# What tells an entry of a list from the others, the first of these that it has.
_IDENTITIES: Final = ("mountPath", "uid", "name")
_QUANTITIES: Final = frozenset({"limits", "requests", "sizeLimit", "divisor", "overhead"})
_QUANTITY: Final = re.compile(r"([+-]?[0-9.]+)(?:[eE]([+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i))?")
_SUFFIXES: Final = {
    **{
        name: Decimal(1000) ** power for power, name in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{f"{name}i": Decimal(1024) ** power for power, name in enumerate("KMGTPE", 1)},
}
# Fields of which false, zero or an empty object says something: the server keeps it, and another value where it is not.
_ZERO_COUNTS: Final = frozenset(
    {
        *("suspend", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"),
        *("backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes", "ttlSecondsAfterFinished"),
        *("automountServiceAccountToken", "enableServiceLinks", "hostUsers", "shareProcessNamespace"),
        *("terminationGracePeriodSeconds", "allowPrivilegeEscalation", "privileged", "readOnlyRootFilesystem"),
        *("runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "emptyDir", "controller"),
    }
)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A value of a manifest that the server does not keep; `kept` is None where it has nothing in its place."""

    path: str
    asked: Any
    kept: Any

    @property
    def is_mark(self) -> bool:
        """Whether it is one of those by which the operator knows a CronJob as its own: a label, or the owner."""
        return self.path.startswith("metadata.")

    def __str__(self) -> str:
        """Return it for people; values of variables may be secret."""
        if self.kept is _MISSING:
            return f"{self.path} is missing"
        if ".env[" in self.path or not (_is_plain(self.asked) and _is_plain(self.kept)):
            return f"{self.path} has another value"
        return f"{self.path} is {_text(self.kept)}, not {_text(self.asked)}"


def replaced(manifest: Mapping[str, Any], answer: Mapping[str, Any]) -> list[Replaced]:
    """Return the values of a CronJob's manifest that are not in the server's `answer` to its apply."""
    found, metadata = answer["metadata"], manifest["metadata"]
    owners = [{"uid": owner["uid"], "controller": True} for owner in metadata["ownerReferences"]]
    marks = {"labels": metadata["labels"], "ownerReferences": owners}
    return [
        *_differences(marks, {name: found.get(name) for name in marks}, "metadata"),
        *_differences(manifest["spec"], answer["spec"], "spec"),
    ]


def summary(found: Sequence[Replaced]) -> str:
    """Return what was replaced, e.g. `spec.suspend is false, not true and 2 more`."""
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(map(str, found[:_SHOWN])) + more


def _differences(asked: Any, kept: Any, path: str, *, is_quantity: bool = False) -> Iterator[Replaced]:
    """Yield what `kept` has otherwise than `asked`. Most of it is equal, which Python compares in one step."""
    if asked == kept:
        return
    if isinstance(asked, dict) and isinstance(kept, dict):
        for name, value in asked.items():
            found = kept.get(name)
            if value != found and not _is_unsaid(name, value, found):
                yield from _differences(value, found, f"{path}.{name}", is_quantity=is_quantity or name in _QUANTITIES)
    elif isinstance(asked, list) and isinstance(kept, list) and all(isinstance(item, dict) for item in asked):
        for index, item in enumerate(asked):
            if index < len(kept) and item == kept[index]:
                continue
            name, found = _counterpart(item, index, kept)
            yield from _differences(item, found, f"{path}[{name}]")
    elif not (is_quantity and _quantity(asked) == _quantity(kept) is not None):
        yield Replaced(path, asked, kept)


def _is_unsaid(name: str, asked: Any, kept: Any) -> bool:
    """Whether an empty value of a field says nothing to the server, which leaves it out or sets its default."""
    if asked is None:
        return True
    if asked or name in _ZERO_COUNTS:
        return False
    return asked is not False or kept is _MISSING


def _counterpart(item: Mapping[str, Any], index: int, kept: Sequence[Any]) -> tuple[object, Any]:
    """Return what to call an entry of a list, and the entry that the server keeps in its place: additions move it."""
    in_place = kept[index] if index < len(kept) else _MISSING
    identity = next((name for name in _IDENTITIES if name in item), None)
    if identity is not None:
        value = item[identity]
        if in_place is not _MISSING and in_place.get(identity) == value:
            return value, in_place
        return value, next((each for each in kept if each.get(identity) == value), _MISSING)
    for each in (in_place, *kept):
        if each is not _MISSING and next(_differences(item, each, ""), None) is None:
            return index, each
    return index, in_place


def _quantity(value: Any) -> Decimal | None:
    found = _QUANTITY.fullmatch(str(value))
    try:
        return None if found is None else Decimal(found[1]).scaleb(int(found[2] or 0)) * _SUFFIXES[found[3] or ""]
    except ArithmeticError:
        return None


def _is_plain(value: Any) -> bool:
    return not isinstance(value, Mapping) and not (isinstance(value, list) and any(map(_is_nested, value)))


def _is_nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list))


def _text(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}…"
