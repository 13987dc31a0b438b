"""psycopg 3: connections from its pools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from roombell.inbox.databases import AsyncDatabase, BlockingDatabase
from roombell.receiver.missing import missing
from roombell.stores.done import Statement

try:
    from psycopg import AsyncConnection, Connection
    from psycopg_pool import AsyncConnectionPool, ConnectionPool
except ImportError as error:
    raise missing("psycopg with psycopg-pool", error) from error


class AsyncPsycopg(AsyncDatabase[AsyncConnection]):
    """Transactions on connections of an ``AsyncConnectionPool``, which stays the caller's."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        async with self._pool.connection() as connection, connection.transaction():
            yield connection

    async def execute(self, transaction: AsyncConnection, statement: Statement) -> int:
        return (await transaction.execute(statement.pyformat.encode(), statement.values)).rowcount


class Psycopg(BlockingDatabase[Connection]):
    """Transactions on connections of a ``ConnectionPool``, which stays the caller's."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self._pool.connection() as connection, connection.transaction():
            yield connection

    def execute(self, transaction: Connection, statement: Statement) -> int:
        return transaction.execute(statement.pyformat.encode(), statement.values).rowcount
