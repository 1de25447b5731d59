from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from catchup_operator.kube.errors import ApiError
from catchup_operator.ops import uninstall
from catchup_operator.ops.stopping import Operator


class Refusing:
    """A client that may look into no namespace, and notes where it was to look for statuses."""

    def __init__(self, _access: object) -> None:
        self.listed: list[str | None] = []

    async def is_gone(self, namespace: str) -> bool:
        """Tell by its name."""
        return namespace.startswith("gone")

    async def delete(self, *_: object, **__: object) -> None:
        """Accept it."""

    async def get(self, *_: object) -> None:
        """Return nothing."""

    async def list_items(self, *_: object, **__: object) -> AsyncIterator[Any]:
        """Refuse."""
        raise ApiError(403, "forbidden")
        yield

    async def list_pages(self, _resource: str, scope: str | None, **_: object) -> AsyncIterator[Any]:
        """Return nothing."""
        self.listed.append(scope)
        return
        yield

    async def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("namespaces", [["gone"], ["gone", "gone-too"], ["gone", "there"]], ids="+".join)
def test_where_no_namespace_can_be_looked_into_the_statuses_of_no_other_are_read(
    namespaces: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Refusing] = []

    async def access() -> None:
        return None

    def client(given: object) -> Refusing:
        made.append(Refusing(given))
        return made[-1]

    monkeypatch.setattr(uninstall, "load_access", access)
    monkeypatch.setattr(uninstall, "KubeClient", client)
    operator = Operator("home", "catchup-operator")
    left = asyncio.run(uninstall.prepare_uninstall(operator, namespaces, release="home/catchup"))
    assert list(left.gone) == [name for name in namespaces if name.startswith("gone")]
    assert list(left.refused) == [name for name in namespaces if name == "there"]
    assert made[0].listed == []
