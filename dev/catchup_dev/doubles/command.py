"""Commands of a control API: JSON in, JSON out, public methods only."""

from __future__ import annotations

import json
from typing import Any


def run_command(control: object, body: bytes) -> tuple[int, dict[str, Any]]:
    """Run `{"call": name, "args": [...], "named": {...}}` on an object; return an HTTP status and a document."""
    try:
        command = json.loads(body)
        run = _command(control, command["call"])
        result = run(*command.get("args", ()), **command.get("named", {}))
    except (LookupError, TypeError, ValueError) as error:
        return 400, {"error": f"{error}" if str(error) else type(error).__name__}
    return 200, {"result": result}


def _command(control: object, name: str) -> Any:
    if name.startswith("_") or not hasattr(control, name):
        raise LookupError(f"no command {name}")
    return getattr(control, name)


def pairs(texts: list[str]) -> dict[str, Any]:
    """Return `NAME=VALUE` texts as a dictionary; values are JSON, or else text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found
