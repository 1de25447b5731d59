"""The members of a pool who are in trouble, as a tick tells the operator of them.

A termination message has room for one page. Which page a member is on follows from the member alone, so that each page
is complete by itself: a member of that page whom it does not name is in no trouble.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from catchup_contract.cadence import stable_hash
from catchup_contract.outcomes import Reason

SHARED_PART: Final = 0.05
"""A cause that a larger part of a pool's members share is told of the pool alone."""
SHARED_FROM: Final = 10
"""A cause that no more members of a pool share than this is told of each of them, however small the pool is."""
PAGE_MEMBERS: Final = 250
"""The members that a page of a tick's message names at most: so many fit beside the counts."""
# 48 bits: two of 10,000 UserSchedules have one hash once in six million pools.
_UID_HASH_BYTES: Final = 6
_UID_HASH_LENGTH: Final = 8
_HASH_LENGTH: Final = 16
_PAGES_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class TroublePage:
    """A page of the members who are in trouble.

    Attributes:
        set_hash: of all pages together: equal ones have equal hashes.
        number: of this page, from 0.
        pages: how many there are.
        members: by the hash of the uid of a UserSchedule (`uid_hash`), why its user is in trouble.
        shared: causes that are told of the pool alone, with the number of their members.
    """

    set_hash: str
    number: int
    pages: int
    members: Mapping[str, Reason]
    shared: Mapping[Reason, int]

    def covers(self, hashed: str) -> bool:
        """Return whether a UserSchedule would be on this page if its user were in trouble."""
        return _place(hashed, self.pages) == self.number

    def to_document(self) -> dict[str, Any]:
        """Return the page as JSON values; hashes of one reason are written without anything between them."""
        hashes: dict[str, str] = {}
        for hashed, reason in sorted(self.members.items()):
            hashes[reason] = hashes.get(reason, "") + hashed
        return {
            "set": self.set_hash,
            "page": self.number,
            "pages": self.pages,
            "members": hashes,
            "shared": dict(self.shared),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TroublePage:
        """Read what `to_document` returned.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: it is something else.
        """
        set_hash, number, pages = document["set"], document["page"], document["pages"]
        if not (isinstance(set_hash, str) and len(set_hash) <= _HASH_LENGTH):
            raise ValueError("not a hash")
        if not (type(number) is type(pages) is int and 0 <= number < pages <= _PAGES_MAX):
            raise ValueError("not a page")
        members = {
            hashes[place : place + _UID_HASH_LENGTH]: Reason(reason)
            for reason, hashes in document["members"].items()
            for place in range(0, len(hashes), _UID_HASH_LENGTH)
        }
        shared = {Reason(reason): _positive(number) for reason, number in document["shared"].items()}
        return cls(set_hash, number, pages, members, shared)


def _positive(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("not a number of members")
    return value


def uid_hash(uid: str) -> str:
    """Return what a page calls the UserSchedule with this uid: eight letters."""
    return urlsafe_b64encode(hashlib.sha256(uid.encode()).digest()[:_UID_HASH_BYTES]).decode()


def page_of(
    troubles: Iterable[tuple[str, Reason]],
    members: int,
    *,
    unnamed: Mapping[Reason, int] = MappingProxyType({}),
    turn: int = 0,
    pages_max: int = 1,
) -> TroublePage:
    """Return the page whose turn it is.

    Where the pages have no room for all, the most frequent causes are told of the pool alone.

    Args:
        troubles: of each member in trouble the uid of the UserSchedule and why.
        members: how many members the pool has.
        unnamed: by its cause the number of users of the database in trouble, whom no resource shows.
        turn: the number of the tick; successive ticks tell successive pages.
        pages_max: how many pages there may be.
    """
    known = list(troubles)
    causes = Counter(reason for _, reason in known) + Counter(unnamed)
    most = max(SHARED_FROM, SHARED_PART * members)
    shared = {reason: number for reason, number in causes.items() if number > most}
    named = {uid_hash(uid): reason for uid, reason in known if reason not in shared}
    while (pages := _pages_for(named, pages_max)) is None:
        frequent, _ = Counter(named.values()).most_common(1)[0]
        shared[frequent] = causes[frequent]
        named = {hashed: reason for hashed, reason in named.items() if reason is not frequent}
    number = turn % pages
    text = "\n".join(f"{hashed} {reason}" for hashed, reason in sorted(named.items()))
    return TroublePage(
        set_hash=hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH],
        number=number,
        pages=pages,
        members={hashed: reason for hashed, reason in named.items() if _place(hashed, pages) == number},
        shared=dict(sorted(shared.items())),
    )


def _pages_for(named: Iterable[str], pages_max: int) -> int | None:
    """Return the smallest number of pages that have room for all, None where the largest has none."""
    hashes = list(named)
    for pages in range(1, pages_max + 1):
        longest = max(Counter(_place(hashed, pages) for hashed in hashes).values(), default=0)
        if longest <= PAGE_MEMBERS:
            return pages
    return None


def _place(hashed: str, pages: int) -> int:
    return stable_hash("trouble", hashed) % pages
