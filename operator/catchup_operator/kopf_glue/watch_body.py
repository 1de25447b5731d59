"""The body of a watch's response, as kopf reads it: the base of what stands between kopf and the API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp


class WatchBody:
    """Passes the body of a response through. Subclasses override `iter_chunked`, by which kopf reads a watch."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    @classmethod
    def wrap(cls, response: aiohttp.ClientResponse, *args: Any) -> None:
        """Replace the body of a response; `args` are the further arguments of the subclass."""
        response.content = cast(aiohttp.StreamReader, cls(response.content, *args))

    def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield the body in chunks of at most `size` bytes."""
        return self._content.iter_chunked(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
