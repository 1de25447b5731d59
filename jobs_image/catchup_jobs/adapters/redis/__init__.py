"""Redis: locks and attempts, quotas, progress.

The client imports OpenTelemetry's SDK where it is installed, for metrics of its own that nobody asks for: sixty modules
and 2 MB in each pod. So it is imported as if there were none.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNWANTED: Final = "opentelemetry"


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Let an import of a module fail, unless it is imported already.

    https://docs.python.org/3/reference/import.html#the-module-cache
    """
    modules: dict[str, Any] = sys.modules
    if name in modules:
        yield
        return
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]


with _without(_UNWANTED):
    import redis  # noqa: F401
