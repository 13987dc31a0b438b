"""Opening the file: is it ours, how old is it, and what must be done to it."""

from __future__ import annotations

import os
import sqlite3

from roombell.errors import StoreCorrupt, StoreError, StoreTooNew
from roombell.stores.sqlite.queries import query

APPLICATION_ID = 0x526F6F6D
"""``Room`` in ASCII: tells a Roombell store from every other SQLite file."""

PAGE_BYTES = 8192
CACHE_KIB = 24_576
WAL_PAGES_BETWEEN_CHECKPOINTS = 8_000
WAL_BYTES_KEPT_MAX = 64 * 1024 * 1024
BUSY_TIMEOUT_MS = 2_000

_STORE_ID = query("store_id")
_STORE_NAME = query("store_name")


def connect(path: str) -> sqlite3.Connection:
    """An open connection to a store that is of the newest version, made if there was none.

    :raises StoreCorrupt: the file is no Roombell store.
    :raises StoreTooNew: a newer version made it.
    :raises StoreError: WAL is not to be had.
    :raises sqlite3.Error: whatever SQLite finds.
    """
    check_whole(path)
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    try:
        _configure(connection, path)
        _move_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def read_store_id(connection: sqlite3.Connection) -> str:
    row: tuple[str] | None = connection.execute(_STORE_ID).fetchone()
    assert row is not None, "a store is named in the transaction that makes it"
    return row[0]


def check_whole(path: str) -> None:
    """SQLite takes an empty file for a new database and throws the log beside it away. It waits at a pipe for ever."""
    if os.path.isdir(path):  # noqa: PTH112 - pathlib is slow to import
        raise StoreError(f"{path} is a folder. Name a file.")
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise StoreError(f"{path} is a device, a pipe or a socket. Name a file.")
    if _bytes(path) == 0 and _bytes(f"{path}-wal") > 0:
        raise StoreCorrupt(f"{path} is empty, but {path}-wal is not. Restore the file from a backup.")


def _bytes(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0


def _configure(connection: sqlite3.Connection, path: str) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    if is_new_file(connection, path):
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"{path} lies on a file system without shared memory. Put it on a local disk.")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_BETWEEN_CHECKPOINTS}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT_MAX}")


def is_new_file(connection: sqlite3.Connection, path: str) -> bool:
    application_id = number_of(connection, "PRAGMA application_id")
    version = number_of(connection, "PRAGMA user_version")
    tables = number_of(connection, "SELECT count(*) FROM sqlite_schema")
    if application_id == 0 and version == 0 and tables == 0:
        return True
    if application_id != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is a SQLite file, but no Roombell store. Name another file.")
    if version > len(migration_files()):
        raise StoreTooNew(
            f"{path} was made by a newer Roombell (its version is {version}, this one knows {len(migration_files())}). "
            "Use that newer Roombell."
        )
    return False


def _move_up(connection: sqlite3.Connection) -> None:
    for number, file in enumerate(migration_files(), 1):
        if number_of(connection, "PRAGMA user_version") < number:
            _migrate(connection, file, number)


def _migrate(connection: sqlite3.Connection, file: str, number: int) -> None:
    with open(file, encoding="utf-8") as opened:  # noqa: PTH123
        script = opened.read()
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number};")
        if number == 1:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(_STORE_NAME, (os.urandom(4).hex(),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def migration_files() -> list[str]:
    folder = os.path.join(os.path.dirname(__file__), "migrations")  # noqa: PTH118, PTH120
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".sql")]  # noqa: PTH118, PTH208


def number_of(connection: sqlite3.Connection, statement: str) -> int:
    value: int = connection.execute(statement).fetchone()[0]
    return value
