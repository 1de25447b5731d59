"""Strategies of event resources from Google's discovery document, which its client ships: mostly by the schema."""

import json
from importlib import resources
from typing import Any

from hypothesis import strategies as st

SCHEMAS = json.loads(
    resources.files("googleapiclient.discovery_cache").joinpath("documents", "calendar.v3.json").read_text()
)["schemas"]
TEXT = st.text(st.characters(), max_size=20)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
ANYTHING = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
DATES = st.sampled_from(["0000-01-01", "0001-01-01", "9999-12-31", "2026-02-29"]) | st.dates().map(str)
DATE_TIMES = st.sampled_from(
    ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:60-12:00", "2026-11-24T10:00"]
) | st.builds(
    lambda when, zone: f"{when.isoformat()}{zone}", st.datetimes(), st.sampled_from(["Z", "+01:00", "-12:00", ""])
)


def conforming(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of values of a schema of the discovery document (a subset of JSON Schema)."""
    if "$ref" in schema:
        return conforming(SCHEMAS[schema["$ref"]])
    match schema.get("type"):
        case "object":
            fields = {name: mostly(field) for name, field in schema.get("properties", {}).items()}
            return st.fixed_dictionaries({}, optional=fields)
        case "array":
            return st.lists(mostly(schema["items"]), max_size=3)
        case other:
            texts = {"date": DATES, "date-time": DATE_TIMES}.get(schema.get("format", ""), TEXT)
            return {"string": texts, "boolean": st.booleans(), "integer": st.integers()}.get(str(other), ANYTHING)


def mostly(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of values of a schema, and one time in some of anything."""
    return st.one_of(*[conforming(schema)] * 4, ANYTHING)


GENERATED_EVENTS = mostly(
    {
        "type": "object",
        "properties": {
            # What decides, more often than by chance.
            **{name: SCHEMAS["Event"]["properties"][name] for name in ("start", "end", "attendees", "updated")},
            **SCHEMAS["Event"]["properties"],
        },
    }
)
