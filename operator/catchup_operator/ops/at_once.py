"""The same request for many objects, some of them at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def for_each(items: Iterable[T], ask: Callable[[T], Awaitable[R]], *, at_once: int) -> list[R]:
    """Return what `ask` returns for each item, in their order; at most `at_once` calls run at the same time.

    Raises what a call raises first.
    """
    slots = asyncio.Semaphore(at_once)

    async def one(item: T) -> R:
        async with slots:
            return await ask(item)

    return await asyncio.gather(*map(one, items))
