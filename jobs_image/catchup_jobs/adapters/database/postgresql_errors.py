"""What PostgreSQL, libpq and PgBouncer refuse, and what it means for a run."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from catchup_jobs.adapters.database.hints import MIGRATE_HINT, TAKEN
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, PermanentError, TemporaryError

_SCHEMA: Final = (
    f"a table or column that this version needs is missing ({{state}}): {MIGRATE_HINT}, or if `catchup-jobs db status`"
    " says `current`, see the role's search_path and its USAGE on the schema"
)
_PRIVILEGES: Final = (
    "PostgreSQL refused access (SQLSTATE {state}): grant the role USAGE on a schema of its search_path and what it"
    " needs there: for `db migrate` CREATE, for jobs all on tables and sequences"
)
_STANDBY: Final = (
    "PostgreSQL takes no writes now{state}: it is a standby, or its transactions are read-only by default; check that"
    " CATCHUP_DATABASE_URL leads to the primary"
)
_NONE_FREE: Final = (
    "PostgreSQL has no connection free, or PgBouncer: run fewer pods at once, or raise max_connections, the role's or"
    " the database's CONNECTION LIMIT, or the pooler's limits"
)
_VALUE: Final = (
    "a parameter has a value that is not allowed (`sslmode`, for example, is disable, allow, prefer, require, verify-ca"
    " or verify-full)"
)

# SQLSTATE classes and codes, https://www.postgresql.org/docs/current/errcodes-appendix.html; the first that fits counts
_STATES: Final[tuple[tuple[tuple[str, ...], type[JobError], str], ...]] = (
    (("42P01", "42703"), TemporaryError, _SCHEMA),
    (("42P07", "42710", "42723"), MisconfiguredError, TAKEN.format(names=" (SQLSTATE {state})")),
    (("3F", "42501"), MisconfiguredError, _PRIVILEGES),
    (
        ("28", "3D"),
        MisconfiguredError,
        "PostgreSQL refused access (SQLSTATE {state}): check user, password and database in CATCHUP_DATABASE_URL",
    ),
    (
        ("XX001", "XX002"),
        MisconfiguredError,
        "PostgreSQL says that the database is damaged (SQLSTATE {state}): see its log",
    ),
    (("25006",), TemporaryError, _STANDBY.format(state=" (SQLSTATE {state})")),
    (
        # 25P03, 25P04: a timeout ended the transaction. 0B, 24 to 27, 34: what a pooler makes of a statement or a
        # transaction that another connection knows nothing of.
        ("08", "0B", "24", "25", "26", "27", "34", "40", "53", "55", "57", "58", "72", "XX000"),
        TemporaryError,
        "PostgreSQL is not available (SQLSTATE {state})",
    ),
    (
        # 38, 39, P0: a trigger of somebody else.
        ("22", "23", "38", "39", "44", "54", "P0"),
        PermanentError,
        "the database refused the data (SQLSTATE {state})",
    ),
)

# A refused connection has no SQLSTATE in psycopg, only the words of libpq, PostgreSQL or PgBouncer: libpq adds it to
# them by `PQsetErrorVerbosity` alone, which psycopg does not have. In a language other than English, which servers may
# speak (`lc_messages`, which is the superuser's to set), it counts as temporary. The first that fits gives the advice.
_WORDS: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (("unsupported startup parameter",), "PgBouncer takes no such startup parameter: leave out what follows `?`"),
    (
        (
            "invalid connection option",
            "invalid integer value",
            "invalid port number",
            "invalid .* value: ",
            "bad value for",
            "(cannot|could not) match",
            "invalid SSL protocol version",
            "host name must be specified",
            "could not parse network address",
            "definition of service .* not found",
            # The server's, on what `options` and `client_encoding` hold.
            "invalid value for",
            "invalid command-line argument",
            "requires a value",
            "unrecognized configuration parameter",
            "cannot be mixed with",
        ),
        _VALUE,
    ),
    (
        ("authentication method requirement", "GSSAPI encryption required"),
        "the server asks for another way to log in than `require_auth` or `gssencmode` allows",
    ),
    (
        (
            "certificate",
            "private (SSL )?key",
            "does not support SSL",
            "(SSL|TLS)( connection)?( is)? required",
            "no encryption",
            "alert",
            "channel binding",
            "wrong version number",
        ),
        "TLS cannot be agreed on: check sslmode, sslrootcert and the server's certificate",
    ),
    (
        (
            "auth(entication)? failed",
            "no password supplied",
            "no pg_hba.conf entry",
            "no such user",
            "not permitted to log in",
            "not allowed",
        ),
        "user or password is refused, or the server admits nobody from here",
    ),
    (
        ("does not exist", "no such database", "permission denied for database"),
        "there is no such database or user",
    ),
)
_REFUSALS: Final = tuple((re.compile("|".join(words)), advice) for words, advice in _WORDS)

# The same of what passes.
_CLOSED: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(
            "too many (connections|clients)|remaining connection slots|no more connections allowed|query_wait_timeout"
        ),
        _NONE_FREE,
    ),
    (
        re.compile("hot standby mode|session is read-only"),
        _STANDBY.format(state=""),
    ),
    (
        re.compile(
            "not (currently |yet )?accepting|starting up|shutting down|in recovery mode|(database|pooler).*disabled"
        ),
        "PostgreSQL, or PgBouncer, takes no connections to this database now: see its log if that lasts",
    ),
)
# PgBouncer's words have no SQLSTATE of their own: 08P01 stands for everything.
_STATEMENT_POOLING: Final = "statement pooling mode"


def classify_postgresql(error: DBAPIError) -> JobError | None:
    """Return what the error means, or None where it is a bug of this program; the message holds none of its words."""
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return _without_state(error)
    if _STATEMENT_POOLING in str(error.orig):
        return MisconfiguredError("PgBouncer has `pool_mode = statement`: set it to `transaction` or `session`")
    for states, meaning, message in _STATES:
        if state.startswith(states):
            return meaning(message.format(state=state))  # type: ignore[call-arg]  # each has a reason by default
    return None


def _without_state(error: DBAPIError) -> JobError | None:
    if isinstance(error, DataError | IntegrityError):
        return PermanentError(f"the database refused the data ({type(error.orig).__name__})")
    said = str(error.orig)
    for words, advice in _REFUSALS:
        if words.search(said):
            return MisconfiguredError(f"the connection to PostgreSQL is refused: {advice} (CATCHUP_DATABASE_URL)")
    for words, message in _CLOSED:
        if words.search(said):
            return TemporaryError(message)
    if error.connection_invalidated or type(error.orig).__name__ in {"OperationalError", "ConnectionTimeout"}:
        return TemporaryError(
            "PostgreSQL cannot be reached, or the connection was lost: check that CATCHUP_DATABASE_URL's host answers"
        )
    return None
