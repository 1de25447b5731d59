from __future__ import annotations

import json
from typing import Any

import pytest

from catchup_dev.generate import chart


def test_a_value_without_a_comment_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a\.c has no"):
        list(chart.values("a:\n  # -- told\n  b: 1\n  c: 2\n"))


def test_a_value_that_would_be_zero_or_off_without_a_default_must_be_there() -> None:
    found = schema_of(number="0", switch="false", word="info", empty='""', absent="null", names="[]", limits="{cpu: 1}")
    assert found["required"] == ["global"]
    assert found["properties"]["global"]["required"] == ["number", "switch", "word"]


def schema_of(**defaults: str) -> dict[str, Any]:
    lines = [f"  # -- What it is.\n  {name}: {default}\n" for name, default in defaults.items()]
    found: dict[str, Any] = json.loads(chart.schema("global:\n" + "".join(lines)))
    return found
