"""Logs of the jobs: JSON for programs, lines for a terminal. They hold no personal data.

Every line of a run carries `run_key`, `user`, `kind`, `slot` and `attempt` (see `jobs.run.execution`).
"""

from __future__ import annotations

import sys
from typing import Literal

import structlog

from catchup_jobs.domain.text import printable


def configure(log_format: Literal["json", "console"] | None, level: str = "info") -> None:
    """Send logs of a level (`info`, `warning`, `error`) and above to stderr.

    Without a format: lines on a terminal and JSON elsewhere (a pod).
    """
    chosen = log_format or ("console" if sys.stderr.isatty() else "json")
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if chosen == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_nothing,
            _printable,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _without_nothing(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {key: value for key, value in event.items() if value is not None}


def _printable(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}
