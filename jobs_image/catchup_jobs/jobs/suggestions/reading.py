"""Reading a shard's users in batches by key, the next batch while one is planned."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from catchup_jobs.jobs.suggestions.ports import KnownUser, TooMuchError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from datetime import datetime

    from catchup_jobs.jobs.suggestions.ports import SuggestionStore

# Ids are read for this many batches of all shards at once, so that a batch of one shard is rarely short.
_READ_AHEAD: Final = 2
T = TypeVar("T")


def shard_of(user_id: str, shards: int) -> int:
    """Return the shard of a user, from 0 to `shards` - 1: a function of the id alone, even over ids, never changed."""
    return int.from_bytes(hashlib.sha256(user_id.encode()).digest()[:8]) % shards


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of the fleet; one of one is all of it."""

    index: int = 0
    of: int = 1

    def members(self, user_ids: list[str]) -> list[str]:
        """Return those ids that belong to the shard."""
        return (
            user_ids if self.of == 1 else [user_id for user_id in user_ids if shard_of(user_id, self.of) == self.index]
        )


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """Users as they were stored at one moment.

    Attributes:
        after: the id after which a later pass continues once their plans are stored.
        now: the moment (aware).
    """

    users: list[KnownUser]
    after: str
    now: datetime


def pages(store: SuggestionStore, shard: Shard, size: int, *, after: str) -> Iterator[tuple[list[str], str]]:
    """Yield the shard's users after an id, at most `size` at a time, each page with the id that it reaches."""
    limit = size if shard.of == 1 else size * shard.of * _READ_AHEAD
    while ids := store.ids(after=after, limit=limit):
        members = shard.members(ids)
        is_last = len(ids) < limit and len(members) <= size
        after = members[size - 1] if len(members) > size else ids[-1]
        if members:
            yield members[:size], after
        if is_last:
            return


def read(
    store: SuggestionStore, user_ids: Sequence[str], after: str, now: Callable[[], datetime]
) -> Iterator[ReadBatch]:
    """Yield the users as they are stored, in as many parts as it takes to hold each of them in memory."""
    waiting = [(list(user_ids), after)]
    while waiting:
        ids, reached = waiting.pop()
        moment = now()
        try:
            users = store.known(ids, now=moment)
        except TooMuchError:
            half = len(ids) // 2
            waiting += [(ids[half:], reached), (ids[:half], ids[half - 1])]
        else:
            yield ReadBatch(users, reached, moment)


def one_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield the items; each is made by a thread of its own while the one before is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="read") as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item
