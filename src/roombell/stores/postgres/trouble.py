"""What PostgreSQL and the way to it report, in the words of the ``Store`` port: what happened, and what to do."""

from __future__ import annotations

from typing import Final

import asyncpg

from roombell.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

_ERRORS: Final[dict[str, tuple[type[StoreError], str]]] = {
    "53100": (StoreFull, "{where} has no room left on its disk. Free space there; nothing is lost, and work goes on."),
    "53200": (StoreUnavailable, "{where} is out of memory. Look at its log."),
    "53300": (
        StoreUnavailable,
        "{where} takes no more connections. Raise its max_connections, or lower pool_size in the store's URL.",
    ),
    "57P01": (StoreUnavailable, "{where} is stopping. Roombell connects again by itself."),
    "57P02": (StoreUnavailable, "{where} has crashed and starts again. Roombell connects again by itself."),
    "57P03": (StoreUnavailable, "{where} is starting or stopping. Roombell connects again by itself."),
    "57014": (StoreUnavailable, "{where} took too long. Look at its load and at its log."),
    "55P03": (StoreUnavailable, "{where} is held up by a lock of somebody else. Look at pg_stat_activity there."),
    "25006": (
        StoreReadOnly,
        (
            "{where} takes no writes: it is a standby, or default_transaction_read_only is on. Name the primary, or "
            "all hosts with target_session_attrs=read-write."
        ),
    ),
    "28P01": (StoreError, "{where} refuses the password. Correct it in the store's URL, or in PGPASSWORD."),
    "28000": (StoreError, "{where} refuses this user from this machine. Look at its pg_hba.conf."),
    "3D000": (StoreError, "{where} does not exist. Make it: createdb, or CREATE DATABASE."),
    "42501": (
        StoreReadOnly,
        "{where} lets this user not do its work. Let it own the schema roombell, or GRANT CREATE ON DATABASE to it.",
    ),
    "42704": (StoreError, "{where} does not know a setting that Roombell needs. It needs PostgreSQL 14 or newer."),
    "0A000": (StoreError, "{where} cannot do what Roombell needs. It needs PostgreSQL 14 or newer."),
    "XX001": (StoreCorrupt, "{where} is damaged. Restore it from a backup."),
    "XX002": (StoreCorrupt, "{where} has a damaged index. REINDEX it, or restore it from a backup."),
    "58030": (StoreError, "{where} cannot read or write its disk. Look at its log."),
}
"""By SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html."""

_CONNECTION_CLASSES: Final = ("08", "57")
_GONE: Final = (
    "{where} cannot be reached, or the connection broke. See that it runs and that the URL names it; a worker that is "
    "running connects again by itself."
)
_POOLED: Final = (
    "{where} is a pooler, by what it says. Name the database's own address, for LISTEN, in the store's URL: "
    "?listen=HOST:PORT"
)
_NO_SETTINGS: Final = "unsupported startup parameter"
"""What PgBouncer says to settings of a session."""

FOREIGN: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # "cannot switch to state ...": the server was killed while an answer was under way
    OSError,
    TimeoutError,
    UnicodeError,
    OverflowError,
)
"""What may come out of the driver."""


def store_error(error: Exception, where: str) -> StoreError:
    """The error of the port that says what the driver's says.

    :param where: the database, without its password.
    """
    if isinstance(error, StoreError):
        return error
    if isinstance(error, asyncpg.ProtocolViolationError) and _NO_SETTINGS in str(error):
        return StoreError(f"{_POOLED.format(where=where)} ({_said(error)})")
    if isinstance(error, asyncpg.PostgresError) and (code := error.sqlstate):
        kind, text = _ERRORS.get(code, (StoreError, "{where} refused the work."))
        if code not in _ERRORS and code.startswith(_CONNECTION_CLASSES):
            kind, text = StoreUnavailable, _GONE
        return kind(f"{text.format(where=where)} ({_said(error)})")
    if isinstance(error, UnicodeError | OverflowError | asyncpg.DataError):
        return StoreError(f"{where} cannot keep what it was given. ({_said(error)})")
    return StoreUnavailable(f"{_GONE.format(where=where)} ({_said(error)})")


def leaves_connection_useless(error: StoreError) -> bool:
    """Whether the connection that reported it should not be used again: it leads to the wrong server, or nowhere."""
    return isinstance(error, StoreUnavailable | StoreReadOnly)


def _said(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
