"""A SQLite file of the application's own, by the standard library's ``sqlite3``.

Not the inbox's file: that belongs to the inbox alone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from roombell.inbox.databases import BlockingDatabase
from roombell.stores.done import Statement

LOCK_WAIT_S: Final = 10.0


class Sqlite(BlockingDatabase[sqlite3.Connection]):
    """Transactions in the file at ``path``, each on a connection of its own.

    :param lock_wait_s: how long a transaction waits for another writer, of this process or of another one.
    """

    def __init__(self, path: str | os.PathLike[str], *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self._path = os.fspath(path)
        self._lock_wait_s = lock_wait_s

    @contextmanager
    def begin(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=self._lock_wait_s, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def execute(self, transaction: sqlite3.Connection, statement: Statement) -> int:
        return transaction.execute(statement.named, statement.values).rowcount
