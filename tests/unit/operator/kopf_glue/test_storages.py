from __future__ import annotations

from typing import Any, cast

import kopf
import pytest
from unit.operator.factories import body

from catchup_operator.kopf_glue.storages import GenerationStorage, NoProgressStorage

STORAGE = GenerationStorage()


def seen(found: dict[str, Any]) -> tuple[Any, Any]:
    whole = cast(kopf.Body, found)
    return STORAGE.fetch(body=whole), STORAGE.build(body=whole)


@pytest.mark.parametrize("status", [None, {}, "broken", [1], {"observedGeneration": "1"}, {"observedGeneration": None}])
def test_a_resource_that_we_never_told_of_is_new(status: Any) -> None:
    old, new = seen(body(status=status))
    assert old is None
    assert new is not None


def test_only_another_generation_than_the_one_we_told_of_is_an_edit() -> None:
    old, new = seen(body(status={"observedGeneration": 1}, labels={"a": "b"}))
    assert old == new
    old, new = seen(body({"suspend": True}, status={"observedGeneration": 1}, generation=2))
    assert old != new


def test_nothing_is_written_for_kopf() -> None:
    patch = kopf.Patch()
    found = cast(kopf.Body, body())
    STORAGE.store(body=found, patch=patch, essence=STORAGE.build(body=found))
    NoProgressStorage().store(key="reconcile", record={}, body=found, patch=patch)
    NoProgressStorage().touch(body=found, patch=patch, value="x")
    assert not patch
