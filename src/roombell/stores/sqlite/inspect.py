"""Looks at a store's file without opening it as a store: nothing is made, moved up, locked or ended.

It is for a person who asks how things stand, also while a service has the store open.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from urllib.parse import quote

import msgspec

from roombell.engine.model import EndpointStatus
from roombell.stores.sqlite.database import _statuses
from roombell.stores.sqlite.schema import BUSY_TIMEOUT_MS, check_whole, is_new_file, migration_files, number_of
from roombell.stores.sqlite.trouble import file_error, store_error


class StoreReport(msgspec.Struct, frozen=True):
    """How a store stands."""

    path: str
    """As an absolute path."""
    exists: bool
    file_bytes: int = 0
    version: int = 0
    version_newest: int = 0
    """What this program makes of it when it opens it."""
    holder: str = ""
    """The id of the process that has it open; empty where none has."""
    endpoints: tuple[EndpointStatus, ...] = ()
    """What it owes to whom. Empty where the file is of an older version."""


def inspect(path: str | os.PathLike[str]) -> StoreReport:
    """How the store at ``path`` stands.

    :raises StoreError: it, or the folder it would be made in, cannot be used; the message names the mend.
    """
    path = os.path.realpath(path)
    folder = os.path.dirname(path)  # noqa: PTH120 - as in the package's other modules
    exists = os.path.exists(path)  # noqa: PTH110
    try:
        _check_access((folder, path) if exists else (folder,))
        if not exists:
            return StoreReport(path, exists=False)
        check_whole(path)
        with contextlib.closing(sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro", uri=True)) as connection:
            return _report(connection, path)
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    except OSError as error:
        raise file_error(error, path) from error


def _report(connection: sqlite3.Connection, path: str) -> StoreReport:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    newest = len(migration_files())
    is_new = is_new_file(connection, path)
    version = number_of(connection, "PRAGMA user_version")
    return StoreReport(
        path,
        exists=not is_new,
        file_bytes=os.stat(path).st_size,  # noqa: PTH116
        version=version,
        version_newest=newest,
        holder=_holder(path),
        endpoints=tuple(_statuses(connection)) if version == newest else (),
    )


def _check_access(paths: tuple[str, ...]) -> None:
    """:raises OSError: one of them is not there, or this user may not write it."""
    for path in paths:
        os.stat(path)  # noqa: PTH116
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _holder(path: str) -> str:
    try:
        file = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, 32, 0).decode("ascii", "replace").strip() or "unknown"
    finally:
        os.close(file)
    return ""
