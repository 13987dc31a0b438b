"""asyncpg: connections from a pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from roombell.inbox.databases import AsyncDatabase
from roombell.stores.done import Statement

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[asyncpg.Record]


class Asyncpg(AsyncDatabase["Connection"]):
    """Transactions on connections of a pool, which stays the caller's."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection

    async def execute(self, transaction: Connection, statement: Statement) -> int:
        told = await transaction.execute(statement.numbered, *statement.values.values())
        number = told.rpartition(" ")[2]  # as in "INSERT 0 1"
        return int(number) if number.isdecimal() else 0
