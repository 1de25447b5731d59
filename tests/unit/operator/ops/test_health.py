from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from catchup_operator.kube.errors import ApiError
from catchup_operator.ops.health import Health
from catchup_operator.ops.http import PodServer
from catchup_operator.ops.permissions import PERMISSIONS, PermissionCheck


class Controller:
    """A controller whose state the test chooses."""

    def __init__(self, *, died: BaseException | None = None, silent: float = 0.0, problems: list[str] | None = None):
        self.silent_seconds = silent
        self.failure = lambda: died
        self.problems = lambda: problems or []


def permissions(answer: Any, *namespaces: str) -> tuple[PermissionCheck, list[tuple[str, str, str]]]:
    asked: list[tuple[str, str, str]] = []

    async def is_allowed(verb: str, resource: str, namespace: str) -> bool:
        asked.append((verb, resource, namespace))
        if isinstance(answer, Exception):
            raise answer
        return bool(answer(verb, resource, namespace))

    return PermissionCheck(cast(Any, SimpleNamespace(is_allowed=is_allowed)), namespaces), asked


def health(answer: Any, controller: Any) -> Health:
    return Health(controller, permissions(answer)[0], [controller.problems])


async def test_every_permission_is_asked_for_in_every_namespace() -> None:
    found, asked = permissions(lambda *_: True, "people", "friends")
    assert await found.round() == []
    wanted = {(verb, resource) for resource, verbs in PERMISSIONS.items() for verb in verbs}
    assert set(asked) == {(*each, namespace) for each in wanted for namespace in ("people", "friends")}


async def test_what_is_missing_is_named_with_its_place() -> None:
    found, _ = permissions(lambda verb, *_: verb != "create")
    resources = ("cronjobs", "events", "configmaps", "leases")
    wanted = [f"may not create {resource} in the cluster" for resource in resources]
    assert await found.round() == wanted


QUESTIONS = sum(map(len, PERMISSIONS.values()))
MANY = [f"n{number}" for number in range(50)]


async def test_many_namespaces_are_asked_about_all_at_once_first_and_then_a_few_at_each_look_in_turn() -> None:
    found, asked = permissions(lambda *_: True, *MANY)
    await found.round()
    assert {namespace for *_, namespace in asked} == set(MANY)
    asked.clear()
    for look in range(1, 11):
        await found.round()
        assert len(asked) <= look * 5 * QUESTIONS
    assert {namespace for *_, namespace in asked} == set(MANY)


async def test_many_namespaces_are_asked_about_beside_each_other_but_not_all_at_once() -> None:
    running, most = 0, 0

    async def is_allowed(*_: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return True

    found = PermissionCheck(cast(Any, SimpleNamespace(is_allowed=is_allowed)), MANY)
    assert await found.round() == []
    assert most == 8


async def test_a_server_that_does_not_answer_is_not_asked_about_each_of_many_namespaces() -> None:
    found, asked = permissions(ApiError(0, "refused"), *MANY)
    (problem,) = await found.round()
    assert problem == "the API server does not answer: refused"
    assert len(asked) <= 8


async def test_a_namespace_that_is_gone_is_not_asked_about_until_it_is_back() -> None:
    asked: list[str] = []
    gone = {"friends"}

    async def is_allowed(_verb: str, _resource: str, namespace: str) -> bool:
        asked.append(namespace)
        return namespace == "people"

    client = cast(Any, SimpleNamespace(is_allowed=is_allowed))
    found = PermissionCheck(client, ["people", "friends"], gone.__contains__)
    for _ in range(2):
        assert await found.round() == []
    assert set(asked) == {"people"}
    gone.clear()
    assert any("friends" in problem for problem in await found.round())
    gone.add("friends")
    asked.clear()
    assert await found.round() == []
    assert set(asked) == {"people"}


async def test_a_few_namespaces_are_all_asked_about_at_each_look() -> None:
    found, asked = permissions(lambda *_: True, *MANY[:5])
    for _ in range(3):
        asked.clear()
        await found.round()
        assert {namespace for *_, namespace in asked} == set(MANY[:5])


async def test_a_namespace_in_trouble_is_asked_about_at_each_look_and_well_with_the_first_that_finds_it_so() -> None:
    lost = {"n7"}
    found, asked = permissions(lambda verb, _, namespace: verb != "watch" or namespace not in lost, *MANY)
    for _ in range(4):
        asked.clear()
        assert {reason.split(" in ")[1] for reason in await found.round()} == {"namespace n7"}
        assert "n7" in {namespace for *_, namespace in asked}
    lost.clear()
    assert await found.round() == []


async def test_trouble_everywhere_is_found_everywhere_and_costs_a_look_no_more_than_twice_as_much() -> None:
    lost: set[str] = set()
    found, asked = permissions(lambda *question: question[2] not in lost, *MANY)
    await found.round()
    lost.update(MANY)
    for _ in range(10):
        asked.clear()
        missing = await found.round()
        assert len(asked) <= 2 * 5 * QUESTIONS
    assert len(missing) == 50 * QUESTIONS


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ApiError(0, "refused"), ["the API server does not answer: refused"]),
        (ApiError(500, "etcd"), ["the API server does not answer: etcd"]),
        (ApiError(403, "may not ask"), []),
    ],
)
async def test_a_question_that_is_refused_is_no_missing_permission(error: ApiError, says: list[str]) -> None:
    found, asked = permissions(error)
    assert await found.round() == says
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("controller", "alive", "ready"),
    [
        (Controller(), True, True),
        (Controller(problems=["watching jobs: refused"]), True, False),
        (Controller(died=RuntimeError("bug")), False, False),
        (Controller(silent=301), False, False),
        (Controller(silent=299), True, True),
    ],
)
async def test_what_is_dead_is_not_ready_and_what_is_not_ready_may_live(
    controller: Controller, alive: bool, ready: bool
) -> None:
    found = health(lambda *_: True, controller)
    assert found.readiness_problems() != []  # before the first check
    await found.check()
    assert (not found.liveness_problems(), not found.readiness_problems()) == (alive, ready)


async def test_a_loop_of_its_own_that_has_died_is_told_too() -> None:
    found = health(RuntimeError("a bug"), Controller())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found.start()
        server = PodServer()
        await server.start(listener, found, CollectorRegistry())
        try:
            async with aiohttp.ClientSession() as kubelet, asyncio.timeout(5):
                while (reply := await kubelet.get(f"http://127.0.0.1:{port}/healthz")).status != 503:  # noqa: ASYNC110 - what is waited for has no event
                    await asyncio.sleep(0.01)
                assert "has died" in await reply.text()
        finally:
            await found.stop()
            await server.cleanup()


async def test_the_operator_is_ready_as_soon_as_the_api_server_answers_not_at_the_next_check_of_permissions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("catchup_operator.ops.health._CHECK_SECONDS", 3600.0)
    monkeypatch.setattr("catchup_operator.ops.health._LOOK_SECONDS", 0.01)
    problems = ["watching jobs: not listed yet"]
    answers: list[Any] = [ApiError(0, "refused")]
    check, asked = permissions(lambda *_: True)

    async def round_() -> list[str]:
        return [str(answers.pop())] if answers else await type(check).round(check)

    monkeypatch.setattr(check, "round", round_)
    found = Health(cast(Any, Controller()), check, [lambda: problems])
    found.start()
    try:
        async with asyncio.timeout(20):
            while answers:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)
            assert len(found.readiness_problems()) == 2
            problems.clear()
            while found.readiness_problems():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await found.stop()
    assert len(asked) == QUESTIONS
