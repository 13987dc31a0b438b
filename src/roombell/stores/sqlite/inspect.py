"""Looks at a store's file without opening it as a store: nothing is made, moved up, locked or ended.

It is for a person who asks how things stand, also while a service has the store open.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from urllib.parse import quote

import msgspec

from roombell.engine.model import EndpointId, EndpointState, EndpointStatus
from roombell.stores.sqlite import schema
from roombell.stores.sqlite.queries import query
from roombell.stores.sqlite.trouble import file_error, store_error

_ENDPOINTS = query("endpoints")


class StoreReport(msgspec.Struct, frozen=True):
    """How a store stands."""

    path: str
    """As an absolute path."""
    exists: bool
    bytes: int = 0
    version: int = 0
    version_newest: int = 0
    """What this program makes of it when it opens it."""
    holder: str = ""
    """The process that has it open; empty where none has."""
    endpoints: tuple[EndpointStatus, ...] = ()
    """What it owes to whom. Empty where the file is of an older version."""


def inspect(path: str | os.PathLike[str]) -> StoreReport:
    """How the store at ``path`` stands.

    :raises StoreError: it, or the folder it would be made in, cannot be used; the message names the mend.
    """
    path = os.path.realpath(path)
    exists = os.path.exists(path)  # noqa: PTH110 - as in the package's other modules
    _check_access(path if exists else os.path.dirname(path), path)  # noqa: PTH120
    if not exists:
        return StoreReport(path, exists=False)
    try:
        schema.check_whole(path)
        with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as connection:
            return _report(connection, path)
    except (sqlite3.Error, OSError) as error:
        raise (file_error(error, path) if isinstance(error, OSError) else store_error(error, path)) from error


def _report(connection: sqlite3.Connection, path: str) -> StoreReport:
    connection.execute(f"PRAGMA busy_timeout = {schema.BUSY_TIMEOUT_MS}")
    version, newest = schema.check_version(connection, path)
    rows: list[tuple[int, str, str, str, int, int, int, int | None]] = (
        connection.execute(_ENDPOINTS).fetchall() if version == newest else []
    )
    return StoreReport(
        path,
        exists=True,
        bytes=os.stat(path).st_size,  # noqa: PTH116
        version=version,
        version_newest=newest,
        holder=_holder(path),
        endpoints=tuple(
            EndpointStatus(EndpointId(number), name, EndpointState(state), *rest) for number, name, state, *rest in rows
        ),
    )
