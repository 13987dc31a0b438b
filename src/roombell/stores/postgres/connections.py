"""Connections to one database, as many as were asked for and no more; each transaction uses one.

What holds for all transactions is told when a connection is made. A pooler in transaction mode keeps no sessions: where
one stands in between, each transaction is told by the text that begins it.

Two bounds keep a worker from holding up the others. A transaction in which nothing is said for
``IDLE_IN_TRANSACTION_S_MAX`` is ended by the server: its worker was stopped, or cut off. And whatever a worker waits
for ends after ``TRANSACTION_S_MAX``: a network that swallows packets answers nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import asyncpg

from roombell.errors import StoreError, StoreUnavailable
from roombell.stores.postgres.trouble import FOREIGN, leaves_connection_useless, store_error
from roombell.stores.postgres.url import PostgresUrl

CONNECT_S_MAX: Final = 5.0
TRANSACTION_S_MAX: Final = 6.0
"""For a transaction, the wait for a connection included. An event may wait for one that is under way, and then for its
own: for both together less than the 15 s for which LiveKit waits for an answer."""
LOCK_S_MAX: Final = 5
IDLE_IN_TRANSACTION_S_MAX: Final = 4
APPLICATION: Final = "roombell"

# Every hot statement touches few rows of tables that may be large: nested loops over indexes are right whatever
# the statistics say, which are those of an empty table when a service is new. So a statement has one plan, whatever it
# is asked with; PostgreSQL would make one for each batch, which for small batches costs more than carrying it out.
SETTINGS: Final = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "lock_timeout": f"{LOCK_S_MAX}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S_MAX}s",
}
"""What holds in every transaction."""
_BEGIN: Final = "BEGIN"
_BEGIN_BEHIND_POOLER: Final = "; ".join(
    ["BEGIN", *(f"SET LOCAL {name} = '{value}'" for name, value in SETTINGS.items())]
)
_DURABLE: Final = "; SET LOCAL synchronous_commit = on"

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection


class Connections:
    """The connections of one store, from ``open`` to ``close``."""

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._begin = _BEGIN_BEHIND_POOLER if url.pooled else _BEGIN

    @property
    def where(self) -> str:
        """The database, for messages."""
        return self._url.where

    @property
    def is_open(self) -> bool:
        return self._pool is not None

    async def open(self) -> None:
        """Connects once, so that what is wrong with the URL is said at once.

        :raises StoreError: nothing is open; the message says what to mend.
        """
        assert self._pool is None, "connections are opened once"
        pool = asyncpg.create_pool(
            self._url.dsn,
            min_size=0,
            max_size=self._url.pool_size,
            timeout=CONNECT_S_MAX,
            statement_cache_size=0 if self._url.pooled else 200,
            max_inactive_connection_lifetime=60.0,
            reset=_nothing_to_reset,
            server_settings={"application_name": APPLICATION} | ({} if self._url.pooled else SETTINGS),
        )
        try:
            await pool
            async with pool.acquire(timeout=TRANSACTION_S_MAX):
                self._pool = pool
        except ValueError as error:  # what the URL says to the driver; some of it is an InterfaceError too
            raise StoreError(f"{self.where} cannot be connected to: {error}") from error
        except FOREIGN as error:
            raise store_error(error, self.where) from error
        finally:
            if self._pool is None:
                pool.terminate()

    def insist_on_durability(self) -> None:
        """The database was told to answer before what it writes is on disk; from now on not to us."""
        self._begin += _DURABLE

    async def close(self) -> None:
        """Ends what is under way. Calling it twice is fine."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(TRANSACTION_S_MAX):
                await pool.close()
        except (TimeoutError, *FOREIGN):
            pool.terminate()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """All of its body is durable when it ends, or none of it.

        :raises StoreError: nothing was written, save after ``StoreUnavailable``, when nobody knows.
        """
        if self._pool is None:
            raise StoreError(f"{self.where} is not open. Call open() first.")
        try:
            async with (
                asyncio.timeout(TRANSACTION_S_MAX),
                self._pool.acquire(timeout=TRANSACTION_S_MAX) as held,
                self._in_transaction(held) as connection,
            ):
                yield connection
        except FOREIGN as error:
            raise store_error(error, self.where) from error

    @contextlib.asynccontextmanager
    async def _in_transaction(self, connection: Connection) -> AsyncIterator[Connection]:
        try:
            await connection.execute(self._begin)
            yield connection
            await self._commit(connection)
        except asyncio.CancelledError:
            connection.terminate()  # whoever waits for a rollback may wait for a network that is gone
            raise
        except (StoreUnavailable, *FOREIGN) as error:
            await self._roll_back(connection, store_error(error, self.where))
            raise
        except BaseException:
            await self._roll_back(connection, None)
            raise

    async def _commit(self, connection: Connection) -> None:
        """:raises StoreUnavailable: whatever the server said. One that fails here may find the commit in its log."""
        try:
            await connection.execute("COMMIT")
        except FOREIGN as error:
            raise StoreUnavailable(str(store_error(error, self.where))) from error

    async def _roll_back(self, connection: Connection, error: StoreError | None) -> None:
        """A connection that cannot be trusted to be rolled back goes; the server ends its transaction with it."""
        if connection.is_closed() or (error is not None and leaves_connection_useless(error)):
            connection.terminate()
            return
        try:
            await connection.execute("ROLLBACK")
        except FOREIGN:
            connection.terminate()


async def _nothing_to_reset(connection: object) -> None:
    """No session state is made, so none is undone: that would cost a round trip for each transaction."""
