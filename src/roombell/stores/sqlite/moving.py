"""A store on a file as one that is left: read, never written, and nobody else works on it meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator, Iterator
from urllib.parse import quote

from roombell.errors import StoreError
from roombell.stores.moving import TABLES, Contents, Key, Numbers, Row, Table
from roombell.stores.sqlite.lock import FileLock
from roombell.stores.sqlite.queries import query
from roombell.stores.sqlite.schema import BUSY_TIMEOUT_MS, check_whole, is_new_file, migration_files, number_of
from roombell.stores.sqlite.trouble import file_error, store_error
from roombell.stores.text import kept

_CONTENTS = query("moving_contents")
_NUMBERED = query("moving_numbered")
_NUMBER = query("moving_number")


@contextlib.contextmanager
def opened_source(path: str | os.PathLike[str]) -> Iterator[SqliteSource]:
    """The store at ``path``, with its lock held, so that no service opens it before the end.

    :raises StoreLocked: a service has it open.
    :raises StoreError: it cannot be read; the message names the file and the mend.
    """
    path = os.path.realpath(path)
    try:
        os.stat(path)  # noqa: PTH116 - as in the package's other modules
        check_whole(path)
    except FileNotFoundError:
        raise StoreError(f"There is no store at {path}. Name the file that the service used.") from None
    except OSError as error:
        raise file_error(error, path) from error
    lock = FileLock(path, wait_s=0.0)
    lock.take()
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro", uri=True)) as connection:
            yield SqliteSource(connection, path)
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    finally:
        lock.release()


class SqliteSource:
    """The ``Source`` of a move."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if is_new_file(connection, path):
            raise StoreError(f"{path} is empty: there is nothing to move. Name the file that the service used.")
        version = number_of(connection, "PRAGMA user_version")
        if version < len(migration_files()):
            raise StoreError(
                f"{path} is of an older version ({version}; this Roombell makes {len(migration_files())}). Start this "
                "Roombell on it once, which moves it up, and stop it; then move it."
            )
        connection.create_function("kept", 1, kept, deterministic=True)
        connection.execute(_NUMBERED)  # beside the file, which is not written
        connection.execute(_NUMBER)
        self._connection = connection
        self._path = path

    @property
    def where(self) -> str:
        return self._path

    def contents(self) -> Contents:
        """What there is. Costs a look at every lane."""
        row = self._connection.execute(_CONTENTS).fetchone()
        store_id, endpoint, event, lane, *others = row
        return Contents(
            store_id=store_id,
            fingerprint=" ".join(map(str, row[1:])),
            numbers=Numbers(endpoint=endpoint, event=event, lane=lane),
            rows=dict(zip((table.name for table in TABLES), others[: len(TABLES)], strict=True)),
        )

    def rows(self, table: Table, after: Key, limit: int) -> Generator[Row, None, None]:
        with contextlib.closing(self._connection.execute(query(f"moving_{table.name}"), (*after, limit))) as found:
            yield from found
