"""A SQLite file of the application's own, by the standard library's ``sqlite3``.

Not the inbox's file: that belongs to the inbox alone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from roombell.errors import UsageError
from roombell.inbox.databases import BlockingDatabase
from roombell.stores.done import Statement

if TYPE_CHECKING:
    from typing import Self

LOCK_WAIT_S: Final = 10.0


class _Connection(sqlite3.Connection):
    """Leaves the end to the block: a commit on the way would say that the event is done, with half of the work."""

    def commit(self) -> None:
        raise _left_to_the_block("commit()")

    def rollback(self) -> None:
        raise _left_to_the_block("rollback()")

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:  # noqa: ARG002 - sqlite3's
        raise _left_to_the_block("executescript(), which commits,")

    def __enter__(self) -> Self:
        raise _left_to_the_block("`with connection:`, which commits,")


def _left_to_the_block(what: str) -> UsageError:
    return UsageError(
        f"Take {what} out of the block of `transaction`: it commits at its end, and rolls back where it raises."
    )


class Sqlite(BlockingDatabase[sqlite3.Connection]):
    """Transactions in the file at ``path``, each on a connection of its own.

    :param lock_wait_s: how long a transaction waits for another writer, of this process or of another one.
    """

    def __init__(self, path: str | os.PathLike[str], *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self._path = os.fspath(path)
        self._lock_wait_s = lock_wait_s

    @property
    def path(self) -> str:
        """The file."""
        return self._path

    @contextmanager
    def begin(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=self._lock_wait_s, isolation_level=None, factory=_Connection)
        with closing(connection):
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
