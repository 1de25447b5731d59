"""CATCHUP_DATABASE_URL: what it may say, read without a connection."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from catchup_jobs.adapters.server_url import ServerUrl
from catchup_jobs.jobs.run.errors import MisconfiguredError

_PARAMETER: Final = re.compile(r"[A-Za-z_]{1,30}")


def parse_url(text: str) -> URL:
    """Return the URL with its driver; a PostgreSQL URL's `query` holds parameters of libpq only.

    Raises:
        MisconfiguredError: never repeats the text, which may hold a password.
    """
    # SQLAlchemy's URLs may name a driver, as in `postgresql+psycopg`.
    match text.partition(":")[0].partition("+")[0].lower():
        case "postgresql" | "postgres":
            return _postgresql(text)
        case "sqlite":
            return _sqlite(text)
        case _:
            raise MisconfiguredError("CATCHUP_DATABASE_URL must begin with postgresql:// or sqlite:///")


def _sqlite(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.host or not url.database or url.database == ":memory:":
        raise MisconfiguredError("CATCHUP_DATABASE_URL must name a file, such as sqlite:////data/catchup.db")
    if url.query:
        raise MisconfiguredError("CATCHUP_DATABASE_URL takes no parameters after `?` for SQLite: leave them out")
    return url.set(drivername="sqlite+pysqlite")


def _postgresql(text: str) -> URL:
    try:
        url = ServerUrl.parse(text)
    except ValueError as error:
        raise MisconfiguredError(
            f"CATCHUP_DATABASE_URL is not a URL such as postgresql://user:password@host:5432/name: {error}"
        ) from None
    _refuse_unknown(url.query)
    host, port = url.hosts[0]
    query = dict(url.query)
    if len(url.hosts) > 1:
        # As libpq wants several: in lists, of which an empty port is the default one.
        query["host"] = ",".join(name for name, _ in url.hosts)
        query["port"] = ",".join(str(number or "") for _, number in url.hosts)
    return URL.create(
        "postgresql+psycopg", url.username, url.password, host or None, port, url.path or None, query=query
    )


def _refuse_unknown(query: dict[str, str]) -> None:
    from psycopg.pq import Conninfo  # noqa: PLC0415 - SQLite does without

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    # A replication connection carries out no statements.
    unknown = sorted(set(query) - (known - {"replication"}))
    if not unknown:
        return
    # A piece of a password may have come to be where a name is expected.
    named = all(_PARAMETER.fullmatch(name) and "@" not in query[name] for name in unknown)
    raise MisconfiguredError(
        "CATCHUP_DATABASE_URL has parameters after `?` that are not libpq's, or not for programs like this one"
        + (f" ({', '.join(unknown)})" if named else "")
        + ": leave them out"
    )
