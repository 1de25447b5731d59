"""The SQLSTATE of a login that a server refuses.

psycopg has only the server's words for it, and those are in the server's language (`lc_messages`, which a client may
not choose before it is in). libpq, from 18 on, writes the SQLSTATE into its trace.
"""

from __future__ import annotations

import os
import re
import selectors
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from catchup_jobs.adapters.database.postgresql_errors import says_why

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

_SECONDS: Final = 5.0
"""How long the login that asks for the SQLSTATE may take, in seconds."""
_REFUSAL: Final = re.compile(rb'^[^\t]*\tB\t\d+\tErrorResponse\t .*? C "([0-9A-Z]{5})"', re.MULTILINE)
_MAX_TRACE: Final = 1_000_000


def connect(dialect: Any, _record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
    """Connect as SQLAlchemy does (its event `do_connect`); a refusal gets its SQLSTATE where its words do not say why.

    It takes a second login, as libpq must be told before the server answers.
    """
    from psycopg import Error  # noqa: PLC0415 - SQLite does without
    from psycopg.errors import ConnectionTimeout  # noqa: PLC0415

    try:
        return dialect.connect(*arguments, **parameters)
    except Error as error:
        if error.sqlstate is None and not isinstance(error, ConnectionTimeout) and not says_why(error):
            error.sqlstate = _state(parameters)
        raise


def _state(parameters: dict[str, Any]) -> str | None:
    from psycopg import Error  # noqa: PLC0415
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415
    from psycopg.pq import Conninfo, PGconn  # noqa: PLC0415

    if sys.platform != "linux":  # where neither the trace is nor a file in memory; the trace may hold the password
        return None
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    conninfo = make_conninfo(**{name: value for name, value in parameters.items() if name in known})
    trace = os.memfd_create("login")
    try:
        connection = PGconn.connect_start(conninfo.encode())
        try:
            connection.trace(trace)
            _log_in(connection)
            connection.untrace()
        finally:
            connection.finish()
        refusals = _REFUSAL.findall(os.pread(trace, _MAX_TRACE, 0))
    except (Error, OSError):
        return None
    finally:
        os.close(trace)
    # Of several hosts the last one that answered.
    return refusals[-1].decode() if refusals else None


def _log_in(connection: PGconn) -> None:
    from psycopg.pq import PollingStatus  # noqa: PLC0415

    until = time.monotonic() + _SECONDS
    awaited: int = PollingStatus.WRITING
    while awaited in {PollingStatus.READING, PollingStatus.WRITING} and time.monotonic() < until:
        # With the next host it is another socket.
        with selectors.DefaultSelector() as selector:
            is_reading = awaited == PollingStatus.READING
            selector.register(connection.socket, selectors.EVENT_READ if is_reading else selectors.EVENT_WRITE)
            selector.select(max(0.0, until - time.monotonic()))
        awaited = connection.connect_poll()
