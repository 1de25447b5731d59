from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from catchup_operator.cluster import ApiError
from catchup_operator.health import PERMISSIONS, Health
from catchup_operator.roll import Roll


class Background:
    """Loops and watches of which the test says how they are."""

    def __init__(self, *, died: BaseException | None = None, silent: float = 0.0, troubles: list[str] | None = None):
        self.silent_seconds = silent
        self.died = lambda: died
        self.troubles = lambda: troubles or []


def health(answer: Any, background: Any, *namespaces: str) -> tuple[Health, list[tuple[str, str, str]]]:
    asked: list[tuple[str, str, str]] = []

    async def may(verb: str, resource: str, namespace: str) -> bool:
        asked.append((verb, resource, namespace))
        if isinstance(answer, Exception):
            raise answer
        return bool(answer(verb, resource, namespace))

    return Health(cast(Any, SimpleNamespace(may=may)), namespaces, background, Roll(1.0), [background.troubles]), asked


async def test_every_permission_is_asked_for_in_every_namespace() -> None:
    found, asked = health(lambda *_: True, Background(), "people", "friends")
    assert await found._look() == []
    wanted = {(verb, resource) for resource, verbs in PERMISSIONS.items() for verb in verbs}
    assert set(asked) == {(*each, namespace) for each in wanted for namespace in ("people", "friends")}


async def test_what_is_missing_is_named_with_its_place() -> None:
    found, _ = health(lambda verb, *_: verb != "create", Background())
    assert await found._look() == ["may not create cronjobs in the cluster", "may not create events in the cluster"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ApiError(0, "refused"), ["the API server does not answer: refused"]),
        (ApiError(500, "etcd"), ["the API server does not answer: etcd"]),
        (ApiError(403, "may not ask"), []),
    ],
)
async def test_a_question_that_is_refused_is_no_missing_permission(error: ApiError, says: list[str]) -> None:
    found, asked = health(error, Background())
    assert await found._look() == says
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("background", "alive", "ready"),
    [
        (Background(), True, True),
        (Background(troubles=["watching jobs: refused"]), True, False),
        (Background(died=RuntimeError("bug")), False, False),
        (Background(silent=301), False, False),
        (Background(silent=299), True, True),
    ],
)
async def test_what_is_dead_is_not_ready_and_what_is_not_ready_may_live(
    background: Background, alive: bool, ready: bool
) -> None:
    found, _ = health(lambda *_: True, background)
    assert found.obstacles() != []  # before the first look
    found._found = await found._look()
    assert (not found.ills(), not found.obstacles()) == (alive, ready)
