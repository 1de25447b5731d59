from __future__ import annotations

import asyncio
import inspect

from catchup_operator import handlers


def test_every_handler_is_a_coroutine_since_kopf_runs_plain_functions_in_threads() -> None:
    own = [each for _, each in inspect.getmembers(handlers, inspect.isfunction) if each.__module__ == handlers.__name__]
    not_handlers = {"is_relevant", "outdated", "utc_now"}
    own = [each for each in own if each.__name__ not in not_handlers]
    assert len(own) >= 5
    assert [each.__name__ for each in own if not asyncio.iscoroutinefunction(each)] == []
