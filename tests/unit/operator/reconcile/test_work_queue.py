from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from catchup_operator.kube.errors import ApiError
from catchup_operator.reconcile import work_queue
from catchup_operator.reconcile.work_queue import GoneError, QueueState, RetryAfterError, WorkQueue


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_queue, "RETRY_FIRST_SECONDS", 0.001)


@asynccontextmanager
async def working(queue: WorkQueue) -> AsyncIterator[None]:
    workers = [asyncio.create_task(queue.work()) for _ in range(2)]
    yield
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "error",
    [ApiError(500, "later"), ApiError(0, "lost"), RetryAfterError("quota", seconds=0.001), KeyError("a bug")],
    ids=repr,
)
async def test_a_task_that_fails_is_tried_again_whatever_it_failed_of(error: Exception) -> None:
    queue, tries = WorkQueue(), [0]

    async def task() -> None:
        tries[0] += 1
        if tries[0] < 4:
            raise error

    async with working(queue):
        queue.add("key", task)
        await until(lambda: tries[0] == 4)
        await asyncio.sleep(0.02)
    assert tries == [4]


async def test_a_key_that_waits_is_not_queued_twice() -> None:
    queue, done = WorkQueue(), []

    async def task() -> None:
        done.append(1)

    for _ in range(10):
        queue.add("key", task)
        queue.add("later", task, delay=0.01)
    async with working(queue):
        await until(lambda: len(done) >= 2)
        await asyncio.sleep(0.05)
    assert len(done) == 2


async def test_delays_grow_to_five_minutes_and_start_again_after_a_success() -> None:
    queue = WorkQueue()
    delays = [queue._backoff("key") for _ in range(2000)]
    assert delays[0] < 0.01
    assert all(0.5 * 300 <= delay <= 300 for delay in delays[20:])

    async def task() -> None: ...

    async with working(queue):
        queue.add("key", task)
        await until(lambda: not queue._failures)


async def test_of_two_times_for_a_key_the_sooner_one_applies_with_its_task() -> None:
    queue, done = WorkQueue(), []

    def task(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            done.append(name)

        return run

    queue.add("mended", task("old"), delay=600)
    queue.add("mended", task("new"), delay=0.01)
    queue.add("mended", task("later"), delay=600)
    queue.add("at once", task("old"), delay=600)
    queue.add("at once", task("now"))
    queue.add("at once", task("later"), delay=0.01)
    async with working(queue):
        await until(lambda: len(done) == 2)
        await asyncio.sleep(0.05)
    assert sorted(done) == ["new", "now"]


async def test_what_is_due_and_what_waits_for_its_retry_are_told_apart() -> None:
    queue = WorkQueue()

    async def task() -> None:
        """Do nothing."""

    assert queue.state() == QueueState(due=0, delayed=0, oldest_seconds=0)
    queue.add("reconcile people/ada", task)
    queue.add("reconcile people/grace", task, delay=600)
    await asyncio.sleep(0.01)
    found = queue.state()
    assert (found.due, found.delayed) == (1, 1)
    assert found.oldest_seconds >= 0.01
    async with working(queue):
        await until(lambda: queue.state().due == 0)
    assert queue.state() == QueueState(due=0, delayed=1, oldest_seconds=0)


async def test_an_object_that_changed_meanwhile_is_a_warning_only_if_it_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue, tries = WorkQueue(), [0]

    async def task() -> None:
        tries[0] += 1
        if tries[0] < 4:
            raise ApiError(409, "the object has been modified")

    caplog.set_level("INFO")
    async with working(queue):
        queue.add("key", task)
        await until(lambda: tries[0] == 4)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING"]


async def test_a_key_that_is_queued_while_its_task_runs_runs_again_only_when_that_has_ended() -> None:
    queue, steps, may_end = WorkQueue(), [], asyncio.Event()

    async def older() -> None:
        steps.append("older begins")
        await may_end.wait()
        steps.append("older ends")

    async def newer() -> None:
        steps.append("newer")

    async with working(queue):
        queue.add("list people", older)
        await until(lambda: bool(steps))
        queue.add("list people", newer, delay=0.001)
        queue.add("list friends", newer)
        await until(lambda: len(steps) == 2)  # another key waits for nobody
        await asyncio.sleep(0.02)
        assert steps == ["older begins", "newer"]
        assert queue.state().due == 1
        may_end.set()
        await until(lambda: len(steps) == 4)
    assert steps[2:] == ["older ends", "newer"]


async def test_a_task_that_fails_while_a_newer_one_of_its_key_waits_runs_no_second_time() -> None:
    queue, steps, may_end = WorkQueue(), [], asyncio.Event()

    async def older() -> None:
        steps.append("older")
        await may_end.wait()
        raise ApiError(500, "later")

    async def newer() -> None:
        steps.append("newer")

    async with working(queue):
        queue.add("key", older)
        await until(lambda: bool(steps))
        queue.add("key", newer)
        may_end.set()
        await until(lambda: len(steps) == 2)
        await asyncio.sleep(0.02)
    assert steps == ["older", "newer"]


async def test_a_task_is_not_tried_again_before_the_time_that_the_server_names() -> None:
    queue, tries = WorkQueue(), [0]

    async def task() -> None:
        tries[0] += 1
        raise ApiError(429, "slowly", retry_after=600)

    async with working(queue):
        queue.add("key", task)
        await until(lambda: queue.state().delayed == 1)
        await asyncio.sleep(0.05)
    assert tries == [1]


@pytest.mark.parametrize(
    "error",
    [
        GoneError("namespace people is gone", seconds=0.001),
        ApiError(403, "unable to create new content in namespace people", causes=["NamespaceTerminating"]),
    ],
    ids=["gone", "ends"],
)
async def test_a_task_whose_namespace_is_gone_is_dropped_without_a_word(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    queue, tries = WorkQueue(), [0]

    async def task() -> None:
        tries[0] += 1
        raise error

    caplog.set_level("INFO")
    async with working(queue):
        queue.add("repair people/ada-sync", task)
        await until(lambda: tries[0] == 1)
        await asyncio.sleep(0.02)
    assert (tries, queue.state(), caplog.records) == ([1], QueueState(due=0, delayed=0, oldest_seconds=0), [])
