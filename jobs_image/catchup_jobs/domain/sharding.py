"""Which part of the fleet a user belongs to: the same everywhere, for ever, whatever the process."""

from __future__ import annotations

import hashlib


def shard_of(user_id: str, shards: int) -> int:
    """Return the shard, from 0 to `shards` - 1, of a user; even over ids, and a function of the id alone."""
    return int.from_bytes(hashlib.sha256(user_id.encode()).digest()[:8]) % shards
